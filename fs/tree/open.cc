// Open files: which descriptor serves a handle, and whether the kernel may go past the daemon.
//
// The kernel's rules (fs/fuse/iomode.c): while a passthrough open exists, an inode has one backing file, and neither a passthrough open
// with another backing file nor a page-cached open may join; while a page-cached open exists, no passthrough open may join. A
// direct_io open may stand beside both.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/tree/tree.h"

namespace tierfs {

int Tree::BackingFlags(int flags) {
  // O_DIRECT stays with the kernel's own passthrough open: through the daemon its buffers need not be aligned.
  return flags & (O_ACCMODE | O_APPEND | O_SYNC | O_DSYNC | O_NOATIME | O_TRUNC);
}

Result<Opened> Tree::Open(NodeId id, int flags) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  if (node->IsDir()) return Fail(EISDIR, "open of a directory as a file");
  const bool truncates = (flags & O_TRUNC) != 0;
  if ((flags & O_ACCMODE) != O_RDONLY || truncates) TIERFS_TRY(CopyUp(node, truncates ? 0 : kAllData));
  UniqueFd fd;
  {
    const std::lock_guard lock(node->mutex);
    TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
    if (at.name.empty()) {
      fd = UniqueFd(::open(ProcPath(at.file.get()).c_str(), BackingFlags(flags) | O_CLOEXEC));
      if (!fd) return FailErrno("open of an unlinked file");
    } else {
      TIERFS_ASSIGN(fd, OpenEntry(at.DirOrFile(), at.name.c_str(), BackingFlags(flags)));
      TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
      if (!(layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*node))) return Fail(ESTALE, "replaced underneath");
    }
  }
  return AddHandle(node, std::move(fd), flags);
}

Result<Opened> Tree::AddHandle(const NodePtr& node, UniqueFd fd, int flags) {
  auto file = std::make_shared<OpenFile>();
  file->node = node;
  file->fd = std::move(fd);
  file->flags = flags;
  file->writer = (flags & O_ACCMODE) != O_RDONLY;
  Opened opened;

  const std::lock_guard lock(node->mutex);
  OpenState& open = node->open;
  const BackingKey backing = nodes_.KeyOf(*node);
  if (open.passthrough > 0) {
    file->mode = open.backing == backing ? DataMode::kPassthrough : DataMode::kDirect;
  } else if (open.cached == 0 && options_.passthrough) {
    open.backing_id = kernel_->OpenBacking(file->fd.get());
    if (open.backing_id > 0) {
      open.backing = backing;
      file->mode = DataMode::kPassthrough;
    }
  }
  if (file->mode == DataMode::kPassthrough) {
    ++open.passthrough;
    opened.backing_id = open.backing_id;
  } else if (file->mode == DataMode::kDirect || (flags & O_DIRECT) != 0) {
    file->mode = DataMode::kDirect;
    opened.direct = true;
  } else {
    ++open.cached;
  }
  if (file->writer) {
    node->writers.fetch_add(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) node->mappers.fetch_add(1, std::memory_order_relaxed);
    // A shared mapping changes the file without any request: what the kernel was told about it before no longer holds.
    if (MayMapForWriting(*file) && (flags & O_CREAT) == 0) kernel_->InvalidateAttributes(node->id);
  }
  opened.handle = handles_.Add(std::move(file));
  return opened;
}

bool Tree::MayMapForWriting(const OpenFile& file) { return file.mode == DataMode::kPassthrough && (file.flags & O_ACCMODE) == O_RDWR; }

void Tree::Release(HandleId handle) {
  auto file = handles_.Get(handle);
  if (!file) return;
  // While it can be told of by TellOpenFiles: there is no instant at which what it wrote is unknown.
  Closing closing = TellClosing(*file);
  (void)handles_.Remove(handle);
  const NodePtr keep = file->node;
  const AtEnd tell([&] {
    file.reset();
    TellClosed(std::move(closing));
  });
  Node& node = *keep;
  const std::lock_guard lock(node.mutex);
  OpenState& open = node.open;
  if (file->mode == DataMode::kCached) --open.cached;
  if (file->mode == DataMode::kPassthrough && --open.passthrough == 0) {
    kernel_->CloseBacking(open.backing_id);
    open.backing_id = 0;
  }
  if (file->writer) {
    node.writers.fetch_sub(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) {
      node.mappers.fetch_sub(1, std::memory_order_relaxed);
      kernel_->InvalidateAttributes(node.id);
    }
  }
}

}  // namespace tierfs
