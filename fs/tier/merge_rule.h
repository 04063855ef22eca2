// Which layer shows at a name: the one statement of the rule.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "fs/tier/entry.h"
#include "fs/tier/layer.h"

namespace tierfs {

// What one layer holds at a name.
enum class Held : std::uint8_t {
  kNothing,
  kWhiteout,
  kDirectory,
  kOpaqueDirectory,  // of a lower layer: it shows nothing of the layers beneath it
  kOther,            // any other file
};

[[nodiscard]] inline Held HeldAs(const struct stat& st) {
  if (IsWhiteout(st)) return Held::kWhiteout;
  return S_ISDIR(st.st_mode) ? Held::kDirectory : Held::kOther;
}

// The rule, as the kernel's overlayfs has it for the lower layers, and decisions D3 and D6 for the
// tiers:
//   The first of the tiers that holds an entry decides what shows: a file, or a directory. The class tier comes first, then the others
//   by number. A directory merges with the directories of all the other tiers.
//   A whiteout in any tier hides every lower layer. Otherwise the lower layers follow, uppermost first, where no tier shows a file: a file
//   shows where nothing is above it; directories merge; a whiteout, a file or an opaque directory ends the search.
// Only those layers count that make up the directory that the name is in.
class MergeRule {
 public:
  // Whether it still matters what the layer holds.
  [[nodiscard]] constexpr bool Wants(LayerIndex layer) const { return !ended_ && (IsTier(layer) || whiteouts_.Empty()); }

  // What the next layer holds, in the order above.
  constexpr void Take(LayerIndex layer, Held held) {
    if (!Wants(layer)) return;
    const bool lower = !IsTier(layer);
    switch (held) {
      case Held::kNothing:
        break;
      case Held::kWhiteout:
        if (lower) {
          ended_ = true;
        } else {
          whiteouts_ = whiteouts_.With(layer);
        }
        break;
      case Held::kDirectory:
      case Held::kOpaqueDirectory:
        parts_ = parts_.With(layer);
        directory_ = true;
        ended_ = held == Held::kOpaqueDirectory;
        break;
      case Held::kOther:
        // A directory above hides a file. In the tiers more directories may follow.
        ended_ = lower || parts_.Empty();
        if (parts_.Empty()) parts_ = LayerMask::Only(layer);
        break;
    }
  }

  // The layer of the file that shows, or all the layers whose directories merge; empty when nothing
  // shows.
  [[nodiscard]] constexpr LayerMask parts() const { return parts_; }
  [[nodiscard]] constexpr bool Shows() const { return !parts_.Empty(); }
  [[nodiscard]] constexpr bool ShowsDirectory() const { return directory_; }
  // The tiers taken that hold a whiteout.
  [[nodiscard]] constexpr LayerMask whiteouts() const { return whiteouts_; }

 private:
  LayerMask parts_;
  LayerMask whiteouts_;
  bool directory_ = false;
  bool ended_ = false;
};

// Applies the rule to `layers`. `home` is the class tier, or kNoLayer where one tier alone is among
// them. `look(layer)` answers Result<Held>; it is called for the layers that matter, in the order
// of the rule.
template <typename Look>
[[nodiscard]] Result<MergeRule> Merge(LayerMask layers, LayerIndex home, Look look) {
  MergeRule rule;
  if (home != kNoLayer && layers.Has(home)) {
    TIERFS_ASSIGN(const Held held, look(home));
    rule.Take(home, held);
  }
  for (const LayerIndex layer : layers) {
    if (layer == home) continue;
    if (!rule.Wants(layer)) break;
    TIERFS_ASSIGN(const Held held, look(layer));
    rule.Take(layer, held);
  }
  return rule;
}

}  // namespace tierfs
