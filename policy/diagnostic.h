#pragma once

#include <string>

#include "policy/rule.h"

namespace tierfs::policy {

struct Diagnostic {
  Source source;
  std::string line;     // the text of the line
  std::string message;  // the problem, and the expected text
  // The short name of a lint warning; empty for an error.
  std::string code;

  // Returns "FILE:LINE:COLUMN: message". It is one line and safe for a terminal, whatever the file
  // name and the rules contain.
  [[nodiscard]] std::string Headline() const;
  // Returns the headline, the line and a caret under the column.
  [[nodiscard]] std::string Render() const;
};

}  // namespace tierfs::policy
