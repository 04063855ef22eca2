// Checks the four trees and the lower layers against the form that a mount gives them.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "fs/jobs/check/check.h"
#include "fs/jobs/live_mount.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/list_dir.h"
#include "fs/os/mounts.h"
#include "fs/os/paths.h"
#include "fs/tier/entry.h"
#include "fs/tier/layer.h"
#include "fs/tier/merge_rule.h"
#include "fs/tier/whiteouts.h"

namespace tierfs::check {
namespace {

using Attributes = std::map<std::string, std::string>;

std::string TierName(LayerIndex tier) { return "tier " + std::to_string(tier + 1); }

Repaired Mended(const Status& status) {
  if (status) return {};
  return tl::unexpected(std::string(status.error().step) + ": " + std::strerror(status.error().code));
}

class TreeCheck {
 public:
  TreeCheck(const Subject& subject, const Progress& progress) : subject_(subject), progress_(progress) {}

  tl::expected<std::vector<Finding>, std::string> Run() {
    for (std::size_t tier = 0; tier < kTierCount; ++tier) {
      const std::string& path = subject_.config.tiers[tier];
      tiers_[tier] = UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      const auto st = tiers_[tier] ? StatFd(tiers_[tier].get()) : Result<struct stat>(FailErrno("open"));
      if (!st) return tl::unexpected("tierctl: " + path + ": " + std::strerror(st.error().code));
      devices_[tier] = st->st_dev;
      mounts_[tier] = MountOf(tiers_[tier].get()).value_or(0);
    }
    for (const std::string& path : subject_.config.lower) {
      lowers_.emplace_back(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!lowers_.back()) return tl::unexpected("tierctl: " + path + ": " + std::strerror(errno));
    }
    Directory("");
    if (subject_.mounted && !findings_.empty()) {
      // An operation in progress looks like a fault for a moment, so only a lasting one is a
      // finding.
      std::this_thread::sleep_for(std::chrono::seconds(1));
      std::set<std::string> paths;
      for (const Finding& finding : findings_) paths.insert(finding.path);
      std::vector<Finding> first = std::move(findings_);
      findings_.clear();
      parts_path_.reset();
      for (const std::string& path : paths) Entry(path);
      std::erase_if(findings_, [&](const Finding& finding) {
        return std::none_of(first.begin(), first.end(),
                            [&](const Finding& other) { return other.path == finding.path && other.code == finding.code; });
      });
    }
    return std::move(findings_);
  }

 private:
  // The entries at a path, one for each tier.
  struct Standing {
    std::array<std::optional<struct stat>, kTierCount> at;
    [[nodiscard]] LayerMask Where(bool (*is)(const struct stat&)) const {
      LayerMask mask;
      for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
        if (at[tier] && is(*at[tier])) mask = mask.With(tier);
      }
      return mask;
    }
  };

  static bool IsDirectory(const struct stat& st) { return S_ISDIR(st.st_mode); }
  static bool IsOther(const struct stat& st) { return !S_ISDIR(st.st_mode) && !IsWhiteout(st); }

  [[nodiscard]] Standing Look(const std::string& path) const {
    Standing standing;
    for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
      const auto directory = OpenBeneath(tiers_[tier].get(), ParentOf(path), O_PATH | O_DIRECTORY);
      if (!directory) continue;
      if (const auto st = StatEntry(directory->get(), path.empty() ? "." : NameOf(path).c_str())) standing.at[tier] = *st;
    }
    return standing;
  }

