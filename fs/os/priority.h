#pragma once

namespace tierfs {

// From here on this thread gets the processor and the disk when nobody else wants them (sched(7):
// SCHED_IDLE; ioprio_set(2): the idle class, which only some I/O schedulers heed).
void YieldToEverybody();

// From here on this thread gets a tenth of what others get of a busy processor, and all of an idle
// one (sched(7): nice values are a thread's own on Linux).
void StepAside();

// Makes this thread's name visible in ps and top; at most 15 characters.
void NameThread(const char* name);

}  // namespace tierfs
