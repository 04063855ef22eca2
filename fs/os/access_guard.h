// Holds writes that the kernel passes straight to a backing file, by fanotify's pre-access events
// (FAN_PRE_ACCESS, Linux 6.14, fanotify(7)).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Watches mounts, and files that are opened through them. While it is idle no access waits; the
// kernel looks at two marks, which costs some 0.1 microseconds.
//
// Reads and writes of all kinds (pwrite, O_DIRECT, libaio, io_uring) raise events before they reach
// the file, with their range. For O_APPEND the range begins at 0. splice(2), sendfile(2) and
// accesses through a mapping raise none. A descriptor that was not opened through a watched mount
// raises none either, nor does the one in an event.
//
// If the process dies, the kernel lets every access go on. Thread-safe.
class AccessGuard {
 public:
  // Whether the next accesses to a file raise events. Passing lasts until PassNoLonger.
  enum class Next { kRaise, kPass, kPassIfNobodyWrites };
  struct Access {
    int file;      // open for reading
    off_t offset;  // bytes
    off_t length;
    bool may_write;  // false only if the access is certain to be a read
  };
  // Runs before the access goes on, on one of several threads. Throws nothing.
  using Handler = std::function<Next(const Access& access)>;

  // The handler runs with `instant` held shared. ENOSYS, EINVAL or EPERM if this kernel or this
  // process cannot.
  [[nodiscard]] static Result<std::unique_ptr<AccessGuard>> Make(SharedMutex& instant, Handler handler);
  ~AccessGuard();
  AccessGuard(const AccessGuard&) = delete;
  AccessGuard& operator=(const AccessGuard&) = delete;

  // Watches the mount of the directory, which must be a private one (ClonePrivate). EOPNOTSUPP if
  // its file system raises no such events (tmpfs, overlayfs, network file systems).
  [[nodiscard]] Status Watch(int directory);

  // From its return on, each access raises an event. The caller holds `instant` exclusively: around
  // this call, and those of other guards that hold at the same instant. No access that any of them
  // holds goes on before.
  [[nodiscard]] Status Hold();
  // Ends what Hold began. Lets all accesses go on.
  void Free();
  // Must be called once `file` is open for writing, before the first write: its readers may have
  // been let pass.
  [[nodiscard]] Status PassNoLonger(int file);

 private:
  explicit AccessGuard(SharedMutex& instant) : instant_(instant) {}
  void Serve();
  void Answer(const Access& access);

  UniqueFd group_;
  UniqueFd stop_;
  Handler handler_;
  std::vector<UniqueFd> watched_;
  SharedMutex& instant_;
  Mutex marks_;  // a file's mark is looked for and changed
  std::atomic<bool> holding_{false};
  std::vector<std::thread> threads_;
};

}  // namespace tierfs
