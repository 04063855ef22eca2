#include "policy/diagnostic.h"

namespace tierfs::policy {

std::string Diagnostic::Headline() const {
  return source.file + ":" + std::to_string(source.line) + (source.column == 0 ? "" : ":" + std::to_string(source.column)) + ": " + message;
}

std::string Diagnostic::Render() const {
  if (source.column == 0) return Headline() + "\n";  // of the file as a whole
  std::string text = Headline() + "\n  ";
  std::string caret = "  ";
  // Bytes that a terminal would act on are shown as '?'; a tab keeps its width under the caret.
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    text += c == '\t' || (c >= 0x20 && c != 0x7F) ? line[i] : '?';
    if (i + 1 < source.column) caret += c == '\t' ? '\t' : ' ';
  }
  return text + "\n" + caret + "^\n";
}

}  // namespace tierfs::policy
