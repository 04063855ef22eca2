#include "fs/os/priority.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tierfs {
namespace {

// linux/ioprio.h of Debian 12 does not compile as C++.
constexpr int kWhoProcess = 1;
constexpr int kIdleClass = 3 << 13;

}  // namespace

void YieldToEverybody() {
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_IDLE, &none);
  ::syscall(SYS_ioprio_set, kWhoProcess, 0, kIdleClass);
}

void StepAside() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10); }

void NameThread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace tierfs
