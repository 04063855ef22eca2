#include "policy/parse.h"

#include <algorithm>
#include <utility>

#include "policy/presets.h"

namespace tierfs::policy {
namespace {

std::optional<TierId> TierNamed(std::string_view word) {
  static constexpr std::pair<std::string_view, TierId> kNames[] = {
      {"1", TierId::kBuild},     {"tier1", TierId::kBuild}, {"build", TierId::kBuild}, {"2", TierId::kData},
      {"tier2", TierId::kData},  {"data", TierId::kData},   {"3", TierId::kState},     {"tier3", TierId::kState},
      {"state", TierId::kState}, {"4", TierId::kBulk},      {"tier4", TierId::kBulk},  {"bulk", TierId::kBulk}};
  for (const auto& [name, tier] : kNames) {
    if (name == word) return tier;
  }
  return std::nullopt;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Trailing spaces go unless a backslash holds them (git: dir.c, trim_trailing_spaces).
std::string_view WithoutTrailingSpaces(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      end = std::min(text.size(), i + 2);
      ++i;
    } else if (text[i] != ' ') {
      end = i + 1;
    }
  }
  return text.substr(0, end);
}

class Parser {
 public:
  Parser(const IncludeResolver& resolver, ParsedRules& out) : resolver_(resolver), out_(out) {}

  void File(std::string_view text, const std::string& file) {
    open_.push_back(file);
    std::size_t number = 0;
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      line_ = line;
      source_ = Source{file, ++number, 1};
      Line(line);
    }
    open_.pop_back();
  }

 private:
  void Error(std::size_t at, std::string message) { out_.errors.push_back(Make(at, std::move(message), "")); }
  void Warn(std::size_t at, std::string code, std::string message) {
    out_.suspicious.push_back(Make(at, std::move(message), std::move(code)));
  }
  Diagnostic Make(std::size_t at, std::string message, std::string code) const {
    Source source = source_;
    source.column = at + 1;
    return Diagnostic{source, std::string(line_), std::move(message), std::move(code)};
  }

  void Line(std::string_view line) {
    std::size_t at = 0;
    while (at < line.size() && IsBlank(line[at])) ++at;
    if (at == line.size() || line[at] == '#') return;
    if (const std::size_t nul = line.find('\0'); nul != std::string_view::npos) {
      return Error(nul, "NUL byte: expected a text file");
    }
    const std::size_t word_at = at;
    while (at < line.size() && !IsBlank(line[at])) ++at;
    const std::string_view word = line.substr(word_at, at - word_at);
    while (at < line.size() && IsBlank(line[at])) ++at;
    if (word == "include") return Include(line.substr(at), at);
    const auto tier = TierNamed(word);
    if (!tier) {
      return Error(word_at, "'" + std::string(word) + "' is not a tier: expected 1 to 4 (or build, data, state, bulk), then a pattern");
    }
    Pattern(*tier, line.substr(at), at);
  }

