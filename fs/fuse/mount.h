// One FUSE mount of a tree: the connection to the kernel and the loop that serves it. Together with
// the callbacks, the only code that uses libfuse.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/fuse/listings.h"
#include "fs/fuse/request_counters.h"
#include "fs/fuse/workers.h"
#include "fs/os/mutex.h"
#include "fs/tree/tree.h"

struct fuse_req;
struct fuse_session;
struct fuse_conn_info;

namespace tierfs {

struct MountOptions {
  std::string source;  // the source shown in /proc/mounts: the config file
  // Options such as ro, noexec, nosuid and allow_other, as mount(8) names them.
  std::vector<std::string> kernel_options;
  bool debug = false;  // libfuse prints each request to stderr
  // Unset: used if no request has to wait for one that takes long.
  std::optional<bool> io_uring;
};

// The features agreed between the kernel and this build.
struct MountFacts {
  bool passthrough = false;
  std::string passthrough_reason;  // why passthrough is not used
  std::string transport;           // "io_uring" or "/dev/fuse"
  std::string transport_reason;    // why io_uring is not used
  std::string libfuse;             // its version
};

// Owns the FUSE session, the listings and the worker threads. libfuse runs the callbacks on several
// threads.
class Mount final : public Kernel {
 public:
  // `tree` must outlive the mount.
  Mount(Tree& tree, MountOptions options);
  ~Mount() override;
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  // Mounts at `mountpoint`. Requests wait in the kernel until Serve.
  [[nodiscard]] Status Start(const std::string& mountpoint);
  // Answers requests until the mount is gone or a SIGTERM or SIGINT arrives, then unmounts. `ready`
  // is called after the kernel's INIT request.
  [[nodiscard]] Status Serve(std::function<void()> ready);

  [[nodiscard]] MountFacts Facts() const {
    const Lock lock(facts_mutex_);
    return facts_;
  }
  [[nodiscard]] const RequestCounters& counters() const { return counters_; }

  std::int32_t OpenBacking(int fd) override;
  void CloseBacking(std::int32_t id) override;
  void InvalidateAttributes(NodeId node) override;
  void InvalidateData(NodeId node) override;
  void InvalidateEntry(NodeId parent, const std::string& name) override;

  // For the callbacks.
  void Initialise(fuse_conn_info* connection);
  [[nodiscard]] Tree& tree() { return tree_; }
  [[nodiscard]] bool KernelOpensDirectories() const { return kernel_opens_directories_; }
  [[nodiscard]] Listings& listings() { return listings_; }
  [[nodiscard]] RequestCounters& counters() { return counters_; }
  // Returns the threads for requests that take long. Null if each request has a thread of its own,
  // or if only the receiving thread may answer.
  [[nodiscard]] Workers* WorkersFor(fuse_req* request);

 private:
  Tree& tree_;
  const MountOptions options_;
  void Unmount();
  [[nodiscard]] std::string WhyNotUring() const;

  std::string mountpoint_;
  fuse_session* session_ = nullptr;
  Listings listings_;
  RequestCounters counters_;
  Workers workers_;
  // A client may ask for the facts while the kernel's INIT is still being served.
  mutable Mutex facts_mutex_;
  MountFacts facts_ GUARDED_BY(facts_mutex_);
  std::atomic<bool> passthrough_{false};  // a copy of the fact, read at each open
  bool kernel_opens_directories_ = false;
  // Notifications sent to the kernel by any thread.
  std::atomic<std::uint64_t> notified_{0};
  std::function<void()> ready_;
};

}  // namespace tierfs
