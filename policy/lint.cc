#include "policy/lint.h"

#include <algorithm>
#include <array>

namespace tierfs::policy {
namespace {

// Whether every name that `inner` matches `outer` matches too, as far as that can be seen: false is no proof.
bool GlobCovers(const Glob& outer, const Glob& inner) {
  if (outer.matches_all() || outer.text() == inner.text()) return true;
  if (inner.literal()) return outer.Matches(*inner.literal());
  return outer.suffix_decides() && inner.suffix().size() >= outer.suffix().size() &&
         inner.suffix().compare(inner.suffix().size() - outer.suffix().size(), std::string::npos, outer.suffix()) == 0;
}

bool Mentions(const Rule& rule, std::string_view name) {
  return std::any_of(rule.components.begin(), rule.components.end(), [name](const Component& component) {
    return !component.any_depth && component.glob.literal() == std::string(name);
  });
}

bool LooksLikeCache(const Rule& rule) {
  constexpr std::array<std::string_view, 7> kNames = {"cache", ".cache", "__pycache__", "node_modules", "tmp", "*.pyc", "*.o"};
  const std::string& last = rule.components.back().glob.text();
  return std::find(kNames.begin(), kNames.end(), last) != kNames.end() || Mentions(rule, "cache");
}

bool LooksLikeCredential(const Rule& rule) {
  constexpr std::array<std::string_view, 17> kNames = {
      "*.pem",    "*.key",   "*.p12",     "*.pfx",   "*.kdbx",     "*.keytab", "*.gpg",     "shadow",    "shadow-",
      "gshadow",  "id_rsa",  "id_ed25519", "id_ecdsa", ".pgpass",  ".netrc",   ".npmrc",    "krb5.keytab"};
  const Glob& last = rule.components.back().glob;
  if (std::find(kNames.begin(), kNames.end(), last.text()) != kNames.end()) return true;
  if (Mentions(rule, "private") || Mentions(rule, "secrets") || Mentions(rule, ".ssh") || Mentions(rule, ".gnupg")) return true;
  // *.pem and the like, in whatever literal name.
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
    // Only the simple case of a single name anywhere.
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

std::vector<Diagnostic> Lint(const ParseResult& parsed) {
  std::vector<Diagnostic> warnings = parsed.suspicious;
  if (!parsed.policy) return warnings;
  const std::vector<Rule>& rules = parsed.policy->rules();
  const auto warn = [&](const Rule& rule, const char* code, std::string message) {
    warnings.push_back(Diagnostic{rule.source, std::to_string(NumberOf(rule.tier)) + " " + rule.pattern, std::move(message), code});
  };
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Rule& rule = rules[i];
    for (std::size_t j = i + 1; j < rules.size(); ++j) {
      if (!Covers(rules[j], rule)) continue;
      const bool same = rules[j].pattern == rule.pattern;
      warn(rule, same ? "duplicate" : "never-wins",
           (same ? "the same pattern again in " : "can never win: covered by the later rule ") + rules[j].Describe());
      break;
    }
    if (rule.tier == TierId::kBuild && LooksLikeCache(rule)) {
      warn(rule, "tier1-cache", "looks like a cache, in tier 1, where every change is versioned: expected tier 3");
    }
    if (rule.tier == TierId::kBuild && LooksLikeCredential(rule)) {
      warn(rule, "tier1-credential", "looks like a credential, in tier 1, which may be published: expected tier 2");
    }
    if (rule.tier == TierId::kState && !rule.components[0].any_depth && rule.components[0].glob.literal() == std::string("etc")) {
      warn(rule, "tier3-etc", "configuration in tier 3, which is not backed up: expected tier 1 or 2");
    }
  }
  std::stable_sort(warnings.begin(), warnings.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return a.source.file == b.source.file && a.source.line < b.source.line;
  });
  return warnings;
}

}  // namespace tierfs::policy
