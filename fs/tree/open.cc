// Open files: which descriptor serves a handle, and whether the kernel may go past the daemon.
//
// The kernel's rules (fs/fuse/iomode.c): while a passthrough open exists, an inode has one backing file, and every open of it has to be a
// passthrough open of that file; while a page-cached open exists, no passthrough open may join. So a file that was copied up under
// passthrough handles to the lower file goes on under a new node: open answers ESTALE, upon which the kernel looks the path up again.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/tree/tree.h"

namespace tierfs {

int Tree::BackingFlags(int flags) {
  // O_DIRECT stays with the kernel's own passthrough open: through the daemon its buffers need not be aligned. O_APPEND is the kernel's
  // work too: it gives each write its offset, and pages of a mapping are written back by any handle, also by one that appends.
  return flags & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME | O_TRUNC);
}

Result<UniqueFd> Tree::OpenBackingFile(const NodePtr& node, int flags) {
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  if (at.name.empty()) {
    UniqueFd fd(::open(ProcPath(at.file.get()).c_str(), BackingFlags(flags) | O_CLOEXEC));
    if (!fd) return FailErrno("open of an unlinked file");
    return fd;
  }
  // What the daemon reads for a mount with noatime moves no access times either.
  const int quiet = layers_[at.layer].noatime ? O_NOATIME : 0;
  TIERFS_ASSIGN(UniqueFd fd, OpenEntry(at.DirOrFile(), at.name.c_str(), BackingFlags(flags) | quiet));
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  if (!(layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*node))) return Fail(ESTALE, "replaced underneath");
  return fd;
}

Result<Opened> Tree::Open(NodeId id, int flags) {
  NodePtr node;
  {
    const SharedTopology topology(topology_);
    TIERFS_ASSIGN(node, Get(id));
  }
  if (node->IsDir()) return Fail(EISDIR, "open of a directory as a file");
  if (nodes_.IsSuperseded(id)) return Fail(ESTALE, "the file has another node");
  const bool truncates = (flags & O_TRUNC) != 0;
  if ((flags & O_ACCMODE) != O_RDONLY || truncates) TIERFS_TRY(CopyUp(node, truncates ? 0 : kAllData));
  const SharedTopology topology(topology_);
  const std::lock_guard lock(node->mutex);
  TIERFS_ASSIGN(UniqueFd fd, OpenBackingFile(node, flags));
  if (truncates) {
    // Also by a reader, whose close says nothing.
    ++node->changes;
    TellNode(*node, Feed::Change::kContent);
  }
  return AddHandle(node, std::move(fd), flags);
}

std::int32_t Tree::RegisterBacking(const NodePtr& node, int fd) {
  const Layer& layer = layers_[node->Placement()];
  if (!layer.noatime) return kernel_->OpenBacking(fd);
  // The kernel reads through the mount that this descriptor is on.
  const auto path = nodes_.PathOf(*node);
  if (!path) return kernel_->OpenBacking(fd);
  const int flags = ::fcntl(fd, F_GETFL) & O_ACCMODE;
  const auto quiet = OpenBeneath(layer.noatime.get(), *path, flags);
  const auto st = quiet ? StatFd(quiet->get()) : tl::unexpected(quiet.error());
  if (!st || !(layers_.KeyOf(node->Placement(), *st) == nodes_.KeyOf(*node))) return kernel_->OpenBacking(fd);
  return kernel_->OpenBacking(quiet->get());
}

Result<Opened> Tree::AddHandle(const NodePtr& node, UniqueFd fd, int flags) {
  OpenState& open = node->open;
  const BackingKey backing = nodes_.KeyOf(*node);
  if (open.passthrough > 0 && !(open.backing == backing)) {
    nodes_.Supersede(node);
    kernel_->InvalidateAttributes(node->id);
    return Fail(ESTALE, "handles go past the daemon to the lower file");
  }
  DataMode mode = DataMode::kCached;
  if (open.passthrough > 0) {
    mode = DataMode::kPassthrough;
  } else if (open.cached + open.direct == 0 && options_.passthrough) {
    open.backing_id = RegisterBacking(node, fd.get());
    if (open.backing_id > 0) {
      open.backing = backing;
      mode = DataMode::kPassthrough;
    }
  }
  if (mode == DataMode::kCached && (flags & O_DIRECT) != 0) mode = DataMode::kDirect;

  auto file = std::make_shared<OpenFile>(node, std::move(fd), flags);
  file->mode = mode;
  Opened opened;
  switch (mode) {
    case DataMode::kPassthrough:
      ++open.passthrough;
      opened.backing_id = open.backing_id;
      break;
    case DataMode::kDirect:
      ++open.direct;
      opened.direct = true;
      break;
    case DataMode::kCached:
      ++open.cached;
      break;
  }
  if (file->writer) {
    ++node->changes;
    node->writers.fetch_add(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) node->mappers.fetch_add(1, std::memory_order_relaxed);
    // A shared mapping changes the file without any request: what the kernel was told about it before no longer holds.
    if (MayMapForWriting(*file) && (flags & O_CREAT) == 0) kernel_->InvalidateAttributes(node->id);
  }
  opened.handle = handles_.Add(std::move(file));
  return opened;
}

void Tree::FollowContent(const NodePtr& node) {
  if (node->open.cached + node->open.direct == 0) return;
  for (const auto& file : handles_.All()) {
    if (file->node != node || file->mode == DataMode::kPassthrough) continue;
    auto fd = OpenBackingFile(node, file->flags & ~O_TRUNC);
    // One that cannot be opened goes on showing the lower file, as an overlayfs reader would.
    if (fd) file->Follow(std::move(*fd));
  }
}

bool Tree::MayMapForWriting(const OpenFile& file) { return file.mode == DataMode::kPassthrough && (file.flags & O_ACCMODE) == O_RDWR; }

void Tree::Release(HandleId handle) {
  auto file = handles_.Get(handle);
  if (!file) return;
  // While it can be told of by TellOpenFiles: there is no instant at which what it wrote is unknown.
  UniqueFd reader = TellClosing(*file);
  (void)handles_.Remove(handle);
  const NodePtr node = file->node;
  const AtEnd tell([&] {
    file.reset();
    TellClosed(std::move(reader));
  });
  const std::lock_guard lock(node->mutex);
  OpenState& open = node->open;
  if (file->mode == DataMode::kCached) --open.cached;
  if (file->mode == DataMode::kDirect) --open.direct;
  if (file->mode == DataMode::kPassthrough && --open.passthrough == 0) {
    kernel_->CloseBacking(open.backing_id);
    open.backing_id = 0;
  }
  if (file->writer) {
    // A copy that was begun while it was open has not all that it wrote, and the kernel tells of no write that goes past the daemon.
    ++node->changes;
    node->writers.fetch_sub(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) {
      node->mappers.fetch_sub(1, std::memory_order_relaxed);
      kernel_->InvalidateAttributes(node->id);
    }
  }
  if (node->settle_at_close && !open.Any()) Closed(node);
}

}  // namespace tierfs
