#pragma once

namespace tierfs {

// From this call on, the thread gets the processor and the disk only when they are idle (sched(7):
// SCHED_IDLE; ioprio_set(2): the idle class, which only some I/O schedulers honour).
void YieldToEverybody();

// From this call on, the thread gets about a tenth of another thread's share of a busy processor,
// and all of an idle one (sched(7): on Linux a nice value belongs to a thread).
void StepAside();

// Sets this thread's name for ps and top; at most 15 characters.
void NameThread(const char* name);

}  // namespace tierfs
