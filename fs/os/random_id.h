#pragma once

#include <string>

namespace tierfs {

// `words` times 32 random bits, hexadecimal.
[[nodiscard]] std::string RandomId(int words);

}  // namespace tierfs
