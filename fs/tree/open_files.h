// Open files: the descriptor that serves each handle, and the choice of passthrough.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "fs/os/caller.h"
#include "fs/tree/change_reporter.h"
#include "fs/tree/directories.h"
#include "fs/tree/handle_table.h"
#include "fs/tree/kernel.h"
#include "fs/tree/settle_queue.h"
#include "fs/tree/types.h"

namespace tierfs {

// Owns the handles. The mutex of a node guards the node's own count of them.
//
// The kernel has these rules (fs/fuse/iomode.c). While a passthrough open exists, an inode has one
// backing file, and every open of it must be a passthrough open of that file. While a page-cached
// open exists, no passthrough open may join. Lower files are therefore opened without passthrough:
// a copy-up gives them another backing file, and readers then see what is written to the copy.
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

  // Must be called before the first request. `kernel` must outlive the last request.
  void Attach(Kernel* kernel) { kernel_ = kernel; }

  // An open backing file, and its attributes.
  struct Backing {
    UniqueFd fd;
    struct stat st;
    bool append_only = false;  // open with O_APPEND, because the file allows nothing else
  };
  // The flags of open(2) for the backing file, without O_TRUNC.
  [[nodiscard]] static int BackingFlags(int flags);
  // Opens the backing file where it is now. ESTALE when it was replaced underneath.
  [[nodiscard]] Result<Backing> OpenBacking(const NodePtr& node, int flags) REQUIRES(node->mutex);
  // Does what O_TRUNC asks for.
  [[nodiscard]] Status Empty(const Caller& caller, const NodePtr& node, const Backing& backing, int flags);
  // Makes a handle for the open backing file.
  [[nodiscard]] Result<Opened> Add(const NodePtr& node, Backing backing, int flags) REQUIRES(node->mutex);
  // Runs `change` on the file of the handle. It changes the content in this range (bytes; kToTheEnd
  // for all that follows), so the file loses the setuid
  // and setgid bits that a local disk would take from it. Without a caller the kernel writes pages
  // of a mapping back, and no bits are lost.
  using Change = std::function<Status(int fd)>;
  [[nodiscard]] Status ChangeContent(const std::optional<Caller>& caller, HandleId handle, off_t offset, off_t length,
                                     const Change& change);
  // Must be called after the file got another backing file. Switches the handles that the daemon
  // serves to it.
  void FollowContent(const NodePtr& node) REQUIRES(node->mutex);
  void Release(HandleId handle);
  // Gives back the space of a regular file that has no name left, unless it is open. Must be called
  // whenever a file may have become so. A descriptor opened with O_PATH, of which the kernel tells
  // nothing, goes on showing the last attributes. A small file stays until the kernel forgets it: a
  // program may have looked it up and be about to open it. The kernel tries such an open once more,
  // but a small file may have been replaced again by then.
  static void GiveBackSpace(Node& node, const struct stat& st) REQUIRES(node.mutex);
  // Finds out whether a mapping for writing outlived the handles of the file. The kernel does not
  // report its end.
  void LookForMapping(const NodePtr& node) EXCLUDES(node->mutex);

  [[nodiscard]] std::shared_ptr<OpenFile> Get(HandleId handle) { return handles_.Get(handle); }
  // Reports every file that is open for writing, so that the feed sees everything written up to
  // now.
  void ReportWriters();
  // Calls `visit` with the descriptor of each file that is open for writing.
  void ForEachWriter(const std::function<void(int file)>& visit);
  // The paths of the files in the layer that are open for writing.
  [[nodiscard]] std::set<std::string> WrittenIn(LayerIndex layer);
  // Has the kernel write out the dirty pages of files that may be mapped for writing, and waits for
  // it. With passthrough such pages are the backing file's own, so there is nothing to do. Call it
  // with no lock held: the writes come as requests. Returns the number of files.
  std::size_t WriteBackMapped();

  struct Count {
    std::size_t handles = 0;
    std::size_t passthrough = 0;
  };
  [[nodiscard]] Count CountHandles() const;
  [[nodiscard]] bool WantsPassthrough() const { return passthrough_; }

 private:
  [[nodiscard]] DataMode ModeFor(const NodePtr& node, const Backing& backing, int flags) REQUIRES(node->mutex);
  // A handle that can write at any offset. The kernel writes the pages of a mapping back through
  // any handle of the file, also through one that only appends.
  [[nodiscard]] Result<std::shared_ptr<OpenFile>> WriterAnywhere(const std::shared_ptr<OpenFile>& file);
  [[nodiscard]] static Result<Backing> OpenAt(const Location& at, int flags, int quiet);
  // Registers the backing file for passthrough; 0 if that is not possible.
  [[nodiscard]] std::int32_t RegisterBacking(const NodePtr& node, const Backing& backing);
  // Opens the backing file once more, on the private mount of its layer.
  [[nodiscard]] Result<UniqueFd> OpenAside(const NodePtr& node, const Backing& backing);
  [[nodiscard]] static bool MayMapForWriting(const OpenFile& file);
  // Must be called before a handle leaves the table. Returns a reader if the file may stay mapped
  // for writing; the caller passes it to ReportMapped once the file is closed.
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
