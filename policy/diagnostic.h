#pragma once

#include <string>

#include "policy/rule.h"

namespace tierfs::policy {

struct Diagnostic {
  Source source;
  std::string line;     // the text of the line
  std::string message;  // what is wrong, and what was expected
  std::string code;     // of a lint warning: a short name; empty for an error

  // FILE:LINE:COLUMN: message. One line, for a terminal too: whatever the file's name and the rules
  // hold.
  [[nodiscard]] std::string Headline() const;
  // The headline, the line and a caret under the column.
  [[nodiscard]] std::string Render() const;
};

}  // namespace tierfs::policy
