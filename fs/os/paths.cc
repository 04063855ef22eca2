#include "fs/os/paths.h"

namespace tierfs {

std::string Quoted(const std::string& path) {
  bool plain = path.empty() || path[0] != '"';
  std::string text = "\"";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
      plain = plain && c != '\\';
    } else if (byte < 0x20 || byte == 0x7F) {
      plain = false;
      static constexpr char kOctal[] = "01234567";
      text += {'\\', kOctal[byte >> 6], kOctal[(byte >> 3) & 7], kOctal[byte & 7]};
    } else {
      text += c;
    }
  }
  return plain ? path : text + "\"";
}

}  // namespace tierfs
