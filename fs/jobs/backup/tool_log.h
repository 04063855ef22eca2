// Runs the tool of a backup job and keeps what it printed.
#pragma once

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/backup/backup.h"

namespace tierfs {

class ToolLog {
 public:
  // The file is begun anew; the one of the job before stays beside it as FILE.1.
  explicit ToolLog(const std::string& file);

  struct Call {
    std::vector<std::string> arguments;
    std::string directory;
    std::string input;
    // Hears each line of the tool's output, and of its errors; true: the line is for the program
    // alone and not kept.
    std::function<bool(const std::string&)> output;
    std::function<bool(const std::string&)> error;
    std::vector<std::string> environment = {};  // NAME=VALUE, besides the caller's own
  };
  // The exit code. An error when the tool cannot be started.
  [[nodiscard]] BackupResult<int> Run(const Call& call);
  // For a failed call: "TOOL ended with CODE: its last line of error; all of it is in FILE".
  [[nodiscard]] BackupError Failed(const Call& call, int code) const;

  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  const std::string file_;
  std::ofstream stream_;
  std::string last_error_;
};

}  // namespace tierfs
