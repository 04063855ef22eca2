#include "policy/diagnostic.h"

#include <algorithm>

namespace tierfs::policy {
namespace {

// Replaces a byte that a terminal would interpret with '?'.
char Shown(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7F) ? c : '?';
}

}  // namespace

std::string Diagnostic::Headline() const {
  std::string text =
      source.file + ":" + std::to_string(source.line) + (source.column == 0 ? "" : ":" + std::to_string(source.column)) + ": " + message;
  std::transform(text.begin(), text.end(), text.begin(), Shown);
  return text;
}

std::string Diagnostic::Render() const {
  if (source.column == 0) return Headline() + "\n";  // about the file as a whole
  std::string text = Headline() + "\n  ";
  std::string caret = "  ";
  // Keep tabs, so that the caret stays in its column.
  for (std::size_t i = 0; i < line.size(); ++i) {
    text += Shown(line[i]);
    if (i + 1 < source.column) caret += line[i] == '\t' ? '\t' : ' ';
  }
  return text + "\n" + caret + "^\n";
}

}  // namespace tierfs::policy
