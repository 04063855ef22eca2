#include "fs/os/transfer.h"

#include <unistd.h>

#include "fs/os/fault.h"

namespace tierfs {

Result<std::size_t> ReadAt(int file, char* buffer, std::size_t size, off_t offset) {
  if (const int planned = Fault::Planned("pread")) return Fail(planned, "pread");
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(file, buffer + done, size - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("pread");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Status WriteAt(int file, const char* data, std::size_t size, off_t offset) {
  if (const int planned = Fault::Planned("pwrite")) return Fail(planned, "pwrite");
  while (size > 0) {
    const ssize_t put = ::pwrite(file, data, size, offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return FailErrno("pwrite");
    data += put;
    size -= static_cast<std::size_t>(put);
    offset += put;
  }
  return {};
}

}  // namespace tierfs
