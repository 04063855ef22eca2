// The snapshot of a mount: when it is made, and how it ends.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "fs/catalog/catalog.h"
#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/fuse/mount.h"
#include "fs/fuse/view_mount.h"
#include "fs/jobs/snapshot/image.h"
#include "fs/tree/tree.h"

namespace tierfs {

// Owns the guards of the tiers' mounts, and the snapshot while there is one: its image, the mount
// that shows it, and a thread that watches over it. There is one at a time. It does not outlive the
// daemon. Thread-safe.
//
// It stands between those who announce changes and the image, so that an image may end while a
// change is being announced.
class Snapshots final : private ChangeObserver {
 public:
  explicit Snapshots(const Config& config);
  ~Snapshots() override;
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Watches the tiers. Call it before the first file is opened: what is open already cannot be
  // held.
  void WatchTiers(const LayerSet& layers);
  // The parts of the mount that a snapshot needs. They must live until Stop.
  struct Host {
    Tree& tree;
    Catalog& catalog;
    const Mount& mount;
    std::string mountpoint;
  };
  // Unmounts what a daemon that was killed left mounted, and lets requests in.
  void Start(const Host& host);
  // Deletes the snapshot; no request is answered any more.
  void Stop();

  [[nodiscard]] Answer<protocol::CreateSnapshot> Create(const protocol::CreateSnapshot& request) EXCLUDES(turn_);
  [[nodiscard]] Answer<protocol::DeleteSnapshot> Delete() EXCLUDES(turn_);
  [[nodiscard]] protocol::SnapshotState Now() const;

 private:
  using Outcome = tl::expected<void, std::string>;

  void BeforeEntry(int dir, const char* name, Fate fate) override;
  void BeforeAttributes(int dir, const char* name) override;
  void BeforeContent(int file, off_t offset, off_t length) override;
  void Made(int dir, const char* name) override;
  void OpenedForWriting(int file) override;

  [[nodiscard]] std::shared_ptr<snapshot::Image> Current() const;
  // Tells the image, if there is one. If that throws, the image is lost.
  template <typename Announcement>
  void Tell(Announcement announcement);
  [[nodiscard]] protocol::SnapshotState Prospects() const;
  [[nodiscard]] std::vector<protocol::MappedFile> Mapped() const;
  [[nodiscard]] tl::expected<std::shared_ptr<snapshot::Image>, std::string> MakeImage(const struct stat& top) const;
  [[nodiscard]] Outcome TakeInstant(const std::shared_ptr<snapshot::Image>& image, protocol::SnapshotState& state) REQUIRES(turn_);
  [[nodiscard]] Outcome Build(const protocol::CreateSnapshot& request, protocol::SnapshotState& state) REQUIRES(turn_);
  // Ends the holding of writes and everything that is kept.
  void LetGo() REQUIRES(turn_);
  [[nodiscard]] protocol::SnapshotState End() REQUIRES(turn_);
  void WatchOver();
  void LookAfter() EXCLUDES(turn_);
  // "" if all is well.
  [[nodiscard]] std::string WhyNoSpace() const;
  [[nodiscard]] std::string WhyNoView() const;

  const Config& config_;
  std::optional<Host> host_;
  SharedMutex instant_;
  std::unique_ptr<AccessGuard> in_trees_;  // of tiers 1 and 2
  // Of the other tiers on the same file systems: a file may have a name in both.
  std::unique_ptr<AccessGuard> elsewhere_;
  std::string why_not_held_;  // why writes past the daemon cannot be held

  Mutex turn_;  // one snapshot is made or deleted at a time
  std::unique_ptr<ViewMount> view_ GUARDED_BY(turn_);
  UniqueFd owner_ GUARDED_BY(turn_);
  mutable Mutex mutex_;
  std::shared_ptr<snapshot::Image> image_ GUARDED_BY(mutex_);
  protocol::SnapshotState state_ GUARDED_BY(mutex_);
  Mutex stop_mutex_;
  Wakeup stopping_;
  bool stop_ GUARDED_BY(stop_mutex_) = false;
  std::thread watcher_;
};

}  // namespace tierfs
