// Runs the tool of a backup job and keeps its output.
#pragma once

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/backup/backup.h"

namespace tierfs {

// Owns the log file. It has no lock: a job runs one tool at a time.
class ToolLog {
 public:
  // Begins the file anew. The previous job's file is kept as FILE.1.
  explicit ToolLog(const std::string& file);

  struct Call {
    std::vector<std::string> arguments;
    std::string directory;
    std::string input;
    // Both are called with each line, of the tool's output and of its errors. If they return true,
    // the line is for the program alone and is not kept.
    std::function<bool(const std::string&)> output;
    std::function<bool(const std::string&)> error;
    std::vector<std::string> environment = {};  // NAME=VALUE, in addition to the caller's own
  };
  // Returns the exit code. Fails if the tool cannot be started.
  [[nodiscard]] BackupResult<int> Run(const Call& call);
  // Describes a failed call: "TOOL ended with CODE: its last line of error; all of it is in FILE".
  [[nodiscard]] BackupError Failed(const Call& call, int code) const;

  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  const std::string file_;
  std::ofstream stream_;
  std::string last_error_;
};

}  // namespace tierfs
