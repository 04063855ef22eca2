// Trees as they were at the instant of a snapshot, made of the live trees and of what was kept
// before it changed.
#pragma once

#include <sys/stat.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/jobs/snapshot/kept_data.h"
#include "fs/os/access_guard.h"
#include "fs/os/change_observer.h"
#include "fs/os/mutex.h"
#include "fs/tier/frozen_view.h"

namespace tierfs::snapshot {

// What is announced to the image is compared with nothing: the first announcement of a change finds
// the state of the instant, and keeps it. The view looks at the live tree first and then at what
// was kept; because the change comes after the keeping, one of the two is right.
//
// A record belongs to an inode, not to a path, and an inode of the trees that loses its last name
// is kept open: so its number is not given to another file, and renames of any kind cost two names.
//
// Everything is in memory, or in files without a name: the image is gone with the process. If
// something cannot be kept, the image is lost, and every question about it fails with EIO; the
// change itself goes on. Thread-safe.
class Image final : public FrozenView, public ChangeObserver {
 public:
  // A tree that the view shows. `root` is an O_PATH descriptor.
  struct Tree {
    std::string name;  // "tier1"
    UniqueFd root;
    dev_t device = 0;
    std::uint64_t inode = 0;
    Store* store = nullptr;
  };
  // `others` are O_PATH descriptors of directories on the same file systems that the view does not
  // show. `store`, if not negative, is the directory that holds the copies; without it they are on
  // the file systems of the trees. `top` has the mode and the owner of the directory that holds the
  // trees in the view.
  [[nodiscard]] static Result<std::unique_ptr<Image>> Make(std::vector<Tree> trees, std::vector<UniqueFd> others, int store,
                                                           std::uint64_t limit, const struct stat& top);
  ~Image() override;

  // --- what changes (image_keep.cc)
  void BeforeEntry(int dir, const char* name, Fate fate) override;
  void BeforeAttributes(int dir, const char* name) override;
  void BeforeContent(int file, off_t offset, off_t length) override;
  void Made(int dir, const char* name) override;
  void OpenedForWriting(int file) override;
  // The same for a file that is open at the instant. It takes no time to find out whether the file
  // is in one of the trees; ForgetIfElsewhere does so afterwards.
  void NoteWriter(int file);
  void ForgetIfElsewhere(int file);
  // An access past the daemon. `in_trees`: the file was opened in one of the trees, by that name.
  [[nodiscard]] AccessGuard::Next OnAccess(const AccessGuard::Access& access, bool in_trees);

  // From now on the image answers EIO. The first reason counts.
  void Lose(std::string reason);
  // Why the image is lost; "" if it is not.
  [[nodiscard]] std::string WhyLost() const;
  // Gives back all memory and space. Call it once the image is lost.
  void Clear();
  [[nodiscard]] std::uint64_t CountBytes() const { return budget_.used(); }
  [[nodiscard]] std::size_t CountRecords() const;
  // The files that were open for writing and whose ctime has moved although nothing was announced:
  // by splice(2) or through a mapping. The view may show them half changed.
  [[nodiscard]] std::vector<std::string> ChangedUnannounced() const;
  // --- the view (image_view.cc)
  [[nodiscard]] Result<Found> Lookup(std::uint64_t directory, const char* name) override;
  [[nodiscard]] Result<Found> Attributes(std::uint64_t id) override;
  [[nodiscard]] Result<std::vector<Entry>> List(std::uint64_t directory) override;
  [[nodiscard]] Result<std::string> Target(std::uint64_t symlink) override;
  [[nodiscard]] Result<std::unique_ptr<File>> Open(std::uint64_t id) override;
  [[nodiscard]] Result<std::string> Xattr(std::uint64_t id, const std::string& name) override;
  [[nodiscard]] Result<std::string> Xattrs(std::uint64_t id) override;
  [[nodiscard]] Result<struct statvfs> Space(std::uint64_t id) override;

 private:
  class OpenFile;

