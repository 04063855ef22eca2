#include "fs/tree/open_files.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <utility>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/os/change_observer.h"
#include "fs/os/entries.h"
#include "fs/os/inode_handle.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

constexpr off_t kSector = 512;  // of st_blocks
// Writing more takes longer than a program does from the lookup to the open.
constexpr off_t kSmallFile = 1 << 20;

}  // namespace

int OpenFiles::BackingFlags(int flags) {
  // O_DIRECT is left to the kernel's own passthrough open: buffers that come through the daemon
  // need not be aligned. O_APPEND is left to the kernel too. It gives each write its offset. It
  // also writes the pages of a mapping back through any handle, even one that appends.
  return flags & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME);
}

Result<OpenFiles::Backing> OpenFiles::OpenAt(const Location& at, int flags, int quiet) {
  const auto open = [&](int more) {
    const int all = BackingFlags(flags) | more;
    return at.name.empty() ? Reopen(at.file.get(), all) : OpenEntry(at.DirOrFile(), at.name.c_str(), all | quiet);
  };
  Backing backing;
  auto fd = open(0);
  if (!fd && fd.error().code == EPERM && (flags & O_APPEND) != 0) {
    fd = open(O_APPEND);
    backing.append_only = true;
  }
  TIERFS_ASSIGN(backing.fd, std::move(fd));
  TIERFS_ASSIGN(backing.st, StatFd(backing.fd.get()));
  return backing;
}

Result<OpenFiles::Backing> OpenFiles::OpenBacking(const NodePtr& node, int flags) {
  TIERFS_ASSIGN(const Location at, directories_.LocateLocked(node, node->Placement()));
  // With noatime, reads by the daemon must not update access times either.
  TIERFS_ASSIGN(Backing backing, OpenAt(at, flags, layers_[at.layer].noatime ? O_NOATIME : 0));
  if (at.name.empty() || layers_.KeyOf(at.layer, backing.st) == nodes_.KeyOf(*node)) return backing;
  return Fail(ESTALE, "replaced underneath");
}

Status OpenFiles::Empty(const Caller& caller, const NodePtr& node, const Backing& backing, int flags) {
  const SetidOf bits(caller, backing.st);
  UniqueFd writer;
  if ((flags & O_ACCMODE) == O_RDONLY) {
    TIERFS_ASSIGN(writer, Reopen(backing.fd.get(), O_WRONLY));
  }
  TIERFS_TRY(Truncate(writer ? writer.get() : backing.fd.get(), 0));
  if (bits.Drops()) kernel_->InvalidateAttributes(node->id);
  return {};
}

std::int32_t OpenFiles::RegisterBacking(const NodePtr& node, const Backing& backing) {
  const Layer& layer = layers_[node->Placement()];
  if (!layer.aside) return kernel_->OpenBacking(backing.fd.get());
  // The kernel reads and writes through the mount that this descriptor is on.
  const auto aside = OpenAside(node, backing);
  return aside ? kernel_->OpenBacking(aside->get()) : 0;
}

Result<UniqueFd> OpenFiles::OpenAside(const NodePtr& node, const Backing& backing) {
  const Layer& layer = layers_[node->Placement()];
  const int flags = AccessModeOf(backing.fd.get());
  if (const auto path = nodes_.PathOf(*node)) {
    auto file = OpenBeneath(layer.aside.get(), *path, flags);
    const auto st = file ? StatFd(file->get()) : tl::unexpected(file.error());
    if (st && st->st_dev == backing.st.st_dev && st->st_ino == backing.st.st_ino) return file;
  }
  // It has no name, or another file has it now.
  TIERFS_ASSIGN(const UniqueFd inode, OpenInode(layer.aside.get(), backing.st.st_ino));
  return Reopen(inode.get(), flags);
}

DataMode OpenFiles::ModeFor(const NodePtr& node, const Backing& backing, int flags) {
  OpenState& open = node->open;
  if (open.passthrough > 0) return DataMode::kPassthrough;
  // Such a handle appends whatever the offset is, so no mapping must be written back through it.
  if (backing.append_only) return DataMode::kDirect;
  // A write that goes past the daemon takes setuid and setgid bits from the file even if the caller
  // may keep them.
  const bool keeps_bits = (flags & O_ACCMODE) != O_RDONLY && (backing.st.st_mode & (S_ISUID | S_ISGID)) != 0;
  // A copy-up gives a lower file another backing file, which the kernel does not allow while a
  // passthrough handle is open.
  if (open.cached + open.direct == 0 && passthrough_ && IsTier(node->Placement()) && !keeps_bits) {
    open.backing_id = RegisterBacking(node, backing);
    if (open.backing_id > 0) return DataMode::kPassthrough;
  }
  return (flags & O_DIRECT) != 0 ? DataMode::kDirect : DataMode::kCached;
}

