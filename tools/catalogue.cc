#include "tools/catalogue.h"

#include "fs/catalog/checksum.h"

namespace tierfs::tools {

nlohmann::json PathToJson(const std::string& path) {
  nlohmann::json entry = {{"path", path}};
  try {
    (void)entry.dump();
  } catch (const nlohmann::json::type_error&) {
    entry["bytes"] = HexOf(path);
  }
  return entry;
}

}  // namespace tierfs::tools
