// The directories that a mount is made of: four writable tier trees on top, read-only lower layers
// underneath.
#pragma once

#include <sys/stat.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"
#include "policy/tier_id.h"

namespace tierfs {

// Which layer: 0 to 3 are the tiers 1 to 4, then the lower layers, uppermost first. The order is
// the order of lowerdir= that shows the same tree in the kernel's overlayfs.
using LayerIndex = std::uint8_t;

inline constexpr LayerIndex kNoLayer = 255;
inline constexpr int kMaxLayers = 64;

[[nodiscard]] constexpr LayerIndex LayerOf(TierId tier) { return static_cast<LayerIndex>(NumberOf(tier) - 1); }
[[nodiscard]] constexpr bool IsTier(LayerIndex layer) { return layer < kTierCount; }
[[nodiscard]] constexpr TierId TierOf(LayerIndex layer) { return static_cast<TierId>(layer + 1); }

// A set of layers.
class LayerMask {
 public:
  constexpr LayerMask() = default;
  explicit constexpr LayerMask(std::uint64_t bits) : bits_(bits) {}
  [[nodiscard]] static constexpr LayerMask Only(LayerIndex layer) { return LayerMask(std::uint64_t{1} << layer); }
  [[nodiscard]] static constexpr LayerMask Tiers() { return LayerMask((std::uint64_t{1} << kTierCount) - 1); }

  [[nodiscard]] constexpr bool Has(LayerIndex layer) const { return (bits_ >> layer) & 1; }
  [[nodiscard]] constexpr bool Empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr bool Single() const { return std::has_single_bit(bits_); }
  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr LayerMask InTiers() const { return LayerMask(bits_ & Tiers().bits_); }
  [[nodiscard]] constexpr LayerMask InLower() const { return LayerMask(bits_ & ~Tiers().bits_); }
  // The uppermost layer of the set; kNoLayer when it is empty.
  [[nodiscard]] constexpr LayerIndex First() const { return bits_ == 0 ? kNoLayer : static_cast<LayerIndex>(std::countr_zero(bits_)); }
  [[nodiscard]] constexpr LayerMask With(LayerIndex layer) const { return LayerMask(bits_ | (std::uint64_t{1} << layer)); }
  [[nodiscard]] constexpr LayerMask Without(LayerIndex layer) const { return LayerMask(bits_ & ~(std::uint64_t{1} << layer)); }
  constexpr bool operator==(const LayerMask&) const = default;

  // for (LayerIndex layer : mask), uppermost first.
  class Iterator {
   public:
    explicit constexpr Iterator(std::uint64_t rest) : rest_(rest) {}
    constexpr LayerIndex operator*() const { return static_cast<LayerIndex>(std::countr_zero(rest_)); }
    constexpr Iterator& operator++() {
      rest_ &= rest_ - 1;
      return *this;
    }
    constexpr bool operator!=(const Iterator& other) const { return rest_ != other.rest_; }

   private:
    std::uint64_t rest_;
  };
  [[nodiscard]] constexpr Iterator begin() const { return Iterator(bits_); }
  [[nodiscard]] constexpr Iterator end() const { return Iterator(0); }

 private:
  std::uint64_t bits_ = 0;
};

// Identifies a backing inode while mounted: the file system (an index that is stable between boots,
// unlike st_dev) and its number.
struct BackingKey {
  std::uint32_t file_system = 0;
  std::uint64_t inode = 0;
  bool operator==(const BackingKey&) const = default;
};

// noexcept: then hash tables do not store it beside each key, which a million files would pay for.
struct BackingKeyHash {
  std::size_t operator()(const BackingKey& key) const noexcept {
    return (key.inode ^ (std::uint64_t{key.file_system} << 56)) * 0x9E3779B97F4A7C15ULL >> 7;
  }
};

struct Layer {
  std::string path;
  UniqueFd root;
  dev_t device = 0;
  std::uint64_t mount = 0;        // the kernel's number of the mount that it is on
  std::uint32_t file_system = 0;  // layers on one file system share this index, the lowest layer index among them
  UniqueFd work;                  // of a tier that copies are made for: where they are made, outside the tree; empty otherwise
  UniqueFd noatime;               // its root once more, on a mount that moves no access times; empty when nobody asked for that
};

// All the layers of a mount. Immutable after Open but for the list of file systems met beneath
// them.
class LayerSet {
 public:
  // Opens the four tier directories and the lower layers, uppermost first. A lower root that is
  // already open (the directory that is mounted over) may be passed as `over`; it becomes the last
  // lower layer.
  [[nodiscard]] static Result<LayerSet> Open(const std::vector<std::string>& tiers, const std::vector<std::string>& lower, UniqueFd over,
                                             bool noatime);

  [[nodiscard]] const Layer& operator[](LayerIndex layer) const { return layers_[layer]; }
  [[nodiscard]] LayerIndex size() const { return static_cast<LayerIndex>(layers_.size()); }
  [[nodiscard]] LayerMask All() const { return LayerMask(layers_.size() == 64 ? ~0ULL : (1ULL << layers_.size()) - 1); }
  // Whether one rename can take a file from one to the other: renameat2(2) wants one mount, btrfs
  // also one subvolume.
  [[nodiscard]] bool SameMount(LayerIndex a, LayerIndex b) const {
    return layers_[a].mount == layers_[b].mount && layers_[a].device == layers_[b].device;
  }

  // Whether files are ever copied into a tier: its work directory is needed then.
  [[nodiscard]] bool MakesCopies() const;
  // Makes the tier's work directory, or empties the one that is there: STATE/work, where that is on
  // the tier's mount, else `.NAME.tierfs-work` beside the tier. EXDEV when the tier is the root of
  // its mount, so that nothing is beside it.
  [[nodiscard]] Status PrepareWork(LayerIndex tier, const std::string& state);

  // The key of a file found in `layer`. A file system mounted somewhere beneath a layer gets a key
  // space of its own.
  [[nodiscard]] BackingKey KeyOf(LayerIndex layer, const struct stat& st) const;

 private:
  std::vector<Layer> layers_;
};

}  // namespace tierfs