Result<Opened> OpenFiles::Add(const NodePtr& node, Backing backing, int flags) {
  OpenState& open = node->open;
  if (ChangeObserver* const observer = ChangeObserver::Now(); observer != nullptr && (flags & O_ACCMODE) != O_RDONLY) {
    observer->OpenedForWriting(backing.fd.get());
  }
  const DataMode mode = ModeFor(node, backing, flags);
  auto file = std::make_shared<OpenFile>(node, std::move(backing.fd), flags);
  file->mode = mode;
  Opened opened;
  switch (mode) {
    case DataMode::kPassthrough:
      ++open.passthrough;
      open.pages_outdated = true;
      opened.backing_id = open.backing_id;
      break;
    case DataMode::kDirect:
      ++open.direct;
      opened.direct = true;
      break;
    case DataMode::kCached:
      ++open.cached;
      opened.keep_pages = !std::exchange(open.pages_outdated, false);
      break;
  }
  if (file->writer) {
    ++node->changes;
    node->writers.fetch_add(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) node->mappers.fetch_add(1, std::memory_order_relaxed);
    // A shared mapping changes the file without a request, so the attributes that the kernel has
    // cached are no longer valid.
    if (MayMapForWriting(*file) && (flags & O_CREAT) == 0) kernel_->InvalidateAttributes(node->id);
  }
  opened.handle = handles_.Add(std::move(file));
  return opened;
}

void OpenFiles::FollowContent(const NodePtr& node) {
  if (node->open.cached + node->open.direct == 0) return;
  for (const auto& file : handles_.All()) {
    if (file->node != node || file->mode == DataMode::kPassthrough) continue;
    auto backing = OpenBacking(node, file->flags);
    if (backing) {
      file->Follow(std::move(backing->fd));
    } else {
      spdlog::error("an open handle goes on showing the lower file: {} ({})", std::strerror(backing.error().code), backing.error().step);
    }
  }
}

Result<std::shared_ptr<OpenFile>> OpenFiles::WriterAnywhere(const std::shared_ptr<OpenFile>& file) {
  if ((file->flags & O_APPEND) == 0 || !OnlyAppends(file->Data()->get())) return file;
  for (const auto& other : handles_.All()) {
    if (other->node == file->node && other->writer && !OnlyAppends(other->Data()->get())) return other;
  }
  return Fail(EIO, "a page of an append-only file");
}

Status OpenFiles::ChangeContent(const std::optional<Caller>& caller, HandleId handle, off_t offset, off_t length, const Change& change) {
  auto file = handles_.Get(handle);
  if (!file) return Fail(EBADF, "unknown handle");
  if (!caller) {
    TIERFS_ASSIGN(file, WriterAnywhere(file));
  }
  const auto data = file->Data();
  TIERFS_ASSIGN(const struct stat st, StatFd(data->get()));
  const SetidOf bits(caller.value_or(Caller{}), st);
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeContent(data->get(), offset, length);
  TIERFS_TRY(change(data->get()));
  // The kernel would run the file with the bits that it has cached.
  if (bits.Drops()) kernel_->InvalidateAttributes(file->node->id);
  return {};
}

bool OpenFiles::MayMapForWriting(const OpenFile& file) { return file.mode == DataMode::kPassthrough && (file.flags & O_ACCMODE) == O_RDWR; }

