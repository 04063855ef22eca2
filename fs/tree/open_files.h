// Open files: which descriptor serves a handle, and whether the kernel may go past the daemon.
#pragma once

#include <memory>

#include "fs/tree/change_reporter.h"
#include "fs/tree/directories.h"
#include "fs/tree/handle_table.h"
#include "fs/tree/kernel.h"
#include "fs/tree/settle_queue.h"
#include "fs/tree/types.h"

namespace tierfs {

// Owns the handles. A node's own count of them is guarded by its mutex. The kernel's rules
// (fs/fuse/iomode.c): while a passthrough open exists, an inode has one backing file, and every
// open of it has to be a passthrough open of that file; while a page-cached open exists, no
// passthrough open may join. So a file that was copied up under passthrough handles to the lower
// file goes on under a new node: open answers ESTALE, upon which the kernel looks the path up
// again.
class OpenFiles {
 public:
  OpenFiles(const LayerSet& layers, NodeTable& nodes, Directories& directories, ChangeReporter& reporter, SettleQueue& settle_queue,
            bool passthrough)
      : layers_(layers),
        nodes_(nodes),
        directories_(directories),
        reporter_(reporter),
        settle_queue_(settle_queue),
        passthrough_(passthrough) {}

  // Before the first request; `kernel` must outlive the last.
  void Attach(Kernel* kernel) { kernel_ = kernel; }

  // The flags of open(2) that the backing file is opened with.
  [[nodiscard]] static int BackingFlags(int flags);
  // The backing file where it is now.
  [[nodiscard]] Result<UniqueFd> OpenBacking(const NodePtr& node, int flags) REQUIRES(node->mutex);
  // A new handle for the open backing file. ESTALE when the kernel has to look the file up again.
  [[nodiscard]] Result<Opened> Add(const NodePtr& node, UniqueFd fd, int flags) REQUIRES(node->mutex);
  // The file has another backing file now: handles that the daemon serves read from that.
  void FollowContent(const NodePtr& node) REQUIRES(node->mutex);
  void Release(HandleId handle);

  [[nodiscard]] std::shared_ptr<OpenFile> Get(HandleId handle) { return handles_.Get(handle); }
  // Reports every file that is open for writing, so that the feed looks at what was written up to
  // now.
  void ReportWriters();

  struct Count {
    std::size_t handles = 0;
    std::size_t passthrough = 0;
  };
  [[nodiscard]] Count CountHandles() const;
  [[nodiscard]] bool WantsPassthrough() const { return passthrough_; }

 private:
  [[nodiscard]] DataMode ModeFor(const NodePtr& node, int fd, int flags) REQUIRES(node->mutex);
  [[nodiscard]] std::int32_t RegisterBacking(const NodePtr& node, int fd);
  [[nodiscard]] static bool MayMapForWriting(const OpenFile& file);
  // Before a handle leaves the table; what it returns, a reader of what may stay mapped, is for
  // ReportMapped once the file is closed.
  [[nodiscard]] UniqueFd ReportClosing(const OpenFile& file);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Directories& directories_;
  ChangeReporter& reporter_;
  SettleQueue& settle_queue_;
  const bool passthrough_;
  Kernel* kernel_ = nullptr;
  HandleTable handles_;
};

}  // namespace tierfs
