#include "fs/jobs/backup/tool_log.h"

#include <cstring>
#include <ctime>
#include <filesystem>

#include "fs/os/process.h"

namespace tierfs {

ToolLog::ToolLog(const std::string& file) : file_(file) {
  std::error_code ignored;
  std::filesystem::rename(file, file + ".1", ignored);
  stream_.open(file, std::ios::binary | std::ios::trunc);
}

BackupResult<int> ToolLog::Run(const Call& call) {
  const std::time_t now = std::time(nullptr);
  char when[32] = "";
  std::tm local{};
  std::strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", ::localtime_r(&now, &local));
  stream_ << when;
  for (const std::string& argument : call.arguments) stream_ << ' ' << argument;
  stream_ << '\n';
  last_error_.clear();
  const auto keep = [this](const std::string& line, const std::function<bool(const std::string&)>& hear) {
    if (!hear || !hear(line)) stream_ << line << '\n';
  };
  Command command;
  command.arguments = call.arguments;
  command.environment = call.environment;
  command.directory = call.directory;
  command.input = call.input;
  command.output = [&](const std::string& line) { keep(line, call.output); };
  command.error = [&](const std::string& line) {
    last_error_ = line;
    keep(line, call.error);
  };
  const auto code = RunProcess(command);
  if (!code) {
    if (code.error().code == ENOENT) return tl::unexpected(BackupError{false, call.arguments[0] + " is not installed"});
    return tl::unexpected(BackupError{false, call.arguments[0] + ": " + code.error().step + ": " + std::strerror(code.error().code)});
  }
  stream_ << "exit code " << *code << '\n' << std::flush;
  return *code;
}

BackupError ToolLog::Failed(const Call& call, int code) const {
  // On request, borg and restic print JSON.
  const nlohmann::json message = nlohmann::json::parse(last_error_, nullptr, false);
  const std::string text = message.is_object() ? message.value("message", last_error_) : last_error_;
  return {false, call.arguments[0] + " ended with " + std::to_string(code) + (text.empty() ? "" : ": " + text) +
                     "; what it printed is in " + file_};
}

}  // namespace tierfs
