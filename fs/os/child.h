// A program that runs beside the caller until the caller lets it go.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "fs/os/last_line.h"
#include "fs/os/mutex.h"
#include "fs/os/process.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// The program leads a session of its own. Its standard input is an empty pipe, which ends when the
// caller closes it or dies. No death signal is set: the kernel would send it at the end of the
// thread that started the program. A thread reads all that the program prints, so
// that it never waits for a reader. One thread uses the object.
class Child {
 public:
  // Of `command`, takes the arguments, the environment, the directory and the umask. A line that
  // equals `sign` is the program's sign that it is ready. The error is that of StartProgram.
  [[nodiscard]] static Result<std::unique_ptr<Child>> Start(Command command, std::string sign);
  // Kills the program's group if the program is still there.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Returns once the program has printed the sign (true), has ended, or `patience` has passed.
  [[nodiscard]] bool AwaitSign(std::chrono::milliseconds patience);
  // Whether the program has printed anything on its standard output.
  [[nodiscard]] bool printed() const;
  // Whether the program runs, according to the kernel at this moment.
  [[nodiscard]] bool Alive() const;
  // The program reads the end of its standard input.
  void CloseInput() { input_.Reset(); }
  // Returns whether the program has ended, after `patience` at the latest. All that it printed is
  // read by then.
  [[nodiscard]] bool AwaitEnd(std::chrono::milliseconds patience);
  // Ends the program and everything in its process group: SIGTERM, and SIGKILL two seconds later at
  // the latest. One that the kernel holds up may be there a little longer.
  void Kill();
  // The exit code, or 128 + the signal that ended it. Nothing while the program runs.
  [[nodiscard]] std::optional<int> ExitCode() const;
  // The last line of its standard error.
  [[nodiscard]] std::string LastError() const;

 private:
  explicit Child(std::string sign) : sign_(std::move(sign)) {}
  void Read();
  void Look(std::string_view output) REQUIRES(mutex_);

  const std::string sign_;
  pid_t child_ = -1;
  UniqueFd process_;  // a pidfd
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd error_;
  UniqueFd stop_;  // an eventfd: the thread has to end
  std::thread reader_;

  mutable Mutex mutex_;
  Wakeup wake_;
  bool seen_ GUARDED_BY(mutex_) = false;  // the sign
  bool printed_ GUARDED_BY(mutex_) = false;
  bool over_ GUARDED_BY(mutex_) = false;  // the program has ended and its output is read
  std::string line_ GUARDED_BY(mutex_);   // the start of the present line of the output
  LastLine last_error_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
