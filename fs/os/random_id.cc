#include "fs/os/random_id.h"

#include <cstdio>
#include <random>

namespace tierfs {

std::string RandomId(int words) {
  std::random_device random;
  std::string id;
  for (int word = 0; word < words; ++word) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", random());
    id += text;
  }
  return id;
}

}  // namespace tierfs