void OpenFiles::Release(HandleId handle) {
  auto file = handles_.Get(handle);
  if (!file) return;
  // The report comes while ReportWriters still sees the handle. Every write is thus covered by one
  // of the two.
  UniqueFd reader = ReportClosing(*file);
  (void)handles_.Remove(handle);
  const NodePtr node = file->node;
  const AtEnd report([&] {
    file.reset();
    if (reader) reporter_.ReportMapped(std::move(reader));
  });
  const Lock lock(node->mutex);
  OpenState& open = node->open;
  if (file->mode == DataMode::kCached) --open.cached;
  if (file->mode == DataMode::kDirect) --open.direct;
  if (file->mode == DataMode::kPassthrough && --open.passthrough == 0) {
    kernel_->CloseBacking(open.backing_id);
    open.backing_id = 0;
  }
  if (file->writer) {
    // A copy that began while the handle was open lacks some of its writes. The kernel does not
    // report a write that bypasses the daemon.
    ++node->changes;
    node->writers.fetch_sub(1, std::memory_order_relaxed);
    if (MayMapForWriting(*file)) {
      node->mappers.fetch_sub(1, std::memory_order_relaxed);
      node->may_stay_mapped.store(true, std::memory_order_relaxed);
      kernel_->InvalidateAttributes(node->id);
    }
  }
  if (node->settle_at_close && !open.Any()) settle_queue_.Closed(node);
  if (node->removed && node->pinned) {
    if (const auto st = StatFd(node->pinned.get())) GiveBackSpace(*node, *st);
  }
}

void OpenFiles::GiveBackSpace(Node& node, const struct stat& st) {
  if (!node.removed || !node.pinned || node.open.Any() || !S_ISREG(node.type)) return;
  if (st.st_blocks * kSector <= kSmallFile) return;
  node.last_seen = std::make_unique<const struct stat>(st);
  node.pinned.Reset();
}

void OpenFiles::LookForMapping(const NodePtr& node) {
  if (!node->may_stay_mapped.load(std::memory_order_relaxed)) return;
  const Lock lock(node->mutex);
  if (node->writers.load(std::memory_order_relaxed) != 0) return;  // they hide a mapping
  const auto reader = OpenBacking(node, O_RDONLY | O_NOATIME);
  if (reader && !HasWriters(reader->fd.get(), false)) node->may_stay_mapped.store(false, std::memory_order_relaxed);
}

std::set<std::string> OpenFiles::WrittenIn(LayerIndex layer) {
  std::set<std::string> paths;
  for (const auto& file : handles_.Writers()) {
    if (!file->node->Parts().Has(layer)) continue;
    if (auto path = nodes_.PathOf(*file->node)) paths.insert(std::move(*path));
  }
  return paths;
}

void OpenFiles::ForEachWriter(const std::function<void(int file)>& visit) {
  for (const auto& file : handles_.Writers()) visit(file->Data()->get());
}

void OpenFiles::ReportWriters() {
  for (const auto& file : handles_.Writers()) {
    if (!reporter_.Tracks(*file->node)) continue;
    Feed::Change change = Feed::Change::kContent;
    if (MayMapForWriting(*file)) {
      // After the pages are written out, the next store into a mapping updates the times of the
      // file.
      const auto data = file->Data();
      if (!SyncData(data->get()) || !StoresMoveTimes(data->get())) change = Feed::Change::kUnknown;
    }
    reporter_.ReportNode(*file->node, change);
  }
}

std::size_t OpenFiles::WriteBackMapped() {
  std::set<std::uint64_t> nodes;
  for (const auto& file : handles_.All()) {
    if (file->mode == DataMode::kCached && (file->flags & O_ACCMODE) == O_RDWR) nodes.insert(file->node->id.value);
  }
  // The kernel writes a dirty page out, and waits for it, before it drops the page
  // (fuse_launder_folio). Its syncfs does not wait (SB_I_NO_DATA_INTEGRITY).
  for (const std::uint64_t node : nodes) kernel_->InvalidateData(NodeId{node});
  return nodes.size();
}

UniqueFd OpenFiles::ReportClosing(const OpenFile& file) {
  if (!file.writer) return {};
  reporter_.ReportNode(*file.node, Feed::Change::kContent);
  // This includes an untracked file that a rename may bring into a tracked tier.
  if (!reporter_.MayTrack(file.node->Placement()) || !MayMapForWriting(file)) return {};
  auto reader = Reopen(file.Data()->get(), O_RDONLY | O_NOATIME | O_NONBLOCK);
  return reader ? std::move(*reader) : UniqueFd();
}

OpenFiles::Count OpenFiles::CountHandles() const {
  Count count;
  for (const auto& file : handles_.All()) {
    ++count.handles;
    if (file->mode == DataMode::kPassthrough) ++count.passthrough;
  }
  return count;
}

}  // namespace tierfs
