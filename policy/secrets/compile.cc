#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>

#include "policy/secrets/rules.h"

namespace tierfs::secrets {
namespace {

// A regex may use this much memory for its program and, in each of its two automata, for states.
// Most fit into the first; the second bounds the worst.
constexpr std::int64_t kUsualMemory = std::int64_t{1} << 20;
constexpr std::int64_t kMostMemory = std::int64_t{16} << 20;
constexpr int kMaxGroup = 31;

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return c < 0x80 ? std::tolower(c) : c; });
  return lower;
}

// An error is one line that is safe for a terminal.
std::string Printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return shown;
}

// The keys of one table, in any case, as gitleaks reads them.
using Keys = std::set<std::string_view>;
const Keys kFileKeys = {"title", "description", "minversion", "extend", "rules", "allowlist", "allowlists"};
const Keys kRuleKeys = {"id",   "description", "path",       "regex",    "secretgroup", "entropy", "keywords",
                        "tags", "allowlist",   "allowlists", "required", "skipreport",  "severity"};
const Keys kAllowlistKeys = {"description", "condition", "commits", "paths", "regextarget", "regexes", "stopwords", "targetrules"};

// Reads one file after the other into one set of rules. The first error stops it.
class Compiler {
 public:
  bool Add(const RuleFile& file, bool builtin) {
    file_ = Printable(file.name);
    builtin_ = builtin;
    if (file.text.size() > kMaxText) return FailAt(1, "the file is larger than 16 MiB");
    toml::table table;
    try {
      table = toml::parse(std::string_view(file.text), std::string_view(file.name));
    } catch (const toml::parse_error& problem) {
      return FailAt(problem.source().begin.line, std::string(problem.description()));
    }
    seen_.clear();
    return CheckKeys(table, kFileKeys) && AddRules(table) && AddAllowlists(table);
  }

  std::shared_ptr<const Rules> Finish() {
    rules_->keywords.Build();
    return std::move(rules_);
  }

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  using Allowlists = std::vector<std::shared_ptr<const Allowlist>>;

  bool FailAt(std::size_t line, std::string_view what) {
    error_ = file_ + ":" + std::to_string(line) + ": " + Printable(what);
    return false;
  }
  bool Fail(const toml::node& at, std::string_view what) { return FailAt(at.source().begin.line, what); }

  static const toml::node* Find(const toml::table& table, std::string_view key) {
    for (const auto& [name, value] : table) {
      if (Lower(name.str()) == key) return &value;
    }
    return nullptr;
  }

  bool CheckKeys(const toml::table& table, const Keys& known) {
    for (const auto& [name, value] : table) {
      const std::string key = Lower(name.str());
      if (key == "extend") return Fail(value, "[extend] is not supported: give each file by itself; the built-in rules are always there");
      if (!known.contains(key)) return Fail(value, "unknown key '" + std::string(name.str()) + "'");
    }
    return true;
  }

  bool Read(const toml::table& table, std::string_view key, std::string& into) {
    const toml::node* node = Find(table, key);
    if (node == nullptr) return true;
    const auto value = node->value_exact<std::string>();
    if (!value) return Fail(*node, "expected a string for '" + std::string(key) + "'");
    into = *value;
    return true;
  }

  bool Read(const toml::table& table, std::string_view key, std::vector<std::string>& into) {
    const toml::node* node = Find(table, key);
    if (node == nullptr) return true;
    const toml::array* array = node->as_array();
    if (array == nullptr) return Fail(*node, "expected a list of strings for '" + std::string(key) + "'");
    for (const toml::node& element : *array) {
      const auto value = element.value_exact<std::string>();
      if (!value) return Fail(element, "expected a list of strings for '" + std::string(key) + "'");
      into.push_back(*value);
    }
    return true;
  }

  // Calls `each` for every table of the list.
  template <typename Each>
  bool ForTables(const toml::table& table, std::string_view key, Each each) {
    const toml::node* node = Find(table, key);
    if (node == nullptr) return true;
    const toml::array* array = node->as_array();
    if (array == nullptr) return Fail(*node, "expected [[" + std::string(key) + "]]");
    for (const toml::node& element : *array) {
      if (!element.is_table()) return Fail(element, "expected [[" + std::string(key) + "]]");
      if (!each(*element.as_table())) return false;
    }
    return true;
  }

  std::unique_ptr<RE2> CompileRegex(const toml::node& at, const std::string& pattern, std::string_view whose) {
    std::unique_ptr<RE2> regex;
    for (const std::int64_t memory : {kUsualMemory, kMostMemory}) {
      RE2::Options options(RE2::Latin1);
      options.set_log_errors(false);
      options.set_max_mem(memory);
      regex = std::make_unique<RE2>(pattern, options);
      if (regex->ok()) return regex;
    }
    Fail(at, std::string(whose) + ": RE2 cannot use the pattern: " + regex->error());
    return nullptr;
  }

