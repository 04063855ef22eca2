#include "policy/lint.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace tierfs::policy {
namespace {

// Whether `outer` matches every name that `inner` matches. False proves nothing.
bool GlobCovers(const Glob& outer, const Glob& inner) {
  if (outer.matches_all() || outer.text() == inner.text()) return true;
  if (inner.literal()) return outer.Matches(*inner.literal());
  return outer.suffix_decides() && inner.suffix().size() >= outer.suffix().size() &&
         inner.suffix().compare(inner.suffix().size() - outer.suffix().size(), std::string::npos, outer.suffix()) == 0;
}

bool Mentions(const Rule& rule, std::string_view name) {
  return std::any_of(rule.components.begin(), rule.components.end(),
                     [name](const Component& component) { return !component.any_depth && component.glob.literal() == name; });
}

bool LooksLikeCache(const Rule& rule) {
  constexpr std::array<std::string_view, 7> kNames = {"cache", ".cache", "__pycache__", "node_modules", "tmp", "*.pyc", "*.o"};
  const std::string& last = rule.components.back().glob.text();
  return std::find(kNames.begin(), kNames.end(), last) != kNames.end() || Mentions(rule, "cache");
}

bool LooksLikeCredential(const Rule& rule) {
  constexpr std::array<std::string_view, 17> kNames = {"*.pem",    "*.key",   "*.p12",   "*.pfx",   "*.kdbx",     "*.keytab",
                                                       "*.gpg",    "shadow",  "shadow-", "gshadow", "id_rsa",     "id_ed25519",
                                                       "id_ecdsa", ".pgpass", ".netrc",  ".npmrc",  "krb5.keytab"};
  const Glob& last = rule.components.back().glob;
  if (std::find(kNames.begin(), kNames.end(), last.text()) != kNames.end()) return true;
  if (Mentions(rule, "private") || Mentions(rule, "secrets") || Mentions(rule, ".ssh") || Mentions(rule, ".gnupg")) return true;
  // *.pem and the like, within a literal name too.
  return last.literal() && std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) {
           return name[0] == '*' && last.literal()->size() >= name.size() - 1 &&
                  std::string_view(*last.literal()).substr(last.literal()->size() - (name.size() - 1)) == name.substr(1);
         });
}

}  // namespace

bool Covers(const Rule& later, const Rule& earlier) {
  const bool last_only_directories = later.directories_only && !earlier.directories_only;
  const auto& outer = later.components;
  const auto& inner = earlier.components;
  if (outer[0].any_depth) {
    // Handle only the simple case of a single name anywhere.
    if (outer.size() != 2) return later.pattern == earlier.pattern && !last_only_directories;
    for (std::size_t i = 0; i < inner.size(); ++i) {
      if (inner[i].any_depth || (last_only_directories && i + 1 == inner.size())) continue;
      if (GlobCovers(outer[1].glob, inner[i].glob)) return true;
    }
    return false;
  }
  if (outer.size() > inner.size()) return false;
  if (last_only_directories && outer.size() == inner.size()) return false;
  for (std::size_t i = 0; i < outer.size(); ++i) {
    if (outer[i].any_depth != inner[i].any_depth) return false;
    if (!outer[i].any_depth && !GlobCovers(outer[i].glob, inner[i].glob)) return false;
  }
  return true;
}

namespace {

// Finds later rules that make an earlier one useless. Compares only rules that may overlap: a rule
// that begins at the root with a literal name covers no rule that begins with another name.
class Overlaps {
 public:
  explicit Overlaps(const std::vector<Rule>& rules) : rules_(rules) {
    for (std::uint32_t number = 0; number < rules.size(); ++number) {
      const std::vector<Component>& components = rules[number].components;
      const bool floating = components[0].any_depth && components.size() == 2;
      const Component& key = components[floating ? 1 : 0];
      if (key.any_depth || !key.glob.literal()) {
        wild_.push_back(number);
      } else {
        (floating ? anywhere_ : from_root_)[*key.glob.literal()].push_back(number);
      }
    }
  }

