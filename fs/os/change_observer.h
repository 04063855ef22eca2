// Tells an observer of each change of a file before it is made, so that a snapshot can keep what
// the change destroys.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <limits>

namespace tierfs {

// A length that reaches beyond the end of any file.
inline constexpr off_t kToTheEnd = std::numeric_limits<off_t>::max();

// The functions of entries.h, and the others that change a file or directory, call the observer
// with the descriptors and names that they were given. They do so whatever the file is: the
// observer decides which ones concern it. It must return quickly, and must not call what calls it.
// A change that fails afterwards has been announced for nothing.
class ChangeObserver {
 public:
  virtual ~ChangeObserver() = default;

  // Whether the change may take the last name from the file that has this one.
  enum class Fate { kStays, kMayLoseItsLastName };
  // The entry `name` in the directory `dir` is about to appear, to vanish, or to become another
  // file.
  virtual void BeforeEntry(int dir, const char* name, Fate fate) = 0;
  // The attributes or xattrs of the entry are about to change; with an empty name, those of the
  // open file `dir` itself.
  virtual void BeforeAttributes(int dir, const char* name) = 0;
  // These bytes of the open file are about to change. The range may reach beyond its end.
  virtual void BeforeContent(int file, off_t offset, off_t length) = 0;
  // A new file was made; with an empty name, it is the open file `dir` itself.
  virtual void Made(int dir, const char* name) = 0;
  // The file was opened, and can be written to through this descriptor and through others that the
  // kernel gets of it. Called before the first write.
  virtual void OpenedForWriting(int file) = 0;

  // Null if nobody observes.
  [[nodiscard]] static ChangeObserver* Now() { return now_.load(std::memory_order_acquire); }
  // There is one observer. It must outlive every change that began before it was taken back with
  // null.
  static void Set(ChangeObserver* observer) { now_.store(observer, std::memory_order_release); }

 private:
  static inline std::atomic<ChangeObserver*> now_{nullptr};
};

}  // namespace tierfs
