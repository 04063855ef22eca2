// Reads policies and the files that they include from the disk.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fs/config/config.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

tl::expected<std::string, std::string> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  std::error_code ignored;
  if (!file) return tl::unexpected(std::string(std::strerror(errno != 0 ? errno : EIO)));
  if (fs::is_directory(path, ignored)) return tl::unexpected(std::string("is a directory"));
  text << file.rdbuf();
  return text.str();
}

policy::IncludeAnswer Include(std::string_view wanted, std::string_view from) {
  const std::string path = (fs::path(from).parent_path() / fs::path(wanted)).lexically_normal().string();
  auto text = ReadText(path);
  if (!text) return {std::nullopt, text.error()};
  return {policy::IncludedFile{path, std::move(*text)}, ""};
}

}  // namespace

policy::ParseResult LoadPolicyFile(const std::string& path) {
  const auto text = ReadText(path);
  if (text) return policy::Parse(*text, path, Include);
  policy::ParseResult result;
  result.errors.push_back(policy::Diagnostic{policy::Source{path, 0, 0}, "", "cannot read the policy: " + text.error(), ""});
  return result;
}

policy::ParseResult LoadPolicy(const Config& config) {
  if (!config.policy_file.empty()) {
    policy::ParseResult result = LoadPolicyFile(config.policy_file);
    for (policy::Diagnostic& error : result.errors) {
      if (error.source.line != 0) continue;
      // The file cannot be read at all. The line to correct is the config's line that names it.
      error.message += ": " + config.policy_file + "; correct 'policy' in the config or make the file readable";
      error.source = policy::Source{config.file, config.LineOf("policy"), 0};
    }
    return result;
  }
  // Rules are identified by their lines in the config file.
  const std::size_t above = config.rules_line == 0 ? 0 : config.rules_line - 1;
  return policy::Parse(std::string(above, '\n') + config.rules, config.file, Include);
}

std::string FirstErrorOf(const policy::ParseResult& policy) {
  std::string text = policy.errors.front().Headline();
  if (policy.errors.size() > 1) text += " (and " + std::to_string(policy.errors.size() - 1) + " more: tierctl policy check)";
  return text;
}

}  // namespace tierfs