  struct Inode {
    dev_t device = 0;
    std::uint64_t number = 0;
    bool operator==(const Inode&) const = default;
  };
  struct InodeHash {
    std::size_t operator()(const Inode& inode) const noexcept { return (inode.number ^ (inode.device << 40)) * 0x9E3779B97F4A7C15ULL >> 7; }
  };
  // The file at a name as of the instant; number 0: none. An inode of another file system, which is
  // mounted there, is not part of the view.
  struct Child {
    std::uint64_t number = 0;
    unsigned char type = 0;  // DT_*
    bool foreign = false;
  };
  // The kept parts of one inode.
  struct Record {
    mutable Mutex mutex;
    std::optional<struct stat> attributes GUARDED_BY(mutex);
    std::optional<std::map<std::string, std::string>> xattrs GUARDED_BY(mutex);
    // Of a directory: the names that changed.
    std::unordered_map<std::string, Child> names GUARDED_BY(mutex);
    // O_PATH, once it may have lost its last name.
    UniqueFd held GUARDED_BY(mutex);
    std::unique_ptr<KeptData> data GUARDED_BY(mutex);  // never replaced
  };
  enum class Belongs { kNotAtAll, kIsNew, kYes };

  explicit Image(std::uint64_t limit) : budget_(limit) {}
  [[nodiscard]] Belongs BelongsTo(int file, const struct stat& st) const;
  // The same by the number alone, for an inode that is open on a private mount: its path there does
  // not tell. When in doubt, it belongs.
  [[nodiscard]] bool MayBelong(const Inode& inode) const;
  [[nodiscard]] bool IsOnADevice(dev_t device) const;
  [[nodiscard]] Record* Find(const Inode& inode) const;
  // Returns null, and loses the image, if there are too many.
  [[nodiscard]] Record* RecordOf(const Inode& inode);
  void KeepName(const struct stat& dir_st, const char* name, const std::optional<struct stat>& st);
  void KeepInode(int dir, const char* name, const struct stat& st, Fate fate);
  void KeepAttributes(Record& record, int file, const struct stat& st) REQUIRES(record.mutex);
  void KeepContent(Record& record, int file, const struct stat& st, off_t offset, off_t length);
  [[nodiscard]] Store* StoreFor(dev_t device) const;
  void CannotKeep(const Error& error, int dir, const char* name);

  [[nodiscard]] Status IsKnown() const;
  [[nodiscard]] const Tree* TreeOf(std::uint64_t id) const;
  [[nodiscard]] Inode InodeOf(std::uint64_t id) const;
  [[nodiscard]] std::uint64_t IdIn(const Tree& tree, std::uint64_t number) const;
  // Opens a live inode with O_PATH, or the one that was kept.
  [[nodiscard]] Result<UniqueFd> Reach(std::uint64_t id) const;
  // The attributes as of the instant, given what the live inode has.
  [[nodiscard]] struct stat AsOfTheInstant(const Inode& inode, const struct stat& live) const;

  // Held shared by every function, exclusively by Clear.
  mutable SharedMutex life_;
  Budget budget_;
  std::vector<Tree> trees_;
  std::vector<UniqueFd> others_;
  struct stat top_ {};
  std::atomic<std::size_t> count_held_{0};
  std::vector<std::pair<dev_t, std::unique_ptr<Store>>> stores_;
  mutable SharedMutex records_mutex_;
  std::unordered_map<Inode, std::unique_ptr<Record>, InodeHash> records_ GUARDED_BY(records_mutex_);
  std::unordered_set<Inode, InodeHash> made_ GUARDED_BY(records_mutex_);  // since the instant
  // The ctime of each file that was open for writing, at the instant or when it was opened.
  std::unordered_map<Inode, timespec, InodeHash> writers_ GUARDED_BY(records_mutex_);
  std::atomic<bool> lost_{false};
  mutable Mutex reason_mutex_;
  std::string reason_ GUARDED_BY(reason_mutex_);
};

}  // namespace tierfs::snapshot
