// A tierfs mount, a plain directory, and random operations that run on both.
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

// Runs one random operation at a time. Its result, errno included, has to be the same on both
// trees. A difference fails the running test and shows the operations that led to it.
class Model {
 public:
  Model(std::uint64_t seed, std::string mounted, std::string reference, bool several_disks)
      : random_(seed), mounted_(std::move(mounted)), reference_(std::move(reference)), several_disks_(several_disks) {}

  Random& random() { return random_; }
  void Step();
  // Learns which paths exist now. Later operations prefer these.
  void LearnPaths();
  void CloseAll();

  [[nodiscard]] std::size_t OpenHandles() const { return handles_.size(); }
  // Since the last Settled, a file that was open or linked while it was renamed may be in another
  // tier than its class.
  [[nodiscard]] bool MayBeMisplaced() const { return may_be_misplaced_; }
  void ClassesChanged() { may_be_misplaced_ = true; }
  void Settled();
  // The file, by its inode in the reference, has had several names since then. It may not have been
  // able to follow its path to another disk.
  [[nodiscard]] bool WasLinked(ino_t inode) const { return linked_.count(inode) != 0; }
  // Inodes that the reference has created since the last call. The plain directory reuses inode
  // numbers.
  [[nodiscard]] std::set<ino_t> TakeNewInodes() { return std::exchange(new_inodes_, {}); }
  // The last operations, for a failure message.
  [[nodiscard]] std::string Story() const;
  void Note(const std::string& line);

 private:
  struct Handle {
    UniqueFd mounted;
    UniqueFd reference;
    std::string path;
    bool writes;
  };
  using Call = std::function<long(const std::string& root)>;

  // Runs the call on both trees and returns whether it succeeded. `tolerated` is an errno that only
  // the mount may return; the plain directory is then left unchanged.
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

// Prints a path or name for a message: escapes special bytes, shortens long runs.
std::string Shown(const std::string& bytes);

}  // namespace tierfs::test