  // Returns the last rule that covers `number`. Returns nullopt once the permitted work is used up.
  std::optional<std::uint32_t> LastOver(std::uint32_t number) {
    std::optional<std::uint32_t> last;
    const auto look = [&](const std::vector<std::uint32_t>& candidates) {
      for (auto later = candidates.rbegin(); later != candidates.rend(); ++later) {
        if (*later <= number || (last && *later <= *last) || ++compared_ > kMaxCompared) return;
        if (Covers(rules_[*later], rules_[number])) last = *later;
      }
    };
    look(wild_);
    const std::vector<Component>& components = rules_[number].components;
    if (!components[0].any_depth && components[0].glob.literal()) LookUp(from_root_, components[0].glob, look);
    for (const Component& component : components) {
      if (!component.any_depth) LookUp(anywhere_, component.glob, look);
    }
    return last;
  }

  [[nodiscard]] bool complete() const { return compared_ <= kMaxCompared; }

 private:
  // About one second of work: enough for 5,000 rules of the worst kind.
  static constexpr std::size_t kMaxCompared = 15'000'000;
  using ByName = std::unordered_map<std::string_view, std::vector<std::uint32_t>>;

  template <typename Look>
  static void LookUp(const ByName& table, const Glob& glob, Look look) {
    if (!glob.literal()) return;
    if (const auto found = table.find(*glob.literal()); found != table.end()) look(found->second);
  }

  const std::vector<Rule>& rules_;
  ByName from_root_;
  ByName anywhere_;
  std::vector<std::uint32_t> wild_;
  std::size_t compared_ = 0;
};

// Sorts by file, in the order of the files' first rules, then by line and column.
void Sort(std::vector<Diagnostic>& warnings, const std::vector<Rule>& rules) {
  std::unordered_map<std::string, std::size_t> order;
  for (const Rule& rule : rules) order.emplace(rule.source.file, order.size());
  for (const Diagnostic& warning : warnings) order.emplace(warning.source.file, order.size());
  const auto place = [&order](const Diagnostic& warning) {
    return std::tuple(order.at(warning.source.file), warning.source.line, warning.source.column);
  };
  std::stable_sort(warnings.begin(), warnings.end(), [&](const Diagnostic& a, const Diagnostic& b) { return place(a) < place(b); });
}

}  // namespace

std::vector<Diagnostic> Lint(const ParseResult& parsed) {
  std::vector<Diagnostic> warnings = parsed.suspicious;
  if (!parsed.policy) return warnings;
  const std::vector<Rule>& rules = parsed.policy->rules();
  std::size_t more = 0;
  const auto warn = [&](const Rule& rule, const char* code, std::string message) {
    if (warnings.size() >= kMaxWarnings) {
      ++more;
      return;
    }
    warnings.push_back(Diagnostic{rule.source, rule.line, std::move(message), code});
  };
  Overlaps overlaps(rules);
  for (std::uint32_t number = 0; number < rules.size(); ++number) {
    const Rule& rule = rules[number];
    const bool preset = rule.source.file.starts_with('<');
    const auto over = overlaps.LastOver(number);
    // Overriding a preset is its intended use.
    if (over && !(preset && rules[*over].source.file != rule.source.file)) {
      const bool same = rules[*over].pattern == rule.pattern;
      warn(rule, same ? "duplicate" : "never-wins",
           (same ? "the same pattern again in " : "can never win: covered by the later rule ") + rules[*over].Describe());
    }
    if (rule.tier == TierId::kBuild && LooksLikeCache(rule)) {
      warn(rule, "tier1-cache", "looks like a cache, in tier 1, where every change is versioned: expected tier 3");
    }
    if (rule.tier == TierId::kBuild && LooksLikeCredential(rule)) {
      warn(rule, "tier1-credential", "looks like a credential, in tier 1, which may be published: expected tier 2");
    }
    if (rule.tier == TierId::kState && !rule.components[0].any_depth && rule.components[0].glob.literal() == "etc") {
      warn(rule, "tier3-etc", "configuration in tier 3, which is not backed up: expected tier 1 or 2");
    }
  }
  Sort(warnings, rules);
  const auto last = [&](const char* code, std::string message) {
    warnings.push_back(Diagnostic{rules.back().source, rules.back().line, std::move(message), code});
  };
  if (!overlaps.complete()) last("not-all-compared", "too many rules that overlap: not each was compared with all later ones");
  if (more != 0) last("more", std::to_string(more) + " more warnings are not shown");
  return warnings;
}

}  // namespace tierfs::policy
