// A copy made outside the trees, so that no tree ever shows half a file.
#pragma once

#include <string>
#include <vector>

#include "fs/os/copy.h"
#include "fs/os/unique_fd.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Owns a file in a tier's work directory. Removes it on destruction unless it was published. After
// a crash, the next mount removes it.
class WorkFile {
 public:
  // Copies the entry `name` in `dir`, or the file `dir` itself if the name is empty. The entry must
  // not be a directory. The copy has the first `limit` bytes of data, with holes kept, and the
  // owner, mode, times, xattrs (security.capability too), ACLs and inode flags. Durable on return.
  [[nodiscard]] static Result<WorkFile> CopyOf(const Layer& tier, int dir, const char* name, off_t limit = kAllData);

  // Gives the copy that many names in the work directory, the first of which is name(). Durable on
  // return. EMLINK when the file system does not allow so many.
  [[nodiscard]] Status GiveNames(std::size_t count);

  WorkFile(WorkFile&& other) noexcept;
  WorkFile& operator=(WorkFile&&) = delete;
  ~WorkFile();

  [[nodiscard]] int dir() const { return dir_; }  // valid as long as the layer
  [[nodiscard]] const std::string& name() const { return names_.front(); }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] const struct stat& st() const { return st_; }
  // The flags of the original that forbid changes (append-only, immutable). The copy gets them
  // after it was published: before, they would forbid that.
  [[nodiscard]] int forbidding_flags() const { return forbidding_flags_; }
  // The file has its final place or another owner, so there is nothing left to remove.
  void Published() { names_.clear(); }

 private:
  WorkFile(int dir, std::string name) : dir_(dir), names_{std::move(name)} {}

  int dir_;
  std::vector<std::string> names_;
  struct stat st_ {};
  int forbidding_flags_ = 0;
};

}  // namespace tierfs