  // Compiles alternatives as one pattern. Each is compiled by itself first, for the error.
  std::unique_ptr<RE2> CompileAny(const toml::table& table, std::string_view key, const std::vector<std::string>& patterns,
                                  std::string_view whose) {
    std::string joined;
    for (const std::string& pattern : patterns) {
      if (!CompileRegex(*Find(table, key), pattern, whose)) return nullptr;
      joined += (joined.empty() ? "(?:" : "|(?:") + pattern + ")";
    }
    return CompileRegex(*Find(table, key), joined, whose);
  }

  // A list that can never allow anything is null.
  bool ReadAllowlist(const toml::table& table, const std::string& whose, std::shared_ptr<const Allowlist>& into) {
    std::string condition;
    std::string target;
    std::vector<std::string> paths;
    std::vector<std::string> regexes;
    std::vector<std::string> stopwords;
    std::vector<std::string> commits;
    if (!CheckKeys(table, kAllowlistKeys) || !Read(table, "condition", condition) || !Read(table, "regextarget", target) ||
        !Read(table, "paths", paths) || !Read(table, "regexes", regexes) || !Read(table, "stopwords", stopwords) ||
        !Read(table, "commits", commits)) {
      return false;
    }
    auto list = std::make_shared<Allowlist>();
    condition = Lower(condition);
    if (condition == "and" || condition == "&&") {
      list->all = true;
    } else if (!condition.empty() && condition != "or" && condition != "||") {
      return Fail(*Find(table, "condition"), "expected AND or OR for 'condition'");
    }
    if (target == "match") {
      list->target = Allowlist::Target::kMatch;
    } else if (target == "line") {
      list->target = Allowlist::Target::kLine;
    } else if (!target.empty() && target != "secret") {
      return Fail(*Find(table, "regextarget"), "expected secret, match or line for 'regexTarget'");
    }
    if (paths.empty() && regexes.empty() && stopwords.empty() && commits.empty()) {
      return Fail(table, whose + ": an allowlist needs paths, regexes or stopwords");
    }
    if (!paths.empty() && !(list->paths = CompileAny(table, "paths", paths, whose))) return false;
    if (!regexes.empty() && !(list->regexes = CompileAny(table, "regexes", regexes, whose))) return false;
    if (!stopwords.empty()) {
      list->stopwords = std::make_unique<Keywords>();
      for (const std::string& word : stopwords) {
        if (word.empty()) return Fail(*Find(table, "stopwords"), whose + ": a stopword is empty");
        list->stopwords->Add(word);
      }
      list->stopwords->Build();
    }
    // What is scanned is in no commit: a condition on commits never holds.
    const bool never = list->all ? !commits.empty() : paths.empty() && regexes.empty() && stopwords.empty();
    if (!never) into = std::move(list);
    return true;
  }

  // Reads the older single table or the list of tables.
  template <typename Each>
  bool ForAllowlists(const toml::table& table, const std::string& whose, Each each) {
    const auto read = [&](const toml::table& of) {
      std::shared_ptr<const Allowlist> list;
      if (!ReadAllowlist(of, whose, list)) return false;
      return each(of, std::move(list));
    };
    const toml::node* old = Find(table, "allowlist");
    if (old != nullptr && Find(table, "allowlists") != nullptr) return Fail(*old, whose + ": expected allowlist or allowlists, not both");
    if (old != nullptr && !old->is_table()) return Fail(*old, whose + ": expected a table for 'allowlist'");
    if (old != nullptr && !read(*old->as_table())) return false;
    return ForTables(table, "allowlists", read);
  }

  bool ReadNumbers(const toml::table& table, Rule& rule) {
    if (const toml::node* node = Find(table, "entropy")) {
      const auto value = node->value<double>();
      if (!value || !(*value >= 0 && *value <= 8)) return Fail(*node, rule.id + ": expected a number from 0 to 8 for 'entropy'");
      rule.entropy = *value;
    }
    if (const toml::node* node = Find(table, "secretgroup")) {
      const auto value = node->value_exact<std::int64_t>();
      const int groups = rule.regex ? rule.regex->NumberOfCapturingGroups() : 0;
      if (!value || *value < 0 || *value > std::min(groups, kMaxGroup)) {
        return Fail(*node, rule.id + ": secretGroup must be the number of a group of the regex, which has " + std::to_string(groups));
      }
      rule.group = static_cast<int>(*value);
    }
    return true;
  }

  bool ReadKeywords(const toml::table& table, const std::string& pattern, Rule& rule) {
    std::vector<std::string> keywords;
    if (!Read(table, "keywords", keywords)) return false;
    for (const std::string& keyword : keywords) {
      if (keyword.empty()) return Fail(*Find(table, "keywords"), rule.id + ": a keyword is empty");
      rule.keywords.push_back(rules_->keywords.Add(keyword));
    }
    // The keyword of a built-in rule is in the line of the match. That of another may be anywhere.
    rule.within_line = builtin_ && StaysWithinLine(pattern);
    return true;
  }

