#pragma once

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string_view>

#include "fs/os/result.h"

namespace tierfs {

// Calls `visit(const dirent64&)`, which returns Status, for each entry of the open directory `dir`
// except "." and "..", from its current position on. Stops at the first failure and returns it. A
// directory removed after it was opened counts as empty; Linux reports ENOENT for it.
template <typename Visit>
[[nodiscard]] Status ForEachEntry(int dir, Visit visit) {
  alignas(dirent64) char buffer[32 * 1024];
  for (;;) {
    const long got = ::syscall(SYS_getdents64, dir, buffer, sizeof buffer);
    if (got < 0 && errno != ENOENT) return FailErrno("getdents64");
    if (got <= 0) return {};
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      TIERFS_TRY(visit(*entry));
    }
  }
}

}  // namespace tierfs
