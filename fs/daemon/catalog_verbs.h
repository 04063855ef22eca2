#pragma once

#include <map>
#include <string>

#include "fs/catalog/catalog.h"
#include "fs/control/control.h"
#include "fs/tree/tree.h"

namespace tierfs {

// What the control socket answers about the catalogue: "seal" gives the token of all that has changed until now, "rescan" takes in what was
// changed underneath. Both arguments must outlive the server.
[[nodiscard]] std::map<std::string, ControlHandler> CatalogVerbs(Catalog& catalog, Tree& tree);

// Its part of the answer to "status".
[[nodiscard]] nlohmann::json CatalogStatus(Catalog& catalog);

}  // namespace tierfs
