// Changes of every kind beneath a directory, at random.
#pragma once

#include <sys/types.h>

#include <string>

namespace tierfs::test {

// Makes `count` changes by plain system calls: files, directories, links, special files, names,
// attributes, stores into mappings. `root` is a mount, or the tree of a tier. Whatever fails is
// skipped; nothing is retried. Ends early when the file system is gone.
void ChangeAtRandom(const std::string& root, unsigned seed, int count);

// The same in a process of its own, which is killed with the object.
class Changes {
 public:
  Changes(const std::string& root, unsigned seed, int count);
  ~Changes();
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  // Waits for its end.
  void Join();

 private:
  pid_t child_;
};

}  // namespace tierfs::test
