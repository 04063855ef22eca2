#include "fs/catalog/catalog.h"

namespace tierfs {

Catalog::Catalog(const std::string& state_dir) : database_(state_dir, health_), journal_(database_) {
  database_.OnRenewed([this] { journal_.CarryOver(); });
}

}  // namespace tierfs
