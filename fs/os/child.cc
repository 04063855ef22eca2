#include "fs/os/child.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

#include "fs/os/start_program.h"

namespace tierfs {
namespace {

constexpr auto kGrace = std::chrono::seconds(2);
constexpr std::size_t kBuffer = 65536;
constexpr int kLastRounds = 16;  // of reads after the end: as much as a pipe can hold by default

// Reads what there is. Returns false at the end of the pipe.
bool ReadSome(int pipe, std::array<char, kBuffer>& buffer, std::string_view& bytes) {
  const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
  bytes = std::string_view(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  return got > 0 || (got < 0 && errno == EINTR);
}

}  // namespace

Result<std::unique_ptr<Child>> Child::Start(Command command, std::string sign) {
  command.own_session = true;
  TIERFS_ASSIGN(Pipe input, MakePipe());
  TIERFS_ASSIGN(Pipe output, MakePipe());
  TIERFS_ASSIGN(Pipe error, MakePipe());
  std::unique_ptr<Child> child(new Child(std::move(sign)));
  child->stop_.Reset(::eventfd(0, EFD_CLOEXEC));
  if (!child->stop_) return FailErrno("eventfd");
  TIERFS_ASSIGN(child->child_, StartProgram(command, {input.read.get(), output.write.get(), error.write.get()}, 0));
  child->input_ = std::move(input.write);
  child->output_ = std::move(output.read);
  child->error_ = std::move(error.read);
  child->process_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, child->child_, 0)));
  if (!child->process_) return FailErrno("pidfd_open");
  try {
    child->reader_ = std::thread([reading = child.get()] { reading->Read(); });
  } catch (const std::system_error&) {
    return Fail(EAGAIN, "start of a thread");
  }
  return child;
}

Child::~Child() {
  if (child_ < 0) return;
  if (Alive()) ::kill(-child_, SIGKILL);
  // A process that the kernel cannot end yet is not waited for: what it waits for may be this
  // thread. It is a zombie until the caller ends.
  const bool waits = !reader_.joinable();  // it has only just been started
  if (reader_.joinable()) {
    static_cast<void>(AwaitEnd(kGrace));
    const std::uint64_t one = 1;
    static_cast<void>(::write(stop_.get(), &one, sizeof one) < 0);
    reader_.join();
  }
  while (::waitpid(child_, nullptr, waits ? 0 : WNOHANG) < 0 && errno == EINTR) {
  }
}

void Child::Read() {
  std::array<char, kBuffer> buffer;
  std::array<pollfd, 4> ends{
      {{output_.get(), POLLIN, 0}, {error_.get(), POLLIN, 0}, {process_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  bool ended = false;
  // What the program leaves behind may hold the pipes for ever. Its own end ends the reading.
  for (int rounds = kLastRounds; rounds > 0; rounds -= ended ? 1 : 0) {
    const int ready = ::poll(ends.data(), ends.size(), ended ? 0 : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0 || ends[3].revents != 0) break;
    std::string_view bytes;
    if (ends[0].revents != 0) {
      if (!ReadSome(output_.get(), buffer, bytes)) ends[0].fd = -1;
      const Lock lock(mutex_);
      Look(bytes);
    }
    if (ends[1].revents != 0) {
      if (!ReadSome(error_.get(), buffer, bytes)) ends[1].fd = -1;
      const Lock lock(mutex_);
      last_error_.Add(bytes);
    }
    if (ends[2].revents != 0) {
      ended = true;
      ends[2].fd = -1;
    }
  }
  const Lock lock(mutex_);
  over_ = ended;
  wake_.notify_all();
}

void Child::Look(std::string_view output) {
  printed_ = printed_ || !output.empty();
  for (std::size_t i = 0; i < output.size() && !seen_; ++i) {
    const char c = output[i];
    if (c == '\n' || c == '\r') {
      seen_ = line_ == sign_;
      line_.clear();
    } else if (line_.size() <= sign_.size()) {
      line_ += c;  // one byte more than the sign tells them apart
    }
  }
  if (seen_) wake_.notify_all();
}

bool Child::AwaitSign(std::chrono::milliseconds patience) {
  const auto latest = std::chrono::steady_clock::now() + patience;
  Lock lock(mutex_);
  while (!seen_ && !over_ && wake_.wait_until(lock, latest) != std::cv_status::timeout) {
  }
  return seen_;
}

bool Child::AwaitEnd(std::chrono::milliseconds patience) {
  const auto latest = std::chrono::steady_clock::now() + patience;
  Lock lock(mutex_);
  while (!over_ && wake_.wait_until(lock, latest) != std::cv_status::timeout) {
  }
  return over_;
}

bool Child::printed() const {
  const Lock lock(mutex_);
  return printed_;
}

bool Child::Alive() const { return !ExitCode(); }

void Child::Kill() {
  CloseInput();
  if (Alive()) ::kill(-child_, SIGTERM);
  static_cast<void>(AwaitEnd(kGrace));
  ::kill(-child_, SIGKILL);  // the program is not yet waited for, so no other group has its number
  static_cast<void>(AwaitEnd(kGrace));
}

std::optional<int> Child::ExitCode() const {
  siginfo_t how{};
  while (::waitid(P_PID, static_cast<id_t>(child_), &how, WEXITED | WNOHANG | WNOWAIT) < 0) {
    if (errno != EINTR) return -1;
  }
  if (how.si_pid == 0) return std::nullopt;
  return how.si_code == CLD_EXITED ? how.si_status : 128 + how.si_status;
}

std::string Child::LastError() const {
  const Lock lock(mutex_);
  return last_error_.text();
}

}  // namespace tierfs
