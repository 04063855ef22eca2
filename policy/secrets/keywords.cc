#include "policy/secrets/keywords.h"

#include <algorithm>
#include <deque>

namespace tierfs::secrets {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::uint32_t Keywords::Add(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  const auto [place, added] = numbers_.try_emplace(lower, static_cast<std::uint32_t>(words_.size()));
  if (added) words_.push_back(std::move(lower));
  return place->second;
}

std::uint32_t Keywords::NewState() {
  next_.resize(next_.size() + classes_, kNone);
  outputs_.push_back(kNone);
  return static_cast<std::uint32_t>(outputs_.size() - 1);
}

void Keywords::Build() {
  for (const std::string& word : words_) {
    for (const char c : word) {
      std::uint16_t& of = class_of_[static_cast<unsigned char>(c)];
      if (of == 0) of = static_cast<std::uint16_t>(classes_++);
    }
  }
  for (unsigned char c = 'a'; c <= 'z'; ++c) class_of_[c - 'a' + 'A'] = class_of_[c];

  NewState();
  shorter_.assign(words_.size(), kNone);
  for (std::uint32_t word = 0; word < words_.size(); ++word) {
    std::uint32_t state = 0;
    for (const char c : words_[word]) {
      const std::size_t edge = state * classes_ + class_of_[static_cast<unsigned char>(c)];
      if (next_[edge] == kNone) {
        const std::uint32_t added = NewState();
        next_[edge] = added;
      }
      state = next_[edge];
    }
    outputs_[state] = word;
  }

  // Breadth first: the state of the longest proper suffix is complete before it is needed.
  std::vector<std::uint32_t> suffix(outputs_.size(), 0);
  std::deque<std::uint32_t> queue{0};
  while (!queue.empty()) {
    const std::uint32_t state = queue.front();
    queue.pop_front();
    for (std::uint32_t of = 0; of < classes_; ++of) {
      std::uint32_t& to = next_[state * classes_ + of];
      const std::uint32_t fallback = state == 0 ? 0 : next_[suffix[state] * classes_ + of];
      if (to == kNone) {
        to = fallback;
        continue;
      }
      suffix[to] = fallback;
      if (outputs_[to] == kNone) {
        outputs_[to] = outputs_[fallback];
      } else {
        shorter_[outputs_[to]] = outputs_[fallback];
      }
      queue.push_back(to);
    }
  }
}

bool Keywords::Any(std::string_view text) const {
  if (words_.empty()) return false;
  std::uint32_t state = 0;
  return std::any_of(text.begin(), text.end(), [&](char c) {
    state = next_[state * classes_ + class_of_[static_cast<unsigned char>(c)]];
    return outputs_[state] != kNone;
  });
}

}  // namespace tierfs::secrets
