// Callbacks on open directories, and the ioctls of files and directories.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/fuse/callback.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/reply.h"

namespace tierfs {
namespace {

// After one ENOSYS the kernel opens directories itself and caches their listings. A kernel older
// than 5.1 has to be answered each time.
void OpenDir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  Reply reply(request, "opendir");
  if (MountOf(request).KernelOpensDirectories()) return reply.Fail(Error{ENOSYS, "no directory handles"});
  info->cache_readdir = 1;
  info->keep_cache = 1;
  (void)reply.WithOpen(*info);
}

Result<ListingPtr> ListingFrom(fuse_req_t request, NodeId node, std::uint64_t offset) {
  Listings& listings = MountOf(request).listings();
  if (offset != 0) {
    if (auto kept = listings.Get(node)) return kept;
  }
  TIERFS_ASSIGN(auto entries, TreeOf(request).List(node));
  auto listing = std::make_shared<const Listing>(std::move(entries));
  listings.Put(node, listing);
  return ListingPtr(std::move(listing));
}

// Fills a buffer with the entries from `offset` on. With `plus`, each entry carries its attributes
// and one lookup count.
void List(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, bool plus) {
  Reply reply(request, plus ? "readdirplus" : "readdir");
  Tree& tree = TreeOf(request);
  const auto listing = ListingFrom(request, NodeId{node}, static_cast<std::uint64_t>(offset));
  if (!listing) return reply.Fail(listing.error());
  const auto& items = (*listing)->items();
  std::size_t index = (*listing)->After(static_cast<std::uint64_t>(offset));
  std::vector<char> buffer(size);
  std::vector<NodeId> referenced;
  std::size_t used = 0;
  for (; index < items.size(); ++index) {
    const DirectoryEntry& entry = items[index].entry;
    const auto next = static_cast<off_t>(items[index].offset);
    const char* name = entry.name.c_str();
    struct stat brief {};
    brief.st_ino = entry.ino;
    brief.st_mode = DTTOIF(entry.type);
    char* const at = buffer.data() + used;
    const std::size_t room = size - used;
    std::size_t need = 0;
    if (!plus) {
      need = fuse_add_direntry(request, at, room, name, &brief, next);
      if (need > room) break;
    } else {
      // Use node 0 for "." and "..", which the kernel already knows, and for entries that vanished
      // since they were listed.
      fuse_entry_param param{};
      param.attr = brief;
      need = fuse_add_direntry_plus(request, nullptr, 0, name, &param, next);
      if (need > room) break;
      if (index >= 2) {
        const auto known = tree.Lookup(NodeId{node}, name);
        if (known && known->id.value != 0) {
          param = Reply::Param(*known);
          referenced.push_back(known->id);
        }
      }
      fuse_add_direntry_plus(request, at, room, name, &param, next);
    }
    used += need;
  }
  // A reader that gets an empty reply is at the end, so the listing is no longer needed.
  if (used == 0) MountOf(request).listings().Drop(NodeId{node});
  if (reply.WithBytes(buffer.data(), used)) return;
  for (const NodeId each : referenced) tree.Forget(each, 1);
}

void ReadDir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  List(request, node, size, offset, false);
}

void ReadDirPlus(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  List(request, node, size, offset, true);
}

void FsyncDir(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  Reply(request, "fsyncdir").With(TreeOf(request).SyncDirectory(NodeId{node}));
}

// Serves chattr, lsattr and the project quota calls with the inode flags of the backing file.
void Ioctl(fuse_req_t request, fuse_ino_t node, unsigned command, void*, fuse_file_info*, unsigned, const void* in, std::size_t in_size,
           std::size_t out_size) {
  Reply reply(request, "ioctl");
  const auto wanted = static_cast<unsigned long>(command);
  if (wanted != FS_IOC_GETFLAGS && wanted != FS_IOC_SETFLAGS && wanted != FS_IOC_FSGETXATTR && wanted != FS_IOC_FSSETXATTR) {
    return reply.Fail(Error{ENOTTY, "ioctl"});
  }
  union {
    unsigned flags;
    fsxattr extended;
  } value{};
  if (in_size > sizeof value || out_size > sizeof value) return reply.Fail(Error{EINVAL, "ioctl"});
  if (in_size > 0) std::memcpy(&value, in, in_size);
  const auto run = [&](int fd) -> Status {
    if (::ioctl(fd, wanted, &value) != 0) return FailErrno("ioctl");
    return {};
  };
  const bool changes = wanted == FS_IOC_SETFLAGS || wanted == FS_IOC_FSSETXATTR;
  Inodes& inodes = TreeOf(request).inodes();
  const Status done = changes ? inodes.ChangeThroughFile(NodeId{node}, run) : inodes.AskThroughFile(NodeId{node}, run);
  if (!done) return reply.Fail(done.error());
  reply.WithIoctl(0, out_size > 0 ? &value : nullptr, out_size);
}

}  // namespace

void AddDirectoryOperations(fuse_lowlevel_ops& table) {
  table.opendir = Callback<Opcode::kOpenDir, OpenDir>;
  table.readdir = Callback<Opcode::kReadDir, ReadDir>;
  table.readdirplus = Callback<Opcode::kReadDirPlus, ReadDirPlus>;
  table.fsyncdir = Callback<Opcode::kFsyncDir, FsyncDir, Takes::kLong>;
  table.ioctl = Callback<Opcode::kIoctl, Ioctl, Takes::kLong>;
}

}  // namespace tierfs
