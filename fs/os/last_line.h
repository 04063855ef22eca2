#pragma once

#include <string>
#include <string_view>

namespace tierfs {

// Keeps the last line that is not blank out of a stream of bytes, for a message: kLongest bytes of
// it at most, control characters as "?". A carriage return ends a line too.
class LastLine {
 public:
  static constexpr std::size_t kLongest = 300;

  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n' || c == '\r') {
        End();
      } else if (current_.size() < kLongest && !(current_.empty() && c == ' ')) {
        current_ += static_cast<unsigned char>(c) < ' ' || c == '\x7F' ? '?' : c;
      }
    }
  }
  // Text after the last line end is a line too.
  [[nodiscard]] const std::string& text() const { return current_.empty() ? last_ : current_; }

 private:
  void End() {
    if (!current_.empty()) last_.swap(current_);
    current_.clear();
  }

  std::string current_;
  std::string last_;
};

}  // namespace tierfs
