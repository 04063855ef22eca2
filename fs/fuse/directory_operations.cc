// Callbacks on open directories, and the ioctls of files and directories.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/fuse/operations.h"
#include "fs/fuse/reply.h"
#include "fs/fuse/request.h"

namespace tierfs {
namespace {

void OpenDir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  DirStreams& streams = MountOf(request).streams();
  info->fh = streams.Open();
  // The kernel keeps the listing and reads it again only when the directory's mtime changed.
  info->cache_readdir = 1;
  info->keep_cache = 1;
  if (!Reply(request, "opendir").WithOpen(*info)) streams.Close(info->fh);
}

void ReleaseDir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  MountOf(request).streams().Close(info->fh);
  Reply(request, "releasedir").With(Status{});
}

// Fills a buffer with the entries from `offset` on. With `plus` each comes with its attributes and one reference for the kernel.
void List(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, const fuse_file_info* info, bool plus) {
  Reply reply(request, plus ? "readdirplus" : "readdir");
  Tree& tree = TreeOf(request);
  const auto stream = MountOf(request).streams().Get(info->fh);
  if (!stream) return reply.Fail(Error{EBADF, "unknown directory handle"});
  const std::lock_guard lock(stream->mutex);
  if (offset == 0 || !stream->entries) {
    auto entries = tree.List(NodeId{node});
    if (!entries) return reply.Fail(entries.error());
    stream->entries = std::move(*entries);
  }
  std::vector<char> buffer(size);
  std::size_t used = 0;
  for (auto index = static_cast<std::size_t>(offset); index < stream->entries->size(); ++index) {
    const DirectoryEntry& entry = (*stream->entries)[index];
    const auto next = static_cast<off_t>(index + 1);
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
      // Node 0 for "." and "..", which the kernel knows already, and for what vanished since it was listed.
      fuse_entry_param param{};
      param.attr = brief;
      Result<Entry> known = Fail(ENOENT, "not looked up");
      if (index >= 2) known = tree.Lookup(NodeId{node}, name);
      const bool referenced = known && known->id.value != 0;
      if (referenced) param = Reply::Param(*known);
      need = fuse_add_direntry_plus(request, at, room, name, &param, next);
      if (need > room) {
        if (referenced) tree.Forget(known->id, 1);
        break;
      }
    }
    used += need;
  }
  reply.WithBytes(buffer.data(), used);
}

void ReadDir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info) {
  List(request, node, size, offset, info, false);
}

void ReadDirPlus(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info) {
  List(request, node, size, offset, info, true);
}

void FsyncDir(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  Reply(request, "fsyncdir").With(TreeOf(request).SyncDirectory(NodeId{node}));
}

// chattr and lsattr, and the project quota calls: the inode flags of the backing file.
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
  Tree& tree = TreeOf(request);
  const Status done = changes ? tree.ChangeThroughFile(NodeId{node}, run) : tree.AskThroughFile(NodeId{node}, run);
  if (!done) return reply.Fail(done.error());
  reply.WithIoctl(0, out_size > 0 ? &value : nullptr, out_size);
}

}  // namespace

void AddDirectoryOperations(fuse_lowlevel_ops& table) {
  table.opendir = OpenDir;
  table.releasedir = ReleaseDir;
  table.readdir = ReadDir;
  table.readdirplus = ReadDirPlus;
  table.fsyncdir = FsyncDir;
  table.ioctl = Ioctl;
}

}  // namespace tierfs
