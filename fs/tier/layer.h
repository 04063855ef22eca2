// The directories that make up a mount: four writable tier trees above read-only lower layers.
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

// The number of a layer. 0 to 3 are tiers 1 to 4; the lower layers follow, uppermost first. The
// kernel's overlayfs shows the same tree when lowerdir= has this order.
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

  // The uppermost `count` layers, at most 64.
  [[nodiscard]] static constexpr LayerMask FirstLayers(std::size_t count) {
    return LayerMask(count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1);
  }

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

// Identifies a backing inode while mounted, by its file system and its inode number. The file
// system is an index that is stable between boots, unlike st_dev.
struct BackingKey {
  std::uint32_t file_system = 0;
  std::uint64_t inode = 0;
  bool operator==(const BackingKey&) const = default;
};

// noexcept, so that hash tables do not store the hash beside each key: a million files would pay
// for it.
struct BackingKeyHash {
  std::size_t operator()(const BackingKey& key) const noexcept {
    return (key.inode ^ (std::uint64_t{key.file_system} << 56)) * 0x9E3779B97F4A7C15ULL >> 7;
  }
};

struct Layer {
  std::string path;
  UniqueFd root;
  dev_t device = 0;
  std::uint64_t mount = 0;  // the kernel's ID of the mount that `root` is on
  // The lowest index of the layers on the same file system.
  std::uint32_t file_system = 0;
  // The directory outside the tree where copies for this tier are made; empty when none are made.
  UniqueFd work;
  // `root` again, on a private mount, through which the kernel reads and writes past the daemon;
  // empty unless requested.
  UniqueFd aside;
  bool noatime = false;  // that mount updates no access times
};

// Which layers get a private mount (Layer::aside), which needs CAP_SYS_ADMIN.
struct Aside {
  bool noatime = false;      // all, without access times
  bool if_possible = false;  // the tiers, or those for which it can be made
};

// Owns the descriptors of all layers of a mount. Immutable after Open and PrepareWork.
class LayerSet {
 public:
  // Opens the four tier directories and the lower layers, uppermost first. `over` may be an open
  // descriptor of the directory that is mounted over; it becomes the last lower layer.
  [[nodiscard]] static Result<LayerSet> Open(const std::vector<std::string>& tiers, const std::vector<std::string>& lower, UniqueFd over,
                                             Aside aside = {});

  [[nodiscard]] const Layer& operator[](LayerIndex layer) const { return layers_[layer]; }
  [[nodiscard]] LayerIndex size() const { return static_cast<LayerIndex>(layers_.size()); }
  [[nodiscard]] LayerMask All() const { return LayerMask::FirstLayers(layers_.size()); }
  // Whether one rename can move a file between the two layers. renameat2(2) requires one mount;
  // btrfs also requires one subvolume.
  [[nodiscard]] bool SameMount(LayerIndex a, LayerIndex b) const {
    return layers_[a].mount == layers_[b].mount && layers_[a].device == layers_[b].device;
  }

  // Whether files are ever copied into a tier. Work directories are needed only then.
  [[nodiscard]] bool MakesCopies() const;
  // Opens the tier's work directory, or makes it. It is STATE/work when that is on the tier's
  // mount, else `.NAME.tierfs-work` beside the tier. EXDEV when the tier is the root of its mount,
  // because nothing can be beside it.
  [[nodiscard]] Status PrepareWork(LayerIndex tier, const std::string& state);
  // Removes every copy in the work directories.
  [[nodiscard]] Status EmptyWork() const;

  // The key of a file found in `layer`. A file system mounted beneath a layer has its own key
  // space.
  [[nodiscard]] BackingKey KeyOf(LayerIndex layer, const struct stat& st) const;

 private:
  std::vector<Layer> layers_;
};

}  // namespace tierfs
