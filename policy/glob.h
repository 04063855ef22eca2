// One path component's pattern: `*`, `?`, `[]` and literal bytes, as git's wildmatch.c reads them
// with WM_PATHNAME.
#pragma once

#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tierfs::policy {

class Glob {
 public:
  struct Error {
    std::size_t at;       // offset in the text
    std::string message;  // what is wrong and what was expected
  };

  // Reads a component. `error` is set when it is not a pattern.
  [[nodiscard]] static Glob Parse(std::string_view text, std::optional<Error>& error);

  // Whether the whole of `name` matches. At most |pattern| * |name| steps: a star is only ever
  // retried from the last one met. `steps`, when given, counts them.
  [[nodiscard]] bool Matches(std::string_view name, std::size_t* steps = nullptr) const noexcept;

  // As it was written.
  [[nodiscard]] const std::string& text() const { return text_; }
  // Matches every name.
  [[nodiscard]] bool matches_all() const { return suffix_decides_ && suffix_.empty(); }
  // The only name that it matches, when there is only one.
  [[nodiscard]] const std::optional<std::string>& literal() const { return literal_; }
  // What every name that it matches ends with.
  [[nodiscard]] const std::string& suffix() const { return suffix_; }
  // True for `*` followed by nothing but that suffix: the suffix alone decides.
  [[nodiscard]] bool suffix_decides() const { return suffix_decides_; }
  // What every name that it matches begins with.
  [[nodiscard]] std::string LiteralPrefix() const;
  // The longest run of bytes that stands somewhere in every name that it matches.
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
