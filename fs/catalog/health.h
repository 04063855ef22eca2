// The state of the catalogue, for `tierctl status`. Trouble with the catalogue never stops a mount,
// so it must be reported.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fs/os/mutex.h"

namespace tierfs {

// Owns the current troubles and the notes. Thread-safe. A trouble lasts until the same operation
// works again; a note lasts for the life of the mount.
class Health {
 public:
  // Each new trouble and each note is logged once.
  enum class Of : std::uint8_t { kDatabase, kFeed };
  void Trouble(Of what, const std::string& text);
  void Recovered(Of what);
  void Note(const std::string& text);

  [[nodiscard]] std::string CurrentTrouble() const;  // "" when all is well
  [[nodiscard]] std::vector<std::string> Notes() const;

 private:
  mutable Mutex mutex_;
  std::array<std::string, 2> troubles_ GUARDED_BY(mutex_);
  std::vector<std::string> notes_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
