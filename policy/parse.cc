#include "policy/parse.h"

#include <algorithm>
#include <utility>

#include "policy/presets.h"

namespace tierfs::policy {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Removes trailing spaces, except a space escaped by a backslash (git: dir.c,
// trim_trailing_spaces).
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

  void Read(std::string_view text, const std::string& file) {
    if (text.size() > kMaxText) {
      source_ = Source{file, 1, 1};
      return Error(0, "too large: expected at most 64 MiB of rules");
    }
    File(text, file);
    MentionMore(out_.errors, more_errors_, "errors");
    MentionMore(out_.suspicious, more_suspicious_, "warnings");
  }

 private:
  void File(std::string_view text, const std::string& file) {
    open_.push_back(file);
    text_bytes_ += text.size();
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
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

  void Error(std::size_t at, std::string message) { Keep(out_.errors, more_errors_, at, std::move(message), ""); }
  void Warn(std::size_t at, std::string code, std::string message) {
    Keep(out_.suspicious, more_suspicious_, at, std::move(message), std::move(code));
  }
  void Keep(std::vector<Diagnostic>& list, std::size_t& more, std::size_t at, std::string message, std::string code) {
    if (list.size() < kMaxDiagnostics) {
      list.push_back(Make(at, std::move(message), std::move(code)));
    } else {
      ++more;
    }
  }
  static void MentionMore(std::vector<Diagnostic>& list, std::size_t more, const char* what) {
    if (more != 0) list.back().message += " (and " + std::to_string(more) + " more " + what + ")";
  }
  Diagnostic Make(std::size_t at, std::string message, std::string code) const {
    Source source = source_;
    source.column = at + 1;
    // Text quoted from the file must not control a terminal.
    std::replace_if(
        message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    return Diagnostic{source, std::string(line_.substr(0, kMaxShown)), std::move(message), std::move(code)};
  }
  static std::string Quoted(std::string_view text) { return "'" + std::string(text.substr(0, 80)) + (text.size() > 80 ? "...'" : "'"); }

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
      return Error(word_at, Quoted(word) + " is not a tier: expected 1 to 4 (or build, data, state, bulk), then a pattern");
    }
    Pattern(*tier, line.substr(at), at);
  }

  void Pattern(TierId tier, std::string_view raw, std::size_t column) {
    const std::string_view text = WithoutTrailingSpaces(raw);
    if (text.empty()) return Error(column, "no pattern: expected one after the tier, such as /var/cache/ or *.pyc");
    if (text[0] == '!') {
      return Error(column, "'!' is not needed, as a later rule with another tier wins: expected a pattern, or '\\!' to match one");
    }
    if (text == "/") return Error(column, "'/' alone matches nothing: expected '/**' or '*' for everything");
    if (text.size() > kMaxPattern) return Error(column, "the pattern is too long: expected at most 4096 bytes, as no path has more");
    if (out_.rules.size() >= kMaxRules) return Error(column, "too many rules: expected at most 100000");
    Rule rule;
    rule.tier = tier;
    rule.pattern = std::string(text);
    rule.line = std::string(line_.substr(0, kMaxShown));
    rule.source = source_;
    rule.source.column = column + 1;
    rule.directories_only = text.back() == '/';
    if (!Components(text.substr(0, text.size() - (rule.directories_only ? 1 : 0)), column, rule)) return;
    if (text.size() != raw.size()) {
      Warn(column + text.size(), "trailing-space", "trailing space, which is ignored: write '\\ ' to match one");
    }
    Slips(text, column);
    out_.rules.push_back(std::move(rule));
  }

  // Splits a pattern, given without its trailing slash, into the components of the rule. Returns
  // false after an error.
  bool Components(std::string_view text, std::size_t column, Rule& rule) {
    const auto wrong = [&](std::size_t at, std::string message) {
      Error(column + at, std::move(message));
      return false;
    };
    // As in git, any slash except a trailing one anchors the pattern, even one within brackets.
    const bool anchored = text.find('/') != std::string_view::npos;
    if (!anchored) rule.components.push_back(Component{true, {}});
    const auto pieces = Split(text);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto& [offset, piece] = pieces[i];
      if (piece.empty()) {
        if (i == 0) continue;
        return wrong(offset, "empty path component ('//'): expected a name between the slashes");
      }
      if (piece == "." || piece == "..") {
        return wrong(offset, "'" + std::string(piece) + "' never names an entry: expected a path relative to the mount");
      }
      const bool stars = piece.size() >= 2 && piece.find_first_not_of('*') == std::string_view::npos;
      if (stars && anchored && i + 1 < pieces.size()) {
        if (rule.components.empty() || !rule.components.back().any_depth) rule.components.push_back(Component{true, {}});
        continue;
      }
      std::optional<Glob::Error> problem;
      Glob glob = Glob::Parse(piece, problem);
      if (problem) return wrong(offset + problem->at, problem->message);
      rule.components.push_back(Component{false, std::move(glob)});
    }
    return true;
  }

