#include "fs/os/fault.h"

#ifdef TIERFS_FAULTS

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

// The faults requested by the environment, read at the first pass.
struct Wanted {
  Wanted() {
    if (const char* fault = std::getenv("TIERFS_FAULT")) {
      name = fault;
      if (const std::size_t colon = name.rfind(':'); colon != std::string::npos) {
        passes = std::atoi(name.c_str() + colon + 1);
        name.resize(colon);
      }
    }
    if (const char* file = std::getenv("TIERFS_FAULT_TRACE"))
      trace = UniqueFd(::open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (const char* directory = std::getenv("TIERFS_FAULT_HOLD")) hold = directory;
  }
  std::string name;
  std::atomic<int> passes{1};
  UniqueFd trace;
  std::string hold;
};

// The failure planned by FailCall.
std::atomic<int> planned_error{0};
std::atomic<int> calls_left{-1};
std::atomic<bool> lasting_failure{false};
std::atomic<const char*> failed_call{nullptr};

void WaitWhileHeld(const std::string& point) {
  if (::access(point.c_str(), F_OK) != 0) return;
  const UniqueFd held(::open((point + ".held").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  while (::access(point.c_str(), F_OK) == 0) ::usleep(1000);
}

}  // namespace

int Fault::Planned(const char* call) {
  if (planned_error.load() == 0 || calls_left.load() < 0) return 0;
  const int left = calls_left.fetch_sub(1);
  if (left != 1) return 0;
  failed_call = call;
  if (lasting_failure) calls_left = 1;
  return planned_error;
}

FailCall::FailCall(int number, int error, bool lasting) {
  failed_call = nullptr;
  lasting_failure = lasting;
  planned_error = error;
  calls_left = number;
}

FailCall::~FailCall() {
  calls_left = -1;
  planned_error = 0;
}

std::string FailCall::Failed() {
  const char* call = failed_call;
  return call == nullptr ? "" : call;
}

void Fault::Here(const char* name) {
  static Wanted wanted;
  if (wanted.trace) {
    const std::string line = std::string(name) + "\n";
    (void)!::write(wanted.trace.get(), line.data(), line.size());
  }
  if (!wanted.hold.empty()) WaitWhileHeld(wanted.hold + "/" + name);
  if (wanted.name == name && --wanted.passes == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace tierfs

#endif
