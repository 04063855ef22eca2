// A read-only mount of a FrozenView.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"
#include "fs/tier/frozen_view.h"

struct fuse_session;

namespace tierfs {

// Owns the FUSE session and the thread that serves it. What the view shows never changes, so the
// kernel may cache all of it for as long as the mount exists.
class ViewMount {
 public:
  // Mounts the view at `mountpoint`; `source` is what the kernel lists as mounted there. Answers
  // requests on return.
  [[nodiscard]] static Result<std::unique_ptr<ViewMount>> Start(std::shared_ptr<FrozenView> view, const std::string& mountpoint,
                                                                const std::string& source);
  // Unmounts, even if the view is in use.
  ~ViewMount();
  ViewMount(const ViewMount&) = delete;
  ViewMount& operator=(const ViewMount&) = delete;

  // The objects behind the kernel's numbers of open files and directories.
  template <typename T>
  class Handles {
   public:
    [[nodiscard]] std::uint64_t Add(std::unique_ptr<T> object) {
      const Lock lock(mutex_);
      objects_[++last_] = std::move(object);
      return last_;
    }
    [[nodiscard]] std::shared_ptr<T> Get(std::uint64_t handle) const {
      const Lock lock(mutex_);
      const auto found = objects_.find(handle);
      return found == objects_.end() ? nullptr : found->second;
    }
    void Remove(std::uint64_t handle) {
      const Lock lock(mutex_);
      objects_.erase(handle);
    }

   private:
    mutable Mutex mutex_;
    std::unordered_map<std::uint64_t, std::shared_ptr<T>> objects_ GUARDED_BY(mutex_);
    std::uint64_t last_ GUARDED_BY(mutex_) = 0;
  };

  // For the callbacks.
  [[nodiscard]] FrozenView& view() const { return *view_; }
  Handles<FrozenView::File> files;
  Handles<std::vector<FrozenView::Entry>> listings;

 private:
  ViewMount(std::shared_ptr<FrozenView> view, std::string mountpoint) : view_(std::move(view)), mountpoint_(std::move(mountpoint)) {}

  const std::shared_ptr<FrozenView> view_;
  const std::string mountpoint_;
  fuse_session* session_ = nullptr;
  UniqueFd root_;
  std::thread thread_;
};

// The file system type of such a mount, as the kernel lists it.
inline constexpr const char kViewType[] = "fuse.tierfs-snapshot";

}  // namespace tierfs
