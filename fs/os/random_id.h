#pragma once

#include <string>

namespace tierfs {

// Returns `words` times 32 random bits in hexadecimal.
[[nodiscard]] std::string RandomId(int words);

}  // namespace tierfs