  bool AddRule(const toml::table& table) {
    Rule rule;
    std::string pattern;
    std::string path;
    bool skip = false;
    if (!CheckKeys(table, kRuleKeys) || !Read(table, "id", rule.id) || !Read(table, "description", rule.description) ||
        !Read(table, "regex", pattern) || !Read(table, "path", path)) {
      return false;
    }
    rule.id = Printable(rule.id);
    rule.description = Printable(rule.description);
    if (rule.id.empty()) return Fail(table, "a rule has no id");
    if (pattern.empty() && path.empty()) return Fail(table, rule.id + ": a rule needs a regex or a path");
    if (!pattern.empty() && !(rule.regex = CompileRegex(*Find(table, "regex"), pattern, rule.id))) return false;
    if (!path.empty() && !(rule.path = CompileRegex(*Find(table, "path"), path, rule.id))) return false;
    if (!ReadNumbers(table, rule) || !ReadKeywords(table, pattern, rule)) return false;
    if (const toml::node* node = Find(table, "skipreport")) {
      if (!node->is_boolean()) return Fail(*node, rule.id + ": expected true or false for 'skipReport'");
      skip = node->value_or(false);
    }
    const auto keep = [&rule](const toml::table&, std::shared_ptr<const Allowlist> list) {
      if (list) rule.allowlists.push_back(std::move(list));
      return true;
    };
    if (!ForAllowlists(table, rule.id, keep)) return false;
    if (!seen_.insert(rule.id).second) return Fail(table, "the file has two rules with the id '" + rule.id + "'");
    return skip || Place(table, std::move(rule));
  }

  // Replaces the rule of that id, or adds one.
  bool Place(const toml::table& at, Rule rule) {
    const auto [place, added] = places_.try_emplace(rule.id, rules_->rules.size());
    if (!added) {
      rules_->rules[place->second] = std::move(rule);
      return true;
    }
    if (rules_->rules.size() == kMaxRules) return Fail(at, "more than 10,000 rules");
    rules_->rules.push_back(std::move(rule));
    return true;
  }

  bool AddRules(const toml::table& table) {
    return ForTables(table, "rules", [this](const toml::table& rule) { return AddRule(rule); });
  }

  // A global list is for the rules of its file, or for the rules of any file that it names.
  bool AddAllowlists(const toml::table& table) {
    return ForAllowlists(table, "the global allowlist", [this](const toml::table& of, const std::shared_ptr<const Allowlist>& list) {
      std::vector<std::string> targets;
      if (!Read(of, "targetrules", targets)) return false;
      if (!list) return true;
      if (targets.empty()) targets.assign(seen_.begin(), seen_.end());
      for (const std::string& target : targets) {
        const auto place = places_.find(target);
        if (place != places_.end()) {
          rules_->rules[place->second].allowlists.push_back(list);
        } else if (!seen_.contains(target)) {
          return Fail(*Find(of, "targetrules"), "targetRules names the rule '" + target + "', which does not exist");
        }
      }
      return true;
    });
  }

  std::shared_ptr<Rules> rules_ = std::make_shared<Rules>();
  std::unordered_map<std::string, std::size_t> places_;  // of each id in the rules
  std::string file_;
  bool builtin_ = false;
  std::set<std::string> seen_;  // the ids of this file
  std::string error_;
};

}  // namespace

bool StaysWithinLine(std::string_view pattern) {
  bool in_class = false;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\n') return false;
    if (c == '\\') {
      if (++at == pattern.size()) return false;
      // Of the escapes with a letter or a digit, these hold no line end.
      if (std::isalnum(static_cast<unsigned char>(pattern[at])) != 0 &&
          std::string_view("wdStrbBAz").find(pattern[at]) == std::string_view::npos) {
        return false;
      }
      continue;
    }
    if (in_class) {
      if (c == '[' && at + 1 < pattern.size() && pattern[at + 1] == ':') return false;
      if (c == ']') in_class = false;
      continue;
    }
    if (c == '[') {
      in_class = true;
      if (at + 1 < pattern.size() && pattern[at + 1] == '^') {
        // A negated class holds the line end unless it names it.
        const std::string_view rest = pattern.substr(at + 2);
        if (!rest.starts_with("\\n") && !rest.starts_with("\\s")) return false;
        at += 3;
      } else if (at + 1 < pattern.size() && pattern[at + 1] == ']') {
        ++at;
      }
      continue;
    }
    // Flags: `s` lets a dot match the line end.
    if (c == '(' && pattern.substr(at).starts_with("(?")) {
      const std::string_view flags = pattern.substr(at + 2, pattern.find_first_of(":)>", at) - at - 2);
      if (!flags.starts_with('P') && flags.find('s') != std::string_view::npos) return false;
    }
  }
  return true;
}

tl::expected<std::shared_ptr<const Rules>, std::string> Compile(const std::vector<RuleFile>& files, bool builtin) {
  Compiler compiler;
  if (builtin && !compiler.Add({"built-in", std::string(BuiltinRules())}, true)) return tl::unexpected(compiler.error());
  for (const RuleFile& file : files) {
    if (!compiler.Add(file, false)) return tl::unexpected(compiler.error());
  }
  return compiler.Finish();
}

}  // namespace tierfs::secrets
