#include "fs/tier/merge.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/keep_time.h"
#include "fs/os/list_dir.h"
#include "fs/tier/entry.h"
#include "fs/tier/merge_rule.h"
#include "fs/tier/whiteouts.h"

namespace tierfs {
namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY;

// The kinds of entry that the tiers hold at a name.
struct InTiers {
  bool whiteout = false;
  bool directory = false;
};

using Names = std::map<std::string, InTiers>;

// Visits each entry of a directory with its lstat, from the start. Skips entries that vanish
// meanwhile.
template <typename Visit>
Status ForEachStat(int dir, Visit visit) {
  TIERFS_TRY(Rewind(dir));
  return ForEachEntry(dir, [&](const dirent64& entry) -> Status {
    const auto st = StatEntry(dir, entry.d_name);
    if (!st) return st.error().code == ENOENT ? Status{} : tl::unexpected(st.error());
    return visit(std::string(entry.d_name), *st);
  });
}

Result<Names> NamesInTiers(const std::vector<UniqueFd>& tiers) {
  Names names;
  for (const UniqueFd& tier : tiers) {
    TIERFS_TRY(ForEachStat(tier.get(), [&](const std::string& name, const struct stat& st) -> Status {
      InTiers& held = names[name];
      held.whiteout = held.whiteout || IsWhiteout(st);
      held.directory = held.directory || S_ISDIR(st.st_mode);
      return {};
    }));
  }
  return names;
}

// The layer of one of the lower directories, as MergeRule counts them.
LayerIndex LowerLayer(std::size_t index) { return static_cast<LayerIndex>(kTierCount + index); }

// The names that the lower directories show together, and whether each is a directory.
Result<std::map<std::string, bool>> NamesInLower(const std::vector<UniqueFd>& lower) {
  std::map<std::string, MergeRule> rules;
  for (std::size_t n = 0; n < lower.size(); ++n) {
    TIERFS_TRY(ForEachStat(lower[n].get(), [&](const std::string& name, const struct stat& st) -> Status {
      rules[name].Take(LowerLayer(n), HeldAs(st));
      return {};
    }));
  }
  std::map<std::string, bool> shown;
  for (const auto& [name, rule] : rules) {
    if (rule.Shows()) shown.emplace(name, rule.ShowsDirectory());
  }
  return shown;
}

Result<PartFds> PartsOf(const PartFds& above, const char* name, const InTiers& held) {
  PartFds parts;
  for (const UniqueFd& tier : above.tiers) {
    auto part = OpenEntry(tier.get(), name, kDirectory);
    const int error = part ? 0 : part.error().code;
    // Absent, a file, or a symlink there. Any other failure may hide a part that is there.
    if (error == ENOENT || error == ENOTDIR || error == ELOOP) continue;
    if (!part) return tl::unexpected(part.error());
    parts.tiers.push_back(std::move(*part));
  }
  if (!held.whiteout) {
    TIERFS_ASSIGN(parts.lower, LowerDirectories(above.lower, name));
  }
  return parts;
}

}  // namespace

Result<std::vector<UniqueFd>> LowerDirectories(const std::vector<UniqueFd>& lower, const char* name) {
  std::vector<UniqueFd> parts;
  MergeRule rule;
  for (std::size_t n = 0; n < lower.size() && rule.Wants(LowerLayer(n)); ++n) {
    const int layer = lower[n].get();
    const auto st = StatEntry(layer, name);
    if (!st && st.error().code == ENOENT) continue;
    if (!st) return tl::unexpected(st.error());
    Held held = HeldAs(*st);
    if (held == Held::kDirectory) {
      TIERFS_ASSIGN(const bool opaque, IsOpaque(layer, name));
      if (opaque) held = Held::kOpaqueDirectory;
    }
    rule.Take(LowerLayer(n), held);
    if (!rule.ShowsDirectory() || !rule.parts().Has(LowerLayer(n))) continue;
    TIERFS_ASSIGN(UniqueFd part, OpenEntry(layer, name, kDirectory));
    parts.push_back(std::move(part));
  }
  return parts;
}

Result<bool> ShowsLowerOnly(const PartFds& parts) {
  if (parts.lower.empty()) return false;
  TIERFS_ASSIGN(const Names held, NamesInTiers(parts.tiers));
  TIERFS_ASSIGN(const auto shown, NamesInLower(parts.lower));
  for (const auto& [name, is_dir] : shown) {
    const auto found = held.find(name);
    if (found == held.end()) return true;
    if (found->second.whiteout || !found->second.directory || !is_dir) continue;
    TIERFS_ASSIGN(const PartFds beneath, PartsOf(parts, name.c_str(), found->second));
    TIERFS_ASSIGN(const bool lower_only, ShowsLowerOnly(beneath));
    if (lower_only) return true;
  }
  return false;
}

Status HideLower(const PartFds& parts, std::size_t home) {
  if (parts.lower.empty()) return {};
  TIERFS_ASSIGN(const Names held, NamesInTiers(parts.tiers));
  TIERFS_ASSIGN(const auto shown, NamesInLower(parts.lower));
  const KeepTime keep(parts.tiers[home].get());
  for (const auto& [name, is_dir] : shown) {
    const auto found = held.find(name);
    if (found == held.end()) {
      TIERFS_TRY(MakeWhiteout(parts.tiers[home].get(), name.c_str()));
    } else if (!found->second.whiteout && found->second.directory && is_dir) {
      TIERFS_ASSIGN(const PartFds beneath, PartsOf(parts, name.c_str(), found->second));
      TIERFS_TRY(HideLower(beneath, 0));
    }
  }
  return {};
}

Status DropStrayWhiteoutsBeneath(const PartFds& parts) {
  TIERFS_ASSIGN(const Names held, NamesInTiers(parts.tiers));
  TIERFS_ASSIGN(const auto shown, NamesInLower(parts.lower));
  for (const auto& [name, in_tiers] : held) {
    if (in_tiers.whiteout && shown.count(name) == 0) {
      for (const UniqueFd& tier : parts.tiers) {
        const auto st = StatEntry(tier.get(), name.c_str());
        if (!st || !IsWhiteout(*st)) continue;
        const KeepTime keep(tier.get());
        TIERFS_TRY(RemoveEntry(tier.get(), name.c_str()));
      }
    }
    if (!in_tiers.directory) continue;
    TIERFS_ASSIGN(const PartFds beneath, PartsOf(parts, name.c_str(), in_tiers));
    TIERFS_TRY(DropStrayWhiteoutsBeneath(beneath));
  }
  return {};
}

}  // namespace tierfs
