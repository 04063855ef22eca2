// The only statement of the rule that decides which layer shows at a name.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "fs/tier/entry.h"
#include "fs/tier/layer.h"

namespace tierfs {

// The kind of entry that one layer holds at a name.
enum class Held : std::uint8_t {
  kNothing,
  kWhiteout,
  kDirectory,
  kOpaqueDirectory,  // in a lower layer: hides the layers beneath it
  kOther,            // any other file
};

[[nodiscard]] inline Held HeldAs(const struct stat& st) {
  if (IsWhiteout(st)) return Held::kWhiteout;
  return S_ISDIR(st.st_mode) ? Held::kDirectory : Held::kOther;
}

// The rule follows the kernel's overlayfs for the lower layers, and decisions D3 and D6 for the
// tiers:
//   - The first tier that holds an entry decides whether a file or a directory shows. The class
//     tier comes first, then the others by number. A directory merges with the directories of all
//     other tiers.
//   - A whiteout in any tier hides every lower layer.
//   - Without a whiteout, and unless a tier shows a file, the lower layers follow, uppermost first.
//     A file shows if nothing is above it. Directories merge. A whiteout, a file or an opaque
//     directory ends the search.
// Only the layers that make up the parent directory count.
class MergeRule {
 public:
  // Whether the entry of this layer can still change the result.
  [[nodiscard]] constexpr bool Wants(LayerIndex layer) const { return !ended_ && (IsTier(layer) || whiteouts_.Empty()); }

  // Adds the entry of the next layer, in the order above.
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
        // A directory above hides this file. More directories may follow in the tiers.
        ended_ = lower || parts_.Empty();
        if (parts_.Empty()) parts_ = LayerMask::Only(layer);
        break;
    }
  }

  // The layer of the file that shows, or all layers whose directories merge. Empty when nothing
  // shows.
  [[nodiscard]] constexpr LayerMask parts() const { return parts_; }
  [[nodiscard]] constexpr bool Shows() const { return !parts_.Empty(); }
  [[nodiscard]] constexpr bool ShowsDirectory() const { return directory_; }
  // The tiers that hold a whiteout, among the layers taken.
  [[nodiscard]] constexpr LayerMask whiteouts() const { return whiteouts_; }

 private:
  LayerMask parts_;
  LayerMask whiteouts_;
  bool directory_ = false;
  bool ended_ = false;
};

// Applies the rule to `layers`. `home` is the class tier, or kNoLayer when `layers` has a single
// tier. `look(layer)` returns Result<Held>; it is called for the layers that matter, in the order
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
