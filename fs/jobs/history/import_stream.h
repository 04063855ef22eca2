// The input of git fast-import, written to a file in memory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fs/jobs/history/repository.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {

// A path in the quotes of git: every byte but plain ASCII is escaped.
[[nodiscard]] std::string GitQuoted(std::string_view path);

// Owns the file. Memory beyond it: one buffer.
class ImportStream {
 public:
  [[nodiscard]] static Outcome<ImportStream> Open();

  void Put(std::string_view bytes);
  // "data" with its length, as fast-import takes it.
  void PutData(std::string_view bytes);
  // Returns the file, at its start. The error is that of the first write that failed.
  [[nodiscard]] Outcome<int> Finish();

 private:
  explicit ImportStream(UniqueFd file) : file_(std::move(file)) {}
  void Write(std::string_view bytes);

  UniqueFd file_;
  std::string buffer_;
  int problem_ = 0;  // errno
};

// Writes commit number `mark` (from 1) onto `parent`: an object id, ":MARK", or "" for the first.
void PutCommit(ImportStream& stream, const NewCommit& commit, std::size_t mark, const std::string& parent);

}  // namespace tierfs::history