  // Returns the pieces between slashes, with their offsets. A slash within brackets does not
  // separate pieces; one behind a backslash does.
  static std::vector<std::pair<std::size_t, std::string_view>> Split(std::string_view text) {
    std::vector<std::pair<std::size_t, std::string_view>> pieces;
    std::size_t start = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '[') {
        i = std::max(i, BracketEnd(text, i));
      } else if (text[i] == '/') {
        pieces.emplace_back(start, text.substr(start, i - start));
        start = i + 1;
      } else if (text[i] == '\\' && i + 1 < text.size()) {
        if (text[++i] != '/') continue;
        pieces.emplace_back(start, text.substr(start, i - 1 - start));
        start = i + 1;
      }
    }
    pieces.emplace_back(start, text.substr(start));
    return pieces;
  }

  // Returns the end of the bracket expression that starts at `at`, or `at` itself if it has no end.
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
    if (text.back() == '/') text.remove_suffix(1);
    while (backslashes < text.size() && text[text.size() - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 1) {
      Warn(column + text.size() - 1, "trailing-backslash", "a backslash at the end escapes nothing: the pattern never matches");
    }
  }

  void Include(std::string_view raw, std::size_t column) {
    while (!raw.empty() && IsBlank(raw.back())) raw.remove_suffix(1);
    if (raw.empty()) return Error(column, "no file: expected 'include FILE' or 'include <PRESET>'");
    if (open_.size() >= kMaxIncludeDepth) return Error(column, "includes nested too deep: expected at most 16 files");
    if (includes_ == kMaxIncludes) return Error(column, "too many includes: expected at most 1000 in all");
    ++includes_;
    IncludedFile included;
    if (raw.front() == '<') {
      const std::string_view name = raw.substr(1, raw.size() - (raw.back() == '>' ? 2 : 1));
      const auto preset = PresetNamed(name);
      if (raw.back() != '>' || !preset) {
        return Error(column, "no preset " + Quoted(raw) + ": expected one of " + PresetNames());
      }
      included = IncludedFile{std::string(raw), std::string(*preset)};
    } else {
      IncludeAnswer answer = resolver_ ? resolver_(raw, source_.file) : IncludeAnswer{std::nullopt, "no files can be included here"};
      if (!answer.file) return Error(column, "cannot include " + Quoted(raw) + ": " + answer.problem);
      included = std::move(*answer.file);
    }
    if (std::find(open_.begin(), open_.end(), included.name) != open_.end()) {
      return Error(column, Quoted(included.name) + " includes itself: expected no circle of includes");
    }
    if (text_bytes_ + included.text.size() > kMaxText) {
      return Error(column, "too large: expected at most 64 MiB of rules with all that is included");
    }
    const Source source = source_;
    const std::string_view line = line_;
    File(included.text, included.name);
    source_ = source;
    line_ = line;
  }

  static constexpr std::size_t kMaxShown = 1000;  // bytes of a line in a diagnostic

  const IncludeResolver& resolver_;
  ParsedRules& out_;
  std::vector<std::string> open_;
  std::size_t includes_ = 0;
  std::size_t text_bytes_ = 0;
  std::size_t more_errors_ = 0;
  std::size_t more_suspicious_ = 0;
  Source source_;
  std::string_view line_;
};

}  // namespace

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

ParsedRules ParseRules(std::string_view text, const std::string& file, const IncludeResolver& resolver) {
  ParsedRules parsed;
  Parser(resolver, parsed).Read(text, file);
  return parsed;
}

}  // namespace tierfs::policy
