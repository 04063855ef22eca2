// The catalogue of a mount: everything that tierfs remembers beside the trees. All of it can be made anew from them.
#pragma once

#include <string>

#include "fs/catalog/database.h"
#include "fs/catalog/health.h"
#include "fs/catalog/journal.h"

namespace tierfs {

// Opening it never fails; what is wrong with it is in Health.
class Catalog {
 public:
  explicit Catalog(const std::string& state_dir);

  [[nodiscard]] Journal& journal() { return journal_; }
  [[nodiscard]] const Health& health() const { return health_; }

 private:
  Health health_;
  Database database_;
  Journal journal_;
};

}  // namespace tierfs
