// A file name in eight bytes and its own length.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace tierfs {

// std::string takes thirty-two bytes beside the name, and a million names are kept. Holds no NUL,
// as file names do not.
class SmallName {
 public:
  SmallName() = default;
  SmallName& operator=(std::string_view name) {
    if (name.empty()) {
      bytes_.reset();
      return *this;
    }
    auto bytes = std::make_unique<char[]>(name.size() + 1);
    std::memcpy(bytes.get(), name.data(), name.size());
    bytes_ = std::move(bytes);
    return *this;
  }
  void clear() { bytes_.reset(); }

  [[nodiscard]] const char* c_str() const { return bytes_ ? bytes_.get() : ""; }
  operator std::string_view() const { return c_str(); }  // NOLINT: used wherever a name is
  operator std::string() const { return c_str(); }       // NOLINT
  bool operator==(std::string_view other) const { return std::string_view(*this) == other; }

 private:
  std::unique_ptr<char[]> bytes_;
};

}  // namespace tierfs
