// Compiled rules, as Compile() makes them and Scan() uses them.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <string>
#include <vector>

#include "policy/secrets/keywords.h"
#include "policy/secrets/scanner.h"

namespace tierfs::secrets {

// Says that a match is no credential.
struct Allowlist {
  enum class Target { kSecret, kMatch, kLine };

  // Whether each check that the list has must hold. Otherwise one is enough.
  bool all = false;
  Target target = Target::kSecret;
  std::unique_ptr<RE2> paths;
  std::unique_ptr<RE2> regexes;
  std::unique_ptr<Keywords> stopwords;  // searched for in the secret
};

struct Rule {
  std::string id;
  std::string description;
  std::unique_ptr<RE2> regex;  // null: the path alone decides
  std::unique_ptr<RE2> path;   // null: any path
  int group = 0;               // the group that holds the secret; 0: the first that is not empty
  double entropy = 0;          // the secret's entropy in bits a byte must be higher; 0: no check
  // The regex is tried only where one of them occurs. Empty: everywhere.
  std::vector<std::uint32_t> keywords;
  // No match of the regex spans lines, so that only lines with a keyword have to be searched.
  bool within_line = false;
  std::vector<std::shared_ptr<const Allowlist>> allowlists;
};

class Rules {
 public:
  std::vector<Rule> rules;
  Keywords keywords;
};

// Whether no match of the regular expression can hold a line end. False proves nothing.
[[nodiscard]] bool StaysWithinLine(std::string_view pattern);

}  // namespace tierfs::secrets
