// Two trees, a tierfs mount and a plain directory, and operations that are done to both.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fs/os/unique_fd.h"
#include "tests/model/names.h"

namespace tierfs::test {

// One operation at a time, chosen at random; what it returns, errno included, has to be the same on
// both trees. A difference fails the running test with the operations that led to it.
class Model {
 public:
  Model(std::uint64_t seed, std::string mounted, std::string reference, bool several_disks)
      : random_(seed), mounted_(std::move(mounted)), reference_(std::move(reference)), several_disks_(several_disks) {}

  Random& random() { return random_; }
  void Step();
  // The names that later operations prefer: what is there now.
  void LearnPaths();
  void CloseAll();

  [[nodiscard]] std::size_t OpenHandles() const { return handles_.size(); }
  // Since the last Settled: a file may stand in another tier than its class, because it was open or
  // linked while it was renamed.
  [[nodiscard]] bool MayBeMisplaced() const { return may_be_misplaced_; }
  void ClassesChanged() { may_be_misplaced_ = true; }
  void Settled();
  // The file, an inode of the reference, had several names since: then it could not follow its path
  // to another disk.
  [[nodiscard]] bool WasLinked(ino_t inode) const { return linked_.count(inode) != 0; }
  // Inodes of the reference that came into being since the last call; numbers are used again there.
  [[nodiscard]] std::set<ino_t> TakeNewInodes() { return std::exchange(new_inodes_, {}); }
  // The last operations, for a failure's message.
  [[nodiscard]] std::string Story() const;
  void Note(const std::string& line);

 private:
  struct Handle {
    UniqueFd mounted;
    UniqueFd reference;
    std::string path;
    bool writes;
    bool of_lower;  // opened for reading while the file was in a lower layer: it goes on showing what was there then
  };
  using Call = std::function<long(const std::string& root)>;

  // Runs the call on both. `tolerated`: an errno that the mount may give where the plain directory
  // need not; it is then left alone. Returns whether it succeeded.
  bool Both(const std::string& what, const Call& call, int tolerated = 0);
  bool BothHandles(const std::string& what, const Handle& handle, const std::function<long(int fd)>& call);
  void Created(const std::string& path);
  [[nodiscard]] std::string Path();
  [[nodiscard]] std::string Content();

  void WriteWhole();
  void OpenHandle();
  void UseHandle();
  void Map();
  void Rename();
  void Link();
  void Temporary();
  void Make();
  void Remove();
  void RemoveTree();
  void ChangeAttributes();
  void ReadBoth();

  Random random_;
  const std::string mounted_;
  const std::string reference_;
  const bool several_disks_;
  std::vector<std::string> known_;
  std::vector<Handle> handles_;
  std::set<ino_t> new_inodes_;
  std::set<ino_t> linked_;
  bool may_be_misplaced_ = false;
  std::uint64_t step_ = 0;
  std::deque<std::string> story_;
};

// A path or a name for a message: bytes that are not plain are escaped, long runs are shortened.
std::string Shown(const std::string& bytes);

}  // namespace tierfs::test
