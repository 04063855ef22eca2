#include "tests/model/invariants.h"

#include <sstream>

#include "fs/tier/entry.h"
#include "fs/tier/walk.h"
#include "tests/model/model.h"

namespace tierfs::test {

TreeReport CheckTrees(const TierTrees& trees, const Snapshot& shown, const policy::Policy& policy) {
  TreeReport report;
  std::ostringstream out;
  std::map<std::string, int> placed;
  Snapshot hidden_below;
  if (!trees.lower.empty()) hidden_below = TakeSnapshot(trees.lower);
  const auto say = [&out](int tier, const std::string& path, const std::string& what) {
    out << "  tier " << tier << " /" << Shown(path) << ": " << what << "\n";
  };

  for (int tier = 1; tier <= 4; ++tier) {
    const Snapshot tree = TakeSnapshot(trees.roots[static_cast<std::size_t>(tier - 1)]);
    for (const auto& [path, record] : tree) {
      if (path.empty()) continue;
      const auto seen = shown.find(path);
      if (IsWhiteout(record.st)) {
        if (seen != shown.end() && S_ISDIR(seen->second.st.st_mode))
          say(tier, path, "a whiteout beside a directory that shows");
        else if (seen != shown.end())
          say(tier, path, "a whiteout beside a file that shows");
        else if (hidden_below.count(path) == 0)
          say(tier, path, "a whiteout that hides nothing");
        continue;
      }
      if (seen == shown.end()) {
        say(tier, path, "is not shown by the mount");
        continue;
      }
      const struct stat& st = seen->second.st;
      if ((st.st_mode & S_IFMT) != (record.st.st_mode & S_IFMT)) {
        say(tier, path, "is of another type than the mount shows");
        continue;
      }
      if (S_ISDIR(st.st_mode)) {
        Record expected = seen->second;
        // The mount shows the newest time of the parts.
        expected.st.st_mtim = record.st.st_mtim;
        if (const std::string what = Difference(expected, record); !what.empty()) say(tier, path, what);
        continue;
      }
      if (const auto [at, fresh] = placed.emplace(path, tier); !fresh) {
        say(tier, path, "is in tier " + std::to_string(at->second) + " too");
        continue;
      }
      if (const std::string what = Difference(seen->second, record); !what.empty()) say(tier, path, what);
      if (NumberOf(policy.DecisionFor(path, false).tier) == tier) continue;
      ++report.misplaced;
      if (trees.several_disks && st.st_nlink > 1) continue;
      report.misplaced_files.emplace_back(tier, path);
    }
  }
  for (const auto& [path, record] : shown) {
    if (S_ISDIR(record.st.st_mode) || placed.count(path) != 0) continue;
    if (hidden_below.count(path) == 0) out << "  /" << Shown(path) << ": shown by the mount, in no tier and no lower layer\n";
  }
  report.problems = out.str();
  return report;
}

}  // namespace tierfs::test