  void Directory(const std::string& path) {
    std::set<std::string> names;
    for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
      const auto directory = OpenBeneath(tiers_[tier].get(), path, O_RDONLY | O_DIRECTORY);
      // This tier has no directory at the path.
      if (!directory && (directory.error().code == ENOENT || directory.error().code == ENOTDIR || directory.error().code == ELOOP))
        continue;
      const Status read =
          !directory ? Status(tl::unexpected(directory.error())) : ForEachEntry(directory->get(), [&](const dirent64& entry) -> Status {
            names.insert(entry.d_name);
            return {};
          });
      if (!read)
        Found({"unreadable",
               path,
               std::string(read.error().step) + ": " + std::strerror(read.error().code),
               "check the disk and the permissions",
               {}});
    }
    if (path.empty()) Entry("");
    for (const std::string& name : names) {
      if (++seen_ % 5000 == 0) progress_(seen_);
      const std::string beneath = JoinPath(path, name);
      if (Entry(beneath)) Directory(beneath);
    }
  }

  // Checks one path. Returns whether there is a directory to descend into.
  bool Entry(const std::string& path) {
    const Standing standing = Look(path);
    const LayerMask directories = standing.Where(IsDirectory);
    const LayerMask others = standing.Where(IsOther);
    const LayerMask whiteouts = standing.Where(IsWhiteout);
    for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
      if (!standing.at[tier]) continue;
      if (standing.at[tier]->st_dev != devices_[tier]) {
        Found({"foreign-mount", path, "something is mounted there, inside " + TierName(tier), "unmount it: a tier is one file system", {}});
        return false;
      }
      if (!path.empty()) ForeignAttributes(path, tier);
    }
    if (!others.Empty() && (!others.Single() || !directories.Empty())) Duplicate(path, standing, others, directories);
    if (others.Single()) Misplaced(path, others.First(), *standing.at[others.First()]);
    for (const LayerIndex tier : whiteouts) StrayWhiteout(path, tier, others);
    if (!directories.Empty() && !path.empty()) DirectoryAttributes(path, standing, directories);
    return !directories.Empty();
  }

  void ForeignAttributes(const std::string& path, LayerIndex tier) {
    const auto parent = OpenBeneath(tiers_[tier].get(), ParentOf(path), O_PATH | O_DIRECTORY);
    if (!parent) return;
    const std::string name = NameOf(path);
    const auto names = ListXattrs(ProcPath(parent->get(), name.c_str()), false);
    if (!names) return;
    for (const std::string& attribute : *names) {
      // An overlayfs mark may come from an image that was unpacked there. The mount hides all
      // private xattrs.
      if (!IsPrivateXattr(attribute)) continue;
      Found({"foreign-attribute", path, "in " + TierName(tier) + " it has the attribute " + attribute + ", which no file may have",
             "--repair removes the attribute", [this, path, tier, attribute]() -> Repaired {
               const auto above = OpenBeneath(tiers_[tier].get(), ParentOf(path), O_PATH | O_DIRECTORY);
               if (!above) return Mended(tl::unexpected(above.error()));
               if (::lremovexattr(ProcPath(above->get(), NameOf(path).c_str()).c_str(), attribute.c_str()) != 0)
                 return Mended(FailErrno("removexattr"));
               return {};
             }});
    }
  }

  void Duplicate(const std::string& path, const Standing& standing, LayerMask others, LayerMask directories) {
    const LayerIndex home = LayerOf(subject_.policy.DecisionFor(path, !directories.Empty()).tier);
    // The mount resolves it the same way: to the class tier, else to the first.
    const LayerMask all(others.bits() | directories.bits());
    const LayerIndex shown = all.Has(home) ? home : all.First();
    std::string where;
    for (const LayerIndex tier : all) where += (where.empty() ? "" : ", ") + std::to_string(tier + 1);
    Finding finding{"duplicate",
                    path,
                    "it exists in the tiers " + where + "; the mount shows the one in " + TierName(shown),
                    "compare them, then remove the others from their trees by hand",
                    {}};
    if (directories.Empty()) {
      bool same = true;
      for (const LayerIndex tier : others)
        same = same && (tier == shown || SameFile(path, *standing.at[shown], shown, *standing.at[tier], tier));
      if (same) {
        finding.what += "; they are identical";
        finding.cure = "--repair removes the hidden ones";
        finding.repair = [this, path, shown, others] { return RemoveHidden(path, shown, others); };
      }
    }
    Found(std::move(finding));
  }

  [[nodiscard]] Result<UniqueFd> OpenFile(const std::string& path, LayerIndex tier) const {
    return OpenBeneath(tiers_[tier].get(), path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  }

  [[nodiscard]] bool SameFile(const std::string& path, const struct stat& a_stat, LayerIndex a, const struct stat& b_stat,
                              LayerIndex b) const {
    if (a_stat.st_mode != b_stat.st_mode || a_stat.st_uid != b_stat.st_uid || a_stat.st_gid != b_stat.st_gid ||
        a_stat.st_size != b_stat.st_size)
      return false;
    if (!S_ISREG(a_stat.st_mode)) return false;
    if (devices_[a] == devices_[b] && a_stat.st_ino == b_stat.st_ino) return true;
    const auto one = OpenFile(path, a);
    const auto two = OpenFile(path, b);
    if (!one || !two || AttributesOf(one->get()) != AttributesOf(two->get())) return false;
    std::vector<char> left(1 << 16);
    std::vector<char> right(1 << 16);
    for (off_t at = 0;;) {
      const ssize_t got = ::pread(one->get(), left.data(), left.size(), at);
      if (got < 0 || ::pread(two->get(), right.data(), right.size(), at) != got) return false;
      if (got == 0) return true;
      if (std::memcmp(left.data(), right.data(), static_cast<std::size_t>(got)) != 0) return false;
      at += got;
    }
  }

  [[nodiscard]] Repaired RemoveHidden(const std::string& path, LayerIndex shown, LayerMask others) const {
    for (const LayerIndex tier : others.Without(shown)) {
      const Standing now = Look(path);
      if (!now.at[shown] || !now.at[tier] || !SameFile(path, *now.at[shown], shown, *now.at[tier], tier))
        return tl::unexpected(std::string("it changed meanwhile"));
      const auto above = OpenBeneath(tiers_[tier].get(), ParentOf(path), O_PATH | O_DIRECTORY);
      if (!above) return Mended(tl::unexpected(above.error()));
      if (::unlinkat(above->get(), NameOf(path).c_str(), 0) != 0) return Mended(FailErrno("unlink"));
    }
    return {};
  }

  void Misplaced(const std::string& path, LayerIndex tier, const struct stat& st) {
    const LayerIndex home = LayerOf(subject_.policy.DecisionFor(path, false).tier);
    if (home == tier) return;
    // One rename moves one name only, and a copy would be a second file (LayerSet::SameMount).
    const bool across = devices_[home] != devices_[tier] || mounts_[home] != mounts_[tier];
    if (across && st.st_nlink > 1) {
      return Found({"misplaced",
                    path,
                    "it is in " + TierName(tier) + " and belongs to " + TierName(home) +
                        ", on another file system; it stays because it has " + std::to_string(st.st_nlink) + " names",
                    "remove its other names, then `tierctl settle` moves it; or put a copy (cp -a) in its place",
                    {}});
    }
    Finding finding{"misplaced",
                    path,
                    "it is in " + TierName(tier) + " and belongs to " + TierName(home),
                    subject_.mounted ? "`tierctl settle` moves it" : "mount it, then `tierctl settle` moves it",
                    {}};
    if (subject_.mounted) {
      finding.repair = [this, path]() -> Repaired {
        const auto reply = Ask(subject_.config, protocol::Settle{ParentOf(path)});
        if (!reply) return tl::unexpected(reply.error());
        const Standing now = Look(path);
        const LayerMask where = now.Where(IsOther);
        if (where.Single() && where.First() == LayerOf(subject_.policy.DecisionFor(path, false).tier)) return {};
        return tl::unexpected(std::string("it cannot be moved just now"));
      };
    }
    Found(std::move(finding));
  }

  // Returns the kind of entry that a layer has at a path. Returns nullopt if it cannot be read: the
  // directory that is mounted over never can from here.
  [[nodiscard]] std::optional<Held> HeldIn(LayerIndex layer, const std::string& path) const {
    const std::size_t lower = static_cast<std::size_t>(layer) - kTierCount;
    if (!IsTier(layer) && lower == lowers_.size()) return std::nullopt;
    const int root = IsTier(layer) ? tiers_[layer].get() : lowers_[lower].get();
    const auto directory = OpenBeneath(root, ParentOf(path), O_PATH | O_DIRECTORY);
    if (!directory) return HeldAfter(directory.error());
    const std::string name = NameOf(path);
    const auto st = StatEntry(directory->get(), name.c_str());
    if (!st) return HeldAfter(st.error());
    const Held held = HeldAs(*st);
    if (held != Held::kDirectory || IsTier(layer)) return held;
    const auto opaque = IsOpaque(directory->get(), name.c_str());
    if (!opaque) return std::nullopt;
    return *opaque ? Held::kOpaqueDirectory : held;
  }
  [[nodiscard]] static std::optional<Held> HeldAfter(const Error& error) {
    const bool absent = error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP;
    return absent ? std::optional(Held::kNothing) : std::nullopt;
  }

  // Returns the layers that may be parts of the directory at a path of the view.
  [[nodiscard]] LayerMask PartsOf(const std::string& path) {
    if (parts_path_ && *parts_path_ == path) return parts_;
    if (path.empty()) {
      const std::size_t layers = kTierCount + lowers_.size() + (subject_.config.over ? 1 : 0);
      parts_ = LayerMask::FirstLayers(layers);
    } else {
      const LayerMask above = PartsOf(ParentOf(path));
      const LayerIndex home = LayerOf(subject_.policy.DecisionFor(path, false).tier);
      // Assume a directory in a layer that cannot be read.
      const auto rule =
          Merge(above, home, [&](LayerIndex layer) -> Result<Held> { return HeldIn(layer, path).value_or(Held::kDirectory); });
      parts_ = rule->ShowsDirectory() ? rule->parts() : LayerMask();
    }
    parts_path_ = path;
    return parts_;
  }

  // Whether the lower layers show, or may show, an entry at the path.
  [[nodiscard]] bool LowerShows(const std::string& path) {
    const auto rule = Merge(PartsOf(ParentOf(path)).InLower(), kNoLayer,
                            [&](LayerIndex layer) -> Result<Held> { return HeldIn(layer, path).value_or(Held::kOther); });
    return rule->Shows();
  }

  void StrayWhiteout(const std::string& path, LayerIndex tier, LayerMask others) {
    const bool needed = LowerShows(path);
    if (needed && others.Empty()) return;
    const std::string why = needed ? "beside an entry of that name" : "and no lower layer shows anything there to hide";
    Found({"stray-whiteout", path, "a whiteout stands in " + TierName(tier) + ", " + why, "--repair removes it",
           [this, path, tier]() -> Repaired {
             const auto above = OpenBeneath(tiers_[tier].get(), ParentOf(path), O_PATH | O_DIRECTORY);
             if (!above) return Mended(tl::unexpected(above.error()));
             const std::string name = NameOf(path);
             const auto st = StatEntry(above->get(), name.c_str());
             if (!st || !IsWhiteout(*st)) return tl::unexpected(std::string("it changed meanwhile"));
             if (::unlinkat(above->get(), name.c_str(), 0) != 0) return Mended(FailErrno("unlink"));
             return {};
           }});
  }

  [[nodiscard]] static Attributes AttributesOf(int file) {
    Attributes attributes;
    const std::string path = ProcPath(file);
    const auto names = ListXattrs(path, true);
    if (!names) return attributes;
    std::string value(kXattrLimit, '\0');
    for (const std::string& name : *names) {
      if (IsPrivateXattr(name) || IsShownOtherwise(name)) continue;
      const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
      if (size >= 0) attributes[name] = value.substr(0, static_cast<std::size_t>(size));
    }
    return attributes;
  }

  // Another file system may have fewer flags, but must not lose one that forbids an operation.
  [[nodiscard]] bool SameFlags(int a, LayerIndex a_tier, int b, LayerIndex b_tier) const {
    const DirectoryFlags one = FlagsOfDirectory(a);
    const DirectoryFlags two = FlagsOfDirectory(b);
    return one.forbidding == two.forbidding && (devices_[a_tier] != devices_[b_tier] || one.all == two.all);
  }

  void DirectoryAttributes(const std::string& path, const Standing& standing, LayerMask directories) {
    LayerIndex model = kNoLayer;
    for (const LayerIndex tier : directories) {
      if (model == kNoLayer && !IsUnfinishedDir(*standing.at[tier])) model = tier;
    }
    for (const LayerIndex tier : directories) {
      const struct stat& st = *standing.at[tier];
      if (IsUnfinishedDir(st)) {
        Finding finding{"unfinished-directory",
                        path,
                        "its part in " + TierName(tier) + " has not received the directory's attributes",
                        "the next write there finishes it",
                        {}};
        if (model != kNoLayer) {
          finding.cure = "--repair copies those of " + TierName(model);
          finding.repair = [this, path, model, tier] { return CopyAttributes(path, model, tier); };
        }
        Found(std::move(finding));
        continue;
      }
      if (tier == model) continue;
      const struct stat& first = *standing.at[model];
      std::string what;
      if (st.st_mode != first.st_mode) what += " mode";
      if (st.st_uid != first.st_uid || st.st_gid != first.st_gid) what += " owner";
      const auto one = OpenBeneath(tiers_[model].get(), path, O_RDONLY | O_DIRECTORY);
      const auto two = OpenBeneath(tiers_[tier].get(), path, O_RDONLY | O_DIRECTORY);
      if (one && two && AttributesOf(one->get()) != AttributesOf(two->get())) what += " attributes";
      if (one && two && !SameFlags(one->get(), model, two->get(), tier)) what += " flags";
      if (what.empty()) continue;
      Found({"directory-attributes", path, "its parts in " + TierName(model) + " and " + TierName(tier) + " differ:" + what,
             "--repair gives all parts those of " + TierName(model) + ", which the mount shows",
             [this, path, model, tier] { return CopyAttributes(path, model, tier); }});
    }
  }

  [[nodiscard]] Repaired CopyAttributes(const std::string& path, LayerIndex model, LayerIndex tier) const {
    const auto from = OpenBeneath(tiers_[model].get(), path, O_RDONLY | O_DIRECTORY);
    if (!from) return Mended(tl::unexpected(from.error()));
    const auto to = OpenBeneath(tiers_[tier].get(), path, O_RDONLY | O_DIRECTORY);
    if (!to) return Mended(tl::unexpected(to.error()));
    auto st = StatFd(from->get());
    const auto own = StatFd(to->get());
    if (!st || !own) return tl::unexpected(std::string("it vanished meanwhile"));
    // Flags that forbid a change go before it and come after it.
    if (FlagsOfDirectory(from->get()).forbidding == 0) {
      if (const Status cleared = CloneDirectoryFlags(from->get(), to->get()); !cleared) return Mended(cleared);
    }
    for (const auto& [name, value] : AttributesOf(to->get())) {
      if (AttributesOf(from->get()).count(name) == 0 && ::fremovexattr(to->get(), name.c_str()) != 0)
        return Mended(FailErrno("removexattr"));
    }
    // Each part keeps its own times.
    st->st_atim = own->st_atim;
    st->st_mtim = own->st_mtim;
    if (const Status cloned = CloneAttributes(from->get(), *st, to->get()); !cloned) return Mended(cloned);
    return Mended(CloneDirectoryFlags(from->get(), to->get()));
  }

  void Found(Finding finding) { findings_.push_back(std::move(finding)); }

  const Subject subject_;
  const Progress progress_;
  std::array<UniqueFd, kTierCount> tiers_;
  std::array<dev_t, kTierCount> devices_{};
  std::array<std::uint64_t, kTierCount> mounts_{};
  std::vector<UniqueFd> lowers_;
  std::optional<std::string> parts_path_;  // the last argument of PartsOf
  LayerMask parts_;                        // the result for parts_path_
  std::vector<Finding> findings_;
  std::uint64_t seen_ = 0;
};

}  // namespace

tl::expected<std::vector<Finding>, std::string> CheckTrees(const Subject& subject, const Progress& progress) {
  // The findings' repairs use the object after this function returns, so they share its ownership.
  const auto check = std::make_shared<TreeCheck>(subject, progress);
  auto findings = check->Run();
  if (!findings) return findings;
  for (Finding& finding : *findings) {
    if (finding.repair) finding.repair = [check, repair = std::move(finding.repair)] { return repair(); };
  }
  return findings;
}

}  // namespace tierfs::check
