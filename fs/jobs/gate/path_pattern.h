// The patterns by which the gate's files name a path.
#pragma once

#include <optional>
#include <string>

namespace tierfs::gate {

// Returns a pattern, in the language of policies, that matches the path (relative to the mount) and
// what is beneath it. It matches nothing else, with two exceptions:
//   - a newline, or a carriage return at the end, becomes '?', because no line can hold it
//   - if the pattern would be longer than a policy allows, '?' stands for each byte that needs an
//     escape.
// None if that is still too long.
[[nodiscard]] std::optional<std::string> PatternFor(const std::string& path);

// The same, or the pattern of the nearest directory above that fits.
[[nodiscard]] std::string PatternOf(const std::string& path);

// Returns the path that a pattern names, as far as it names one: the pattern without its escapes.
[[nodiscard]] std::string PathOf(const std::string& pattern);

}  // namespace tierfs::gate
