// The names that the randomised test uses. They are few, so that operations often meet.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace tierfs::test {

using Random = std::mt19937_64;

inline std::size_t Below(Random& random, std::size_t bound) { return static_cast<std::size_t>(random() % bound); }
inline bool Chance(Random& random, unsigned percent) { return random() % 100 < percent; }

// Policies that give these names different tiers. A reload switches between them.
inline const std::vector<std::string>& Policies() {
  static const std::vector<std::string> policies = {
      "1 *.conf\n3 *.tmp\n4 /usr/\n3 /cache/\n1 /etc/\n2 /etc/priv/\n",
      "4 *.conf\n2 *.tmp\n3 /usr/\n1 /cache/\n2 /etc/\n1 /etc/priv/\n3 a/\n",
      "1 b\n4 /etc/\n2 /usr/a/\n3 *.conf\n4 priv/\n",
  };
  return policies;
}

inline std::string RandomName(Random& random) {
  static const std::vector<std::string> names = {"a",         "b", "x.conf", "y.tmp", "etc", "usr", "cache", "priv", std::string(255, 'l'),
                                                 "\xff\n\\ :"};
  return names[Below(random, names.size())];
}

// A path of one to four components; short paths are more frequent.
inline std::string RandomPath(Random& random) {
  std::string path = RandomName(random);
  for (int depth = 1; depth < 4 && Chance(random, 45); ++depth) path += "/" + RandomName(random);
  return path;
}

}  // namespace tierfs::test
