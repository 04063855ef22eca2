// How the catalogue is, for `tierctl status`: it never stops a mount, so what is wrong with it has
// to be said.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fs/os/mutex.h"

namespace tierfs {

// Thread-safe. A trouble lasts until the same thing works again; a note is for good (of this
// mount's life).
class Health {
 public:
  // Each new trouble and each note goes to the log, once.
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
