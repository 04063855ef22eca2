#include "fs/jobs/gate/judge.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <tuple>
#include <utility>

#include "fs/jobs/gate/allow_file.h"
#include "fs/jobs/gate/text_file.h"
#include "policy/secrets/rules.h"

namespace tierfs::gate {
namespace {

constexpr std::size_t kNamed = 3;  // findings that a reason names

// Tells the versions of a file apart; the same for every absent one.
using Stamp = std::tuple<dev_t, ino_t, off_t, time_t, long, time_t, long>;
Stamp StampOf(const std::string& file) {
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) return {};
  return {st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
}

// Rule ids, descriptions and names of attributes are written by others.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return text;
}

std::string Size(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"B", "KiB", "MiB", "GiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace

std::string Verdict::Reason() const {
  std::string reason;
  const auto add = [&reason](const std::string& part) { reason += (reason.empty() ? "" : "; ") + part; };
  for (std::size_t i = 0; i < std::min(findings.size(), kNamed); ++i) {
    add(findings[i].rule + (findings[i].place.empty() ? "" : ", " + findings[i].place));
  }
  if (findings.size() > kNamed) add(std::to_string(findings.size() - kNamed) + " more");
  if (binary) add("binary");
  if (oversize) add("larger than " + Size(limit));
  return reason;
}

struct Judge::Impl {
  std::uint64_t max_file = 0;
  std::shared_ptr<const secrets::Rules> rules;
  AllowFile allowed;
  std::vector<std::pair<std::string, Stamp>> files;  // what this was read from

  // The rules that may find what they like at the path.
  [[nodiscard]] secrets::Skip Allowed(std::string_view path) const {
    return [this, path](const std::string& rule) { return allowed.Rule(rule, path); };
  }
  // Appends what the rules find in the content of a file.
  void FindInContent(std::string_view path, std::string_view content, std::vector<Finding>& findings) const {
    for (const secrets::Finding& finding : secrets::Scan(*rules, path, content, Allowed(path))) {
      const std::string place = finding.line == 0 ? "" : "line " + std::to_string(finding.line);
      findings.push_back({OneLine(finding.rule), OneLine(finding.description), finding.line, place});
    }
  }
  // The same for another text that a commit holds of the file. Each rule is named once.
  void FindElsewhere(std::string_view path, std::string_view text, const std::string& place, std::vector<Finding>& findings) const {
    for (const secrets::Finding& finding : secrets::Scan(*rules, path, text, Allowed(path))) {
      // Line 0: the rule goes by the path alone. It belongs to the content.
      if (finding.line == 0) continue;
      const std::string rule = OneLine(finding.rule);
      const bool known =
          std::any_of(findings.begin(), findings.end(), [&](const Finding& each) { return each.rule == rule && each.place == place; });
      if (!known) findings.push_back({rule, OneLine(finding.description), 0, place});
    }
  }
};

Outcome<Judge> Judge::Open(const Config& config) {
  auto impl = std::make_shared<Impl>();
  impl->max_file = config.gate.max_file;
  std::vector<secrets::RuleFile> files;
  // The stamp is taken first: a change while the file is read is then seen later.
  for (const std::string& file : config.gate.rules) {
    const Stamp stamp = StampOf(file);
    if (stamp == Stamp()) return tl::unexpected(file + ": cannot be found; correct gate.rules in " + config.file);
    impl->files.emplace_back(file, stamp);
    auto text = ReadText(file);
    if (!text) return tl::unexpected(text.error());
    files.push_back({file, std::move(*text)});
  }
  impl->files.emplace_back(config.gate.allow, StampOf(config.gate.allow));
  auto rules = secrets::Compile(files);
  if (!rules) return tl::unexpected(rules.error());
  impl->rules = std::move(*rules);
  auto allowed = AllowFile::Read(config.gate.allow);
  if (!allowed) return tl::unexpected(allowed.error());
  impl->allowed = std::move(*allowed);
  return Judge(std::move(impl));
}

Verdict Judge::Of(const Subject& subject) const {
  Verdict verdict;
  verdict.limit = impl_->max_file;
  if (Allows(subject.path)) return verdict;
  verdict.oversize = subject.oversize;
  const bool known = !subject.oversize && impl_->allowed.Content(subject.content);
  verdict.binary = !known && secrets::IsBinary(subject.content);
  // The content of a binary is not committed anyway; a rule may still go by the path.
  if (!known) impl_->FindInContent(subject.path, verdict.binary ? std::string_view() : subject.content, verdict.findings);
  for (const auto& [name, value] : subject.xattrs) {
    const bool told = secrets::Scan(*impl_->rules, "", name).empty();
    const std::string place = told ? "attribute " + OneLine(name) : "an attribute's name";
    impl_->FindElsewhere(subject.path, value, place, verdict.findings);
    impl_->FindElsewhere(subject.path, name + "=" + value, place, verdict.findings);
  }
  impl_->FindElsewhere(subject.path, subject.path, "the path itself", verdict.findings);
  return verdict;
}

bool Judge::Allows(std::string_view path) const { return impl_->allowed.Path(path); }

bool Judge::Outdated() const {
  return std::any_of(impl_->files.begin(), impl_->files.end(), [](const auto& file) { return StampOf(file.first) != file.second; });
}

bool Judge::HasRule(const std::string& id) const {
  const auto& rules = impl_->rules->rules;
  return std::any_of(rules.begin(), rules.end(), [&](const secrets::Rule& rule) { return rule.id == id; });
}

}  // namespace tierfs::gate
