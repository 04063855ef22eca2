// Finds many words in a text in one pass (Aho-Corasick). Upper and lower case ASCII are the same.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tierfs::secrets {

class Keywords {
 public:
  // Returns the number of the word, from 0. The same word has the same number.
  std::uint32_t Add(std::string_view word);
  // Call it once, after the last Add() and before the first search.
  void Build();

  [[nodiscard]] std::size_t size() const { return words_.size(); }

  // Calls `hit(number, end)` for each occurrence; `end` is the offset behind it.
  template <typename Hit>
  void Find(std::string_view text, Hit hit) const {
    if (words_.empty()) return;
    std::uint32_t state = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
      state = next_[state * classes_ + class_of_[static_cast<unsigned char>(text[at])]];
      for (std::uint32_t out = outputs_[state]; out != kNone; out = shorter_[out]) hit(out, at + 1);
    }
  }

  [[nodiscard]] bool Any(std::string_view text) const;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  std::uint32_t NewState();

  std::vector<std::string> words_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  // Bytes that occur in no word share class 0.
  std::array<std::uint16_t, 256> class_of_{};
  std::uint32_t classes_ = 1;
  std::vector<std::uint32_t> next_;     // state * classes_ + class
  std::vector<std::uint32_t> outputs_;  // the longest word that ends in a state
  std::vector<std::uint32_t> shorter_;  // the next shorter word that ends where this one ends
};

}  // namespace tierfs::secrets
