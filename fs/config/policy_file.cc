// Reads policies and the files that they include from the disk.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "fs/config/config.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

// The error is an errno.
tl::expected<std::string, int> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  std::error_code ignored;
  if (!file) return tl::unexpected(errno != 0 ? errno : EIO);
  if (fs::is_directory(path, ignored)) return tl::unexpected(EISDIR);
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (file.bad()) return tl::unexpected(EIO);
  return text.str();
}

policy::IncludeAnswer Include(std::string_view wanted, std::string_view from) {
  const std::string path = (fs::path(from).parent_path() / fs::path(wanted)).lexically_normal().string();
  auto text = ReadText(path);
  if (!text) return {std::nullopt, std::strerror(text.error())};
  return {policy::IncludedFile{path, std::move(*text)}, ""};
}

policy::ParsedRules Unreadable(policy::Source source, std::string message) {
  policy::ParsedRules parsed;
  parsed.errors.push_back(policy::Diagnostic{std::move(source), "", std::move(message), ""});
  return parsed;
}

policy::ParsedRules RulesOf(const std::string& path) {
  const auto text = ReadText(path);
  if (text) return policy::ParseRules(*text, path, Include);
  return Unreadable({path, 0, 0}, std::string("cannot read the policy: ") + std::strerror(text.error()));
}

policy::ParsedRules RulesOf(const Config& config) {
  if (!config.policy_file.empty()) {
    policy::ParsedRules parsed = RulesOf(config.policy_file);
    for (policy::Diagnostic& error : parsed.errors) {
      if (error.source.line != 0) continue;
      // The file cannot be read at all. The line to correct is the config's line that names it.
      error.message += ": " + config.policy_file + "; correct 'policy' in the config or make the file readable";
      error.source = policy::Source{config.file, config.LineOf("policy"), 0};
    }
    return parsed;
  }
  // Rules are identified by their lines in the config file.
  const std::size_t above = config.rules_line == 0 ? 0 : config.rules_line - 1;
  return policy::ParseRules(std::string(above, '\n') + config.rules, config.file, Include);
}

// An error here is an error of the policy. To go on without these rules would put secrets into
// tier 1.
policy::ParsedRules RulesOfTheGate(const Config& config) {
  const std::string file = config.GateRules();
  const auto text = ReadText(file);
  if (!text && text.error() == ENOENT) return {};
  if (!text) {
    return Unreadable({file, 0, 0}, std::string("cannot read the rules of the gate, which keep secrets out of tier 1: ") +
                                        std::strerror(text.error()) + "; make the file readable (it belongs to the user who mounts)");
  }
  policy::ParsedRules parsed = policy::ParseRules(*text, file, nullptr);
  for (policy::Diagnostic& error : parsed.errors) {
    error.message += "; these rules of the gate keep secrets out of tier 1: correct the line, or remove it";
  }
  parsed.suspicious.clear();  // the paths are those of existing files, however odd
  return parsed;
}

policy::ParseResult Compiled(policy::ParsedRules rules, policy::ParsedRules last) {
  policy::ParseResult result;
  const auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  append(rules.rules, last.rules);
  append(rules.errors, last.errors);
  result.errors = std::move(rules.errors);
  result.suspicious = std::move(rules.suspicious);
  if (result.errors.empty()) result.policy = std::make_shared<const policy::Policy>(std::move(rules.rules));
  return result;
}

}  // namespace

policy::ParseResult LoadPolicyFile(const std::string& path) { return Compiled(RulesOf(path), {}); }

policy::ParseResult LoadPolicy(const Config& config) { return Compiled(RulesOf(config), RulesOfTheGate(config)); }

policy::ParseResult LoadPolicy(const Config& config, const std::string& file) { return Compiled(RulesOf(file), RulesOfTheGate(config)); }

policy::ParseResult WithGateRules(const Config& config, const policy::Policy& policy) {
  policy::ParsedRules rules;
  const std::string gate = config.GateRules();
  std::copy_if(policy.rules().begin(), policy.rules().end(), std::back_inserter(rules.rules),
               [&gate](const policy::Rule& rule) { return rule.source.file != gate; });
  return Compiled(std::move(rules), RulesOfTheGate(config));
}

std::string FirstErrorOf(const policy::ParseResult& policy) {
  std::string text = policy.errors.front().Headline();
  if (policy.errors.size() > 1) text += " (and " + std::to_string(policy.errors.size() - 1) + " more: tierctl policy check)";
  return text;
}

}  // namespace tierfs
