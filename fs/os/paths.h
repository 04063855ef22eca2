// Paths relative to a root, without a leading slash; "" is the root itself.
#pragma once

#include <string>

namespace tierfs {

[[nodiscard]] inline std::string JoinPath(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}
// "a/b" of "a/b/c"; "" of a single name.
[[nodiscard]] inline std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
// "c" of "a/b/c".
[[nodiscard]] inline std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Returns the path unchanged if all of it is printable, else in quotes with C escapes. Every path
// fits on one line, and no two paths look alike.
[[nodiscard]] std::string Quoted(const std::string& path);

}  // namespace tierfs
