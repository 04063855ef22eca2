// A copy that is being made outside the trees, so that no tree ever shows half of one.
#pragma once

#include <string>

#include "fs/os/copy.h"
#include "fs/os/unique_fd.h"
#include "fs/tier/layer.h"

namespace tierfs {

// A file in a tier's work directory; removed with this object unless it was published. What a crash
// leaves there is removed at the next start.
class WorkFile {
 public:
  // A copy of the entry `name` in `dir` (no directory; an empty name: of the file that `dir` is
  // itself): the first `limit` bytes of its data, holes kept, and owner, mode, times, xattrs
  // (security.capability too) and ACLs. Durable on return.
  [[nodiscard]] static Result<WorkFile> CopyOf(const Layer& tier, int dir, const char* name, off_t limit = kAllData);

  WorkFile(WorkFile&& other) noexcept;
  WorkFile& operator=(WorkFile&&) = delete;
  ~WorkFile();

  [[nodiscard]] int dir() const { return dir_; }  // lives as long as the layer
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const struct stat& st() const { return st_; }
  // It has got its place, or another owner: nothing is left to remove.
  void Published() { name_.clear(); }

 private:
  WorkFile(int dir, std::string name) : dir_(dir), name_(std::move(name)) {}

  int dir_;
  std::string name_;
  struct stat st_ {};
};

}  // namespace tierfs
