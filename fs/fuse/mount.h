// One FUSE mount of a tree: the connection to the kernel and the loop that serves it. The only
// place that knows libfuse.
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
  std::string source;                       // what /proc/mounts shows as the source: the config file
  std::vector<std::string> kernel_options;  // ro, noexec, nosuid, allow_other …, as mount(8) names them
  bool debug = false;                       // libfuse prints each request to stderr
  std::optional<bool> io_uring;             // without a word: where nobody has to wait for who takes long
};

// What the kernel and this build agreed on.
struct MountFacts {
  bool passthrough = false;
  std::string passthrough_reason;  // why not
  std::string transport;           // "io_uring" or "/dev/fuse"
  std::string transport_reason;    // why not io_uring
  std::string libfuse;             // its version
};

class Mount final : public Kernel {
 public:
  // `tree` must outlive the mount.
  Mount(Tree& tree, MountOptions options);
  ~Mount() override;
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  // Mounts at `mountpoint`. Requests wait in the kernel until Serve.
  [[nodiscard]] Status Start(const std::string& mountpoint);
  // Answers requests until the mount is gone or a SIGTERM, SIGINT or SIGHUP comes, then unmounts.
  // `ready` is called when the kernel has said hello.
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
  // Threads for what takes long; none where each request has a thread of its own, or where only the
  // one that got it can answer it.
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
  mutable Mutex facts_mutex_;  // somebody may ask while the kernel still says hello
  MountFacts facts_ GUARDED_BY(facts_mutex_);
  std::atomic<bool> passthrough_{false};  // the same as in the facts, for each open
  bool kernel_opens_directories_ = false;
  std::atomic<std::uint64_t> notified_{0};  // notifications to the kernel, from any thread
  std::function<void()> ready_;
};

}  // namespace tierfs
