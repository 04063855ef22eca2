// Exactly one reply for each request.
#pragma once

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <utility>

#include "fs/tree/tree.h"

namespace tierfs {

// Owns the obligation to answer a request. Answers EIO if no path did.
class Reply {
 public:
  Reply(fuse_req_t request, const char* operation) : request_(request), operation_(operation) {}
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() {
    if (request_ != nullptr) fuse_reply_err(request_, EIO);
  }

  void Fail(const Error& error) {
    if (spdlog::should_log(spdlog::level::debug)) {
      spdlog::debug("{}: {} ({})", operation_, std::strerror(error.code), error.step);
    }
    fuse_reply_err(Take(), error.code);
  }
  void With(const Status& status) {
    if (!status) return Fail(status.error());
    fuse_reply_err(Take(), 0);
  }
  void With(const Result<Attributes>& attributes) {
    if (!attributes) return Fail(attributes.error());
    fuse_reply_attr(Take(), &attributes->st, attributes->timeout);
  }
  // Returns false if the kernel did not take the reply because the caller was interrupted. The
  // lookup count of the entry must then be given back.
  [[nodiscard]] bool With(const Result<Entry>& entry) {
    if (!entry) {
      Fail(entry.error());
      return true;
    }
    const fuse_entry_param param = Param(*entry);
    return fuse_reply_entry(Take(), &param) == 0;
  }
  // For an entry whose lookups are not counted.
  void WithEntry(const fuse_entry_param& param) { fuse_reply_entry(Take(), &param); }
  [[nodiscard]] bool WithFile(const Entry& entry, const fuse_file_info& info) {
    const fuse_entry_param param = Param(entry);
    return fuse_reply_create(Take(), &param, &info) == 0;
  }
  [[nodiscard]] bool WithOpen(const fuse_file_info& info) { return fuse_reply_open(Take(), &info) == 0; }
  void WithText(const std::string& text) { fuse_reply_readlink(Take(), text.c_str()); }
  // Returns false if the kernel did not take the reply, as for an entry.
  [[nodiscard]] bool WithBytes(const char* data, std::size_t size) { return fuse_reply_buf(Take(), data, size) == 0; }
  void WithWritten(std::size_t size) { fuse_reply_write(Take(), size); }
  void WithSpace(const struct statvfs& space) { fuse_reply_statfs(Take(), &space); }
  void WithOffset(off_t offset) { fuse_reply_lseek(Take(), offset); }
  void WithData(fuse_bufvec* data) { fuse_reply_data(Take(), data, FUSE_BUF_SPLICE_MOVE); }
  void WithIoctl(int result, const void* data, std::size_t size) { fuse_reply_ioctl(Take(), result, data, size); }
  // Answers getxattr and listxattr. Replies with the size alone if the caller gave no room.
  void WithXattr(const Result<std::string>& value, std::size_t room) {
    if (!value) return Fail(value.error());
    if (room == 0) {
      fuse_reply_xattr(Take(), value->size());
    } else if (value->size() > room) {
      fuse_reply_err(Take(), ERANGE);
    } else {
      fuse_reply_buf(Take(), value->data(), value->size());
    }
  }

  [[nodiscard]] static fuse_entry_param Param(const Entry& entry) {
    fuse_entry_param param{};
    param.ino = entry.id.value;
    param.generation = entry.generation;
    param.attr = entry.attributes.st;
    param.attr_timeout = entry.attributes.timeout;
    param.entry_timeout = entry.timeout;
    return param;
  }

 private:
  fuse_req_t Take() { return std::exchange(request_, nullptr); }

  fuse_req_t request_;
  const char* operation_;
};

}  // namespace tierfs
