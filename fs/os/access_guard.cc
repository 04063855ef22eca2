#include "fs/os/access_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

// linux/fanotify.h of Linux 6.14; older headers lack them.
constexpr std::uint64_t kPreAccess = 0x00100000;  // FAN_PRE_ACCESS
constexpr std::uint8_t kRangeRecord = 6;          // FAN_EVENT_INFO_TYPE_RANGE
struct RangeRecord {
  fanotify_event_info_header header;
  std::uint32_t padding;
  std::uint64_t offset;
  std::uint64_t count;
};

constexpr int kThreads = 4;
constexpr unsigned kIgnore = FAN_MARK_IGNORE_SURV;
// Room for one event: another thread takes the next one.
constexpr std::size_t kEventSize = sizeof(fanotify_event_metadata) + sizeof(RangeRecord);

Status Mark(int group, unsigned flags, int directory, const char* name) {
  if (const int planned = Fault::Planned("fanotify_mark")) return Fail(planned, "fanotify_mark");
  if (::fanotify_mark(group, flags, kPreAccess, directory, name) != 0) return FailErrno("fanotify_mark");
  return {};
}

// The range of an event; all of the file if there is none.
std::pair<off_t, off_t> RangeOf(const fanotify_event_metadata& event) {
  for (std::size_t at = event.metadata_len; at + sizeof(RangeRecord) <= event.event_len;) {
    RangeRecord record;
    std::memcpy(&record, reinterpret_cast<const char*>(&event) + at, sizeof record);
    if (record.header.info_type == kRangeRecord) return {static_cast<off_t>(record.offset), static_cast<off_t>(record.count)};
    if (record.header.len == 0) break;
    at += record.header.len;
  }
  return {0, std::numeric_limits<off_t>::max()};
}

// Whether the thread is in a system call that only reads. It waits for an answer to the event, so
// it stays in that call (/proc/PID/syscall, proc(5)). No number of these is that of a write for a
// 32-bit program. A thread that works for io_uring or libaio is in another call.
bool IsReading(int thread) {
  if (thread <= 0) return false;
  const UniqueFd file(::open(("/proc/" + std::to_string(thread) + "/syscall").c_str(), O_RDONLY | O_CLOEXEC));
  char text[24] = {};
  // It says "running" if the thread has not gone to sleep yet.
  if (!file || ::read(file.get(), text, sizeof text - 1) <= 0 || text[0] < '0' || text[0] > '9') return false;
  const long call = std::strtol(text, nullptr, 10);
  for (const long reads : {SYS_read, SYS_pread64, SYS_readv, SYS_preadv, SYS_preadv2}) {
    if (call == reads) return true;
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<AccessGuard>> AccessGuard::Make(SharedMutex& instant, Handler handler) {
  std::unique_ptr<AccessGuard> guard(new AccessGuard(instant));
  guard->handler_ = std::move(handler);
  if (const int planned = Fault::Planned("fanotify_init")) return Fail(planned, "fanotify_init");
  guard->group_ = UniqueFd(
      ::fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_REPORT_TID,
                      O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NOATIME));
  if (!guard->group_) return FailErrno("fanotify_init");
  guard->stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!guard->stop_) return FailErrno("eventfd");
  for (int number = 0; number < kThreads; ++number) guard->threads_.emplace_back([raw = guard.get()] { raw->Serve(); });
  return guard;
}

AccessGuard::~AccessGuard() {
  Free();
  if (stop_) ::eventfd_write(stop_.get(), 1);
  for (std::thread& thread : threads_) thread.join();
}

Status AccessGuard::Watch(int directory) {
  UniqueFd own(::openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!own) return FailErrno("open of a mount");
  // The mark that ignores comes first, so that no access waits in between.
  TIERFS_TRY(Mark(group_.get(), FAN_MARK_ADD | FAN_MARK_MOUNT | kIgnore, own.get(), "."));
  TIERFS_TRY(Mark(group_.get(), FAN_MARK_ADD | FAN_MARK_MOUNT, own.get(), "."));
  watched_.push_back(std::move(own));
  return {};
}

Status AccessGuard::Hold() {
  holding_ = true;
  for (const UniqueFd& mount : watched_) TIERFS_TRY(Mark(group_.get(), FAN_MARK_REMOVE | FAN_MARK_MOUNT | kIgnore, mount.get(), "."));
  return {};
}

void AccessGuard::Free() {
  const Lock marks(marks_);
  for (const UniqueFd& mount : watched_) (void)Mark(group_.get(), FAN_MARK_ADD | FAN_MARK_MOUNT | kIgnore, mount.get(), ".");
  holding_ = false;
  // The marks of single files.
  (void)Mark(group_.get(), FAN_MARK_FLUSH, AT_FDCWD, nullptr);
}

Status AccessGuard::PassNoLonger(int file) {
  if (!holding_) return {};
  const Lock marks(marks_);
  const Status removed = Mark(group_.get(), FAN_MARK_REMOVE | kIgnore, AT_FDCWD, ProcPath(file).c_str());
  return !removed && removed.error().code == ENOENT ? Status() : removed;
}

void AccessGuard::Answer(const Access& access) {
  const ReadLock instant(instant_);
  const Next next = handler_(access);
  if (next == Next::kRaise) return;
  const Lock marks(marks_);
  // A descriptor that can write exists before PassNoLonger is called, so it is seen here or its
  // owner removes the mark.
  if (!holding_ || (next == Next::kPassIfNobodyWrites && HasWriters(access.file, true))) return;
  // If the mark cannot be set, the next access raises another event.
  (void)Mark(group_.get(), FAN_MARK_ADD | kIgnore | FAN_MARK_EVICTABLE, AT_FDCWD, ProcPath(access.file).c_str());
}

void AccessGuard::Serve() {
  alignas(fanotify_event_metadata) char buffer[kEventSize];
  for (;;) {
    pollfd waiting[2] = {{group_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) continue;
    // The events that are left are answered before the thread ends.
    const ssize_t got = ::read(group_.get(), buffer, sizeof buffer);
    if (got <= 0) {
      if (waiting[1].revents != 0) return;
      continue;
    }
    ssize_t left = got;
    for (const auto* event = reinterpret_cast<const fanotify_event_metadata*>(buffer); FAN_EVENT_OK(event, left);
         event = FAN_EVENT_NEXT(event, left)) {
      if (event->fd < 0) continue;
      const UniqueFd file(event->fd);
      const auto [offset, length] = RangeOf(*event);
      Answer({file.get(), offset, length, !IsReading(event->pid)});
      const fanotify_response response{file.get(), FAN_ALLOW};
      while (::write(group_.get(), &response, sizeof response) < 0 && errno == EINTR) {
      }
    }
  }
}

}  // namespace tierfs
