// The meaning of single entries of a layer.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace tierfs {

// The mode of a directory that is being cloned into a tier, until its owner, times, xattrs and ACLs
// are right. Only the sticky bit is set, and the setgid bit if mkdir inherits it from the parent.
// After a crash the next write finishes such a part. Its attributes are ignored while the directory
// has another part.
inline constexpr mode_t kUnfinishedDirMode = S_ISVTX;

[[nodiscard]] inline bool IsUnfinishedDir(const struct stat& st) {
  return S_ISDIR(st.st_mode) && (st.st_mode & 07777 & ~S_ISGID) == kUnfinishedDirMode;
}

// Whether the entry is a whiteout, the mark that hides a lower entry: a character device 0:0
// (kernel: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
[[nodiscard]] inline bool IsWhiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

// The attributes of a directory that is in several layers. They are those of the first finished
// part added, with the newest mtime and ctime of all parts added. The caller adds lower parts only
// until Finished() is true: a date that a user set on the directory is in the tiers alone.
class MergedStat {
 public:
  void Add(const struct stat& st) {
    ++parts_;
    if (parts_ == 1 || (IsUnfinishedDir(st_) && !IsUnfinishedDir(st))) {
      const timespec mtime = st_.st_mtim;
      const timespec ctime = st_.st_ctim;
      const ino_t ino = st_.st_ino;
      const dev_t dev = st_.st_dev;
      st_ = st;
      if (parts_ == 1) return;
      st_.st_ino = ino;
      st_.st_dev = dev;
      Newest(st_.st_mtim, mtime);
      Newest(st_.st_ctim, ctime);
    } else {
      Newest(st_.st_mtim, st.st_mtim);
      Newest(st_.st_ctim, st.st_ctim);
    }
    // find and fts read a link count of 1 as "unknown" and do not count subdirectories with it.
    st_.st_nlink = 1;
  }
  [[nodiscard]] bool Empty() const { return parts_ == 0; }
  // Whether a finished part was added. Lower parts are not added after that.
  [[nodiscard]] bool Finished() const { return parts_ > 0 && !IsUnfinishedDir(st_); }
  [[nodiscard]] const struct stat& Get() const { return st_; }

 private:
  static void Newest(timespec& a, const timespec& b) {
    if (a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec)) a = b;
  }

  struct stat st_ {};
  int parts_ = 0;
};

}  // namespace tierfs
