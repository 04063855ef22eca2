#include "policy/glob.h"

#include <cctype>
#include <utility>

namespace tierfs::policy {
namespace {

using Set = std::bitset<256>;

bool AddNamedClass(std::string_view name, Set& set) {
  static constexpr std::pair<std::string_view, int (*)(int)> kClasses[] = {
      {"alnum", std::isalnum}, {"alpha", std::isalpha}, {"blank", std::isblank}, {"cntrl", std::iscntrl},
      {"digit", std::isdigit}, {"graph", std::isgraph}, {"lower", std::islower}, {"print", std::isprint},
      {"punct", std::ispunct}, {"space", std::isspace}, {"upper", std::isupper}, {"xdigit", std::isxdigit}};
  for (const auto& [known, test] : kClasses) {
    if (known != name) continue;
    for (int c = 0; c < 128; ++c) {
      if (test(c) != 0) set.set(static_cast<std::size_t>(c));
    }
    return true;
  }
  return false;
}

// Parses a bracket expression whose '[' is at `at`, and moves `at` behind its ']'. The cases are in
// the order of wildmatch.c.
std::optional<Glob::Error> ParseSet(std::string_view text, std::size_t& at, Set& set) {
  const std::size_t start = at++;
  const auto unterminated = [&] {
    return Glob::Error{start, "'[' without its ']': expected a closing bracket, or '\\[' for a literal one"};
  };
  bool negated = false;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) {
    negated = true;
    ++at;
  }
  // The byte that starts a range if a '-' follows; 0 for none.
  int previous = 0;
  bool first = true;
  for (;; first = false) {
    if (at >= text.size()) return unterminated();
    const char c = text[at];
    if (c == ']' && !first) break;
    if (c == '\\') {
      if (at + 1 >= text.size()) return unterminated();
      previous = static_cast<unsigned char>(text[at + 1]);
      set.set(static_cast<std::size_t>(previous));
      at += 2;
    } else if (c == '-' && previous != 0 && at + 1 < text.size() && text[at + 1] != ']') {
      ++at;
      if (text[at] == '\\' && ++at >= text.size()) return unterminated();
      for (int b = previous; b <= static_cast<unsigned char>(text[at]); ++b) set.set(static_cast<std::size_t>(b));
      previous = 0;
      ++at;
    } else if (c == '[' && at + 1 < text.size() && text[at + 1] == ':') {
      const std::size_t close = text.find(']', at + 2);
      if (close == std::string_view::npos) return unterminated();
      if (close == at + 2 || text[close - 1] != ':') {
        set.set('[');
        previous = '[';
        ++at;
        continue;
      }
      const std::string_view name = text.substr(at + 2, close - at - 3);
      if (!AddNamedClass(name, set)) {
        return Glob::Error{at, "unknown class '[:" + std::string(name.substr(0, 40)) + ":]': expected one such as [:alpha:], [:digit:]"};
      }
      previous = 0;
      at = close + 1;
    } else {
      previous = static_cast<unsigned char>(c);
      set.set(static_cast<std::size_t>(previous));
      ++at;
    }
  }
  ++at;
  if (negated) set.flip();
  set.reset('/');
  return std::nullopt;
}

}  // namespace

Glob Glob::Parse(std::string_view text, std::optional<Error>& error) {
  Glob glob;
  glob.text_ = text;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '*') {
      if (glob.tokens_.empty() || glob.tokens_.back().kind != Token::kStar) glob.tokens_.push_back({Token::kStar});
      ++at;
    } else if (c == '?') {
      glob.tokens_.push_back({Token::kAny});
      ++at;
    } else if (c == '[') {
      Set set;
      error = ParseSet(text, at, set);
      if (error) return glob;
      glob.tokens_.push_back({Token::kSet, 0, static_cast<unsigned>(glob.sets_.size())});
      glob.sets_.push_back(set);
    } else if (c == '\\') {
      // As in git, a backslash that escapes nothing matches no name; lint warns about it.
      const bool escapes = at + 1 < text.size();
      if (escapes) {
        glob.tokens_.push_back({Token::kByte, static_cast<unsigned char>(text[at + 1])});
      } else {
        glob.tokens_.push_back({Token::kSet, 0, static_cast<unsigned>(glob.sets_.size())});
        glob.sets_.emplace_back();
      }
      at += 2;
    } else {
      glob.tokens_.push_back({Token::kByte, static_cast<unsigned char>(c)});
      ++at;
    }
  }
  glob.Summarise();
  return glob;
}

void Glob::Summarise() {
  std::size_t tail = tokens_.size();
  while (tail > 0 && tokens_[tail - 1].kind == Token::kByte) --tail;
  for (std::size_t i = tail; i < tokens_.size(); ++i) suffix_ += static_cast<char>(tokens_[i].byte);
  if (tail == 0) literal_ = suffix_;
  suffix_decides_ = tail == 1 && tokens_[0].kind == Token::kStar;
}

std::string Glob::LiteralPrefix() const {
  std::string prefix;
  for (const Token& token : tokens_) {
    if (token.kind != Token::kByte) break;
    prefix += static_cast<char>(token.byte);
  }
  return prefix;
}

std::string Glob::LongestRun() const {
  std::string longest;
  std::string run;
  for (const Token& token : tokens_) {
    if (token.kind == Token::kByte) {
      run += static_cast<char>(token.byte);
    } else {
      run.clear();
    }
    if (run.size() > longest.size()) longest = run;
  }
  return longest;
}

bool Glob::Matches(std::string_view name, std::size_t* steps) const noexcept {
  if (literal_) return name == *literal_;
  if (!name.ends_with(suffix_)) return false;
  if (suffix_decides_) return true;
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t token = 0;
  std::size_t at = 0;
  std::size_t star = kNone;  // the last star met
  // The number of bytes left to the part of the pattern after the star.
  std::size_t star_at = 0;
  while (at < name.size()) {
    if (steps != nullptr) ++*steps;
    const auto byte = static_cast<unsigned char>(name[at]);
    bool matched = false;
    if (token < tokens_.size()) {
      const Token& wanted = tokens_[token];
      switch (wanted.kind) {
        case Token::kStar:
          star = token++;
          star_at = at;
          continue;
        case Token::kByte:
          matched = wanted.byte == byte;
          break;
        case Token::kAny:
          matched = true;
          break;
        case Token::kSet:
          matched = sets_[wanted.set][byte];
          break;
      }
    }
    if (matched) {
      ++token;
      ++at;
    } else if (star != kNone) {
      token = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (token < tokens_.size() && tokens_[token].kind == Token::kStar) ++token;
  return token == tokens_.size();
}

}  // namespace tierfs::policy
