// Callbacks on open files. With passthrough the kernel sends no reads and no writes.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/fuse/callback.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/reply.h"
#include "fs/os/change_observer.h"

namespace tierfs {
namespace {

// The descriptor of an open file. It stays open during the object's lifetime.
struct File {
  std::shared_ptr<const UniqueFd> data;
  [[nodiscard]] int fd() const { return data->get(); }
  explicit operator bool() const { return data != nullptr; }
};

File FileOf(fuse_req_t request, const fuse_file_info* info) {
  const auto file = TreeOf(request).FileOf(HandleOf(info));
  return File{file ? file->Data() : nullptr};
}

constexpr Error kBadHandle{EBADF, "unknown handle"};

void Fill(fuse_file_info& info, const Opened& opened) {
  info.fh = opened.handle.value;
  SetBacking(info, opened.backing_id);
  info.direct_io = opened.direct ? 1 : 0;
  // The kernel drops pages itself when it sees another size or mtime (auto_inval_data).
  info.keep_cache = opened.keep_pages ? 1 : 0;
  SetParallelWrites(info, opened.direct);
  info.noflush = 1;
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  Tree& tree = TreeOf(request);
  Reply reply(request, "open");
  const auto opened = tree.Open(CallerOf(request), NodeId{node}, info->flags);
  if (!opened) return reply.Fail(opened.error());
  Fill(*info, *opened);
  if (!reply.WithOpen(*info)) tree.Release(opened->handle);
}

void ReplyCreated(fuse_req_t request, const char* operation, const Result<CreatedFile>& created, fuse_file_info* info) {
  Tree& tree = TreeOf(request);
  Reply reply(request, operation);
  if (!created) return reply.Fail(created.error());
  Fill(*info, created->opened);
  if (reply.WithFile(created->entry, *info)) return;
  tree.Release(created->opened.handle);
  tree.Forget(created->entry.id, 1);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  ReplyCreated(request, "create", TreeOf(request).names().Create(CallerOf(request), NodeId{parent}, name, mode, info->flags), info);
}

void TmpFile(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* info) {
  ReplyCreated(request, "tmpfile", TreeOf(request).names().CreateTemporary(CallerOf(request), NodeId{parent}, mode, info->flags), info);
}

void Release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  TreeOf(request).Release(HandleOf(info));
  Reply(request, "release").With(Status{});
}

void Read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  Reply reply(request, "read");
  const File file = FileOf(request, info);
  if (!file) return reply.Fail(kBadHandle);
  fuse_bufvec buffer = FUSE_BUFVEC_INIT(size);
  buffer.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  buffer.buf[0].fd = file.fd();
  buffer.buf[0].pos = offset;
  reply.WithData(&buffer);
}

void WriteBuf(fuse_req_t request, fuse_ino_t, fuse_bufvec* data, off_t offset, fuse_file_info* info) {
  Reply reply(request, "write");
  fuse_bufvec target = FUSE_BUFVEC_INIT(fuse_buf_size(data));
  target.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  target.buf[0].pos = offset;
  ssize_t written = 0;
  const auto caller = info->writepage != 0 ? std::nullopt : std::optional(CallerOf(request));
  const Status done =
      TreeOf(request).ChangeContent(caller, HandleOf(info), offset, static_cast<off_t>(fuse_buf_size(data)), [&](int fd) -> Status {
        target.buf[0].fd = fd;
        written = fuse_buf_copy(&target, data, static_cast<fuse_buf_copy_flags>(0));
        return written < 0 ? Status(tierfs::Fail(static_cast<int>(-written), "write")) : Status{};
      });
  if (!done) return reply.Fail(done.error());
  reply.WithWritten(static_cast<std::size_t>(written));
}

void Fsync(fuse_req_t request, fuse_ino_t, int data_only, fuse_file_info* info) {
  Reply reply(request, "fsync");
  const File file = FileOf(request, info);
  if (!file) return reply.Fail(kBadHandle);
  const int failed = data_only != 0 ? ::fdatasync(file.fd()) : ::fsync(file.fd());
  // A lower file system that can never be written has no fsync (squashfs). It cannot hold unsaved
  // data.
  reply.With(failed != 0 && errno != EINVAL ? Status(FailErrno("fsync")) : Status{});
}

void Fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* info) {
  // Some modes move all that follows.
  const off_t changed = (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0 ? kToTheEnd : length;
  Reply(request, "fallocate").With(TreeOf(request).ChangeContent(CallerOf(request), HandleOf(info), offset, changed, [&](int fd) -> Status {
    if (::fallocate(fd, mode, offset, length) != 0) return FailErrno("fallocate");
    return {};
  }));
}

void Lseek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
  Reply reply(request, "lseek");
  const File file = FileOf(request, info);
  if (!file) return reply.Fail(kBadHandle);
  const off_t at = ::lseek(file.fd(), offset, whence);
  if (at < 0) return reply.Fail(Error{errno, "lseek"});
  reply.WithOffset(at);
}

void CopyFileRange(fuse_req_t request, fuse_ino_t, off_t from_offset, fuse_file_info* from, fuse_ino_t, off_t to_offset, fuse_file_info* to,
                   std::size_t length, int flags) {
  Reply reply(request, "copy_file_range");
  const File source = FileOf(request, from);
  if (!source) return reply.Fail(kBadHandle);
  ssize_t copied = 0;
  const Status done =
      TreeOf(request).ChangeContent(CallerOf(request), HandleOf(to), to_offset, static_cast<off_t>(length), [&](int fd) -> Status {
        copied = ::copy_file_range(source.fd(), &from_offset, fd, &to_offset, length, static_cast<unsigned>(flags));
        if (copied < 0) return FailErrno("copy_file_range");
        return {};
      });
  if (!done) return reply.Fail(done.error());
  reply.WithWritten(static_cast<std::size_t>(copied));
}

bool OpenTakesLong(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  return ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0) && TreeOf(request).HasToBeCopiedUp(NodeId{node});
}

}  // namespace

void AddFileOperations(fuse_lowlevel_ops& table) {
  table.open = Callback<Opcode::kOpen, Open, OpenTakesLong>;
  table.create = Callback<Opcode::kCreate, Create>;
  table.release = Callback<Opcode::kRelease, Release>;
  table.read = Callback<Opcode::kRead, Read>;
  table.write_buf = Callback<Opcode::kWrite, WriteBuf>;
  table.fsync = Callback<Opcode::kFsync, Fsync, Takes::kLong>;
  table.fallocate = Callback<Opcode::kFallocate, Fallocate, Takes::kLong>;
  table.lseek = Callback<Opcode::kLseek, Lseek>;
  table.copy_file_range = Callback<Opcode::kCopyFileRange, CopyFileRange, Takes::kLong>;
  SetTmpFile(table, Callback<Opcode::kTmpFile, TmpFile>);
}

}  // namespace tierfs
