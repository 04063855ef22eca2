// What single entries of a layer mean.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace tierfs {

// A directory that is being cloned into a tier has this mode until its owner, times, xattrs and
// ACLs are right: sticky and nothing else, but for the setgid bit that mkdir takes over from the
// directory above. After a crash such a part is finished by the next write, and its attributes are
// not believed as long as there is another part.
inline constexpr mode_t kUnfinishedDirMode = S_ISVTX;

[[nodiscard]] inline bool IsUnfinishedDir(const struct stat& st) {
  return S_ISDIR(st.st_mode) && (st.st_mode & 07777 & ~S_ISGID) == kUnfinishedDirMode;
}

// The mark that hides a lower entry: a character device 0:0 (kernel:
// Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
[[nodiscard]] inline bool IsWhiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

// The attributes of a directory that is in several layers: those of the first finished part added,
// the newest mtime and ctime of all that are added. Of the lower layers only the first that is
// needed is: a date that was set on the directory stands in the tiers alone.
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
    // find and fts take a link count of 1 as "unknown" and then do not count subdirectories with
    // it.
    st_.st_nlink = 1;
  }
  [[nodiscard]] bool Empty() const { return parts_ == 0; }
  // A finished part was added: from here on lower layers add nothing.
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
