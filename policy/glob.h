// The pattern of one path component: `*`, `?`, `[]` and literal bytes, with the meaning that git's
// wildmatch.c gives them under WM_PATHNAME.
#pragma once

#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tierfs::policy {

// An immutable pattern. Threads may share it.
class Glob {
 public:
  struct Error {
    std::size_t at;       // byte offset in the text
    std::string message;  // the problem, and the expected text
  };

  // Parses a component. Sets `error` if it is not a pattern.
  [[nodiscard]] static Glob Parse(std::string_view text, std::optional<Error>& error);

  // Whether the whole of `name` matches. Takes at most |pattern| * |name| steps, because only the
  // last star met is ever retried. Counts them in `steps` if given.
  [[nodiscard]] bool Matches(std::string_view name, std::size_t* steps = nullptr) const noexcept;

  // The pattern as written.
  [[nodiscard]] const std::string& text() const { return text_; }
  // Whether the pattern matches every name.
  [[nodiscard]] bool matches_all() const { return suffix_decides_ && suffix_.empty(); }
  // The only name that matches, if there is exactly one.
  [[nodiscard]] const std::optional<std::string>& literal() const { return literal_; }
  // The suffix of every matching name.
  [[nodiscard]] const std::string& suffix() const { return suffix_; }
  // True for `*` followed by only that suffix: the suffix alone decides.
  [[nodiscard]] bool suffix_decides() const { return suffix_decides_; }
  // Returns the prefix of every matching name.
  [[nodiscard]] std::string LiteralPrefix() const;
  // Returns the longest run of bytes contained in every matching name.
  [[nodiscard]] std::string LongestRun() const;

 private:
  struct Token {
    enum Kind : unsigned char { kByte, kAny, kStar, kSet } kind;
    unsigned char byte = 0;
    unsigned set = 0;  // index into sets_
  };

  void Summarise();

  std::string text_;
  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> sets_;
  std::optional<std::string> literal_;
  std::string suffix_;
  bool suffix_decides_ = false;
};

}  // namespace tierfs::policy
