// The standard mutexes, under names that clang's thread-safety analysis understands.
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "fs/os/thread_annotations.h"

namespace tierfs {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class CAPABILITY("mutex") SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  void lock_shared() ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void unlock_shared() RELEASE_SHARED() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

// Not a capability: the analysis does not support a mutex that a thread may lock twice.
using RecursiveMutex = std::recursive_mutex;

// Holds a mutex of any kind exclusively during its lifetime. unlock and lock serve a condition
// variable (Wakeup), and work in between that must not hold the mutex.
template <typename AnyMutex>
class SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(AnyMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }

 private:
  AnyMutex& mutex_;
  bool held_ = true;
};

// Holds a shared mutex of any kind in shared mode, together with other readers.
template <typename AnyMutex>
class SCOPED_CAPABILITY ReadLock {
 public:
  explicit ReadLock(AnyMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) { mutex_.lock_shared(); }
  ~ReadLock() RELEASE_ANY() { mutex_.unlock_shared(); }
  ReadLock(const ReadLock&) = delete;
  ReadLock& operator=(const ReadLock&) = delete;

 private:
  AnyMutex& mutex_;
};

// A condition variable for Lock. The analysis does not look into predicates, so write the wait as a
// loop.
using Wakeup = std::condition_variable_any;

}  // namespace tierfs