  void Pattern(TierId tier, std::string_view raw, std::size_t column) {
    std::string_view text = WithoutTrailingSpaces(raw);
    if (text.empty()) return Error(column, "no pattern: expected one after the tier, such as /var/cache/ or *.pyc");
    if (text.size() != raw.size()) Warn(column + text.size(), "trailing-space", "trailing space, which is ignored: write '\\ ' to match one");
    if (text[0] == '!') return Error(column, "'!' is not needed here: a later rule with another tier wins; write '\\!' to match one");
    if (out_.rules.size() >= kMaxRules) return Error(column, "too many rules: at most 1000000");

    Rule rule;
    rule.tier = tier;
    rule.pattern = std::string(text);
    rule.source = source_;
    if (text == "/") return Error(column, "'/' alone matches nothing: expected '/**' or '*' for everything");
    std::vector<std::pair<std::size_t, std::string_view>> pieces;
    std::size_t start = 0;
    bool anchored = false;
    // A slash within brackets separates nothing; one behind a backslash does.
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (i < text.size() && text[i] == '\\' && i + 1 < text.size() && text[i + 1] != '/') {
        ++i;
        continue;
      }
      if (i < text.size() && text[i] == '[') {
        i = std::max(i, BracketEnd(text, i));
        continue;
      }
      const bool escaped_slash = i + 1 < text.size() && text[i] == '\\' && text[i + 1] == '/';
      if (i < text.size() && text[i] != '/' && !escaped_slash) continue;
      pieces.emplace_back(start, text.substr(start, i - start));
      if (escaped_slash) ++i;
      if (i < text.size() && i + 1 < text.size()) anchored = true;
      start = i + 1;
    }
    // git looks for any slash, also one within brackets, but for a trailing one.
    if (text.substr(0, text.size() - 1).find('/') != std::string_view::npos) anchored = true;
    if (pieces.front().second.empty()) pieces.erase(pieces.begin());
    if (!pieces.empty() && pieces.back().second.empty()) {
      rule.directories_only = true;
      pieces.pop_back();
    }
    if (!anchored) rule.components.push_back(Component{true, {}});
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto& [offset, piece] = pieces[i];
      if (piece.empty()) return Error(column + offset, "empty path component ('//'): expected a name between the slashes");
      const bool stars = piece.size() >= 2 && piece.find_first_not_of('*') == std::string_view::npos;
      if (stars && anchored && i + 1 < pieces.size()) {
        if (rule.components.empty() || !rule.components.back().any_depth) rule.components.push_back(Component{true, {}});
        continue;
      }
      if (piece == "." || piece == "..") {
        return Error(column + offset, "'" + std::string(piece) + "' never names an entry: expected a path relative to the mount");
      }
      std::optional<Glob::Error> problem;
      Glob glob = Glob::Parse(piece, problem);
      if (problem) return Error(column + offset + problem->at, problem->message);
      rule.components.push_back(Component{false, std::move(glob)});
    }
    if (rule.components.empty() || rule.components.back().any_depth) {
      return Error(column, "the pattern names nothing: expected a path component");
    }
    Slips(text, column);
    out_.rules.push_back(std::move(rule));
  }

  // Where the bracket expression that starts at `at` ends; `at` itself when it does not end.
  static std::size_t BracketEnd(std::string_view text, std::size_t at) {
    std::size_t i = at + 1;
    if (i < text.size() && (text[i] == '!' || text[i] == '^')) ++i;
    for (bool first = true; i < text.size(); ++i, first = false) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == '[' && i + 1 < text.size() && text[i + 1] == ':') {
        const std::size_t close = text.find(']', i + 2);
        if (close != std::string_view::npos && text[close - 1] == ':') i = close;
      } else if (text[i] == ']' && !first) {
        return i;
      }
    }
    return at;
  }

  void Slips(std::string_view text, std::size_t column) {
    if (const std::size_t hash = text.find(" #"); hash != std::string_view::npos) {
      Warn(column + hash, "comment-in-pattern", "'#' starts a comment only at the start of a line; here it is part of the pattern");
    }
    std::size_t backslashes = 0;
    while (backslashes < text.size() && text[text.size() - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 1) {
      Warn(column + text.size() - 1, "trailing-backslash", "a backslash at the end escapes nothing: the pattern never matches");
    }
  }

  void Include(std::string_view raw, std::size_t column) {
    while (!raw.empty() && IsBlank(raw.back())) raw.remove_suffix(1);
    if (raw.empty()) return Error(column, "no file: expected 'include FILE' or 'include <PRESET>'");
    if (static_cast<int>(open_.size()) >= kMaxIncludeDepth) return Error(column, "includes nested deeper than 16 files");
    IncludedFile included;
    if (raw.front() == '<') {
      const std::string_view name = raw.substr(1, raw.size() - (raw.back() == '>' ? 2 : 1));
      const auto preset = PresetNamed(name);
      if (raw.back() != '>' || !preset) {
        return Error(column, "no preset '" + std::string(raw) + "': expected one of " + PresetNames());
      }
      included = IncludedFile{std::string(raw), std::string(*preset)};
    } else {
      IncludeAnswer answer = resolver_ ? resolver_(raw, source_.file) : IncludeAnswer{std::nullopt, "no files can be included here"};
      if (!answer.file) return Error(column, "cannot include '" + std::string(raw) + "': " + answer.problem);
      included = std::move(*answer.file);
    }
    if (std::find(open_.begin(), open_.end(), included.name) != open_.end()) {
      return Error(column, "'" + included.name + "' includes itself");
    }
    const Source source = source_;
    const std::string_view line = line_;
    File(included.text, included.name);
    source_ = source;
    line_ = line;
  }

  const IncludeResolver& resolver_;
  ParsedRules& out_;
  std::vector<std::string> open_;
  Source source_;
  std::string_view line_;
};

}  // namespace

ParsedRules ParseRules(std::string_view text, const std::string& file, const IncludeResolver& resolver) {
  ParsedRules parsed;
  Parser(resolver, parsed).File(text, file);
  return parsed;
}

}  // namespace tierfs::policy
