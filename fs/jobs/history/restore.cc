#include "fs/jobs/history/restore.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "fs/jobs/history/capture.h"
#include "fs/jobs/history/difference.h"
#include "fs/jobs/history/materialise.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"
#include "fs/os/random_id.h"
#include "fs/tier/walk.h"

namespace tierfs::history {
namespace {

using What = RestoreStep::What;

tl::unexpected<std::string> Broken(const std::string& path, const Error& error) {
  return tl::unexpected(Quoted(path.empty() ? "." : path) + ": " + error.step + ": " + std::strerror(error.code));
}

bool IsWhiteoutItem(const Item& item) { return S_ISCHR(item.attributes.mode) && item.attributes.device == 0; }

// Collects the steps of one restore.
class Planner {
 public:
  Planner(const Items& items, int mount, int tree, const std::function<bool(const std::string&)>& in_lower)
      : items_(items), mount_(mount), tree_(tree), in_lower_(in_lower) {}

  Outcome<void> Add(const std::string& path) {
    bool found = false;
    for (auto each = items_.lower_bound(path); each != items_.end() && (found || each->first == path || path.empty()); ++each) {
      if (!IsAtOrBeneath(each->first, path)) {
        if (!each->first.starts_with(path)) break;
        continue;  // "a-b" stands between "a" and "a/b"
      }
      found = true;
      wanted_.emplace(each->first, each->second);
    }
    if (!found) return tl::unexpected("the revision does not have " + Quoted(path));
    for (std::string above = path; !above.empty();) {  // the directories above, if they are gone
      above = ParentOf(above);
      if (const auto item = items_.find(above); item != items_.end()) above_.emplace(above, item->second);
    }
    return ListExtra(path);
  }

  Outcome<RestorePlan> Plan() {
    for (const auto& [path, item] : above_) {
      if (!wanted_.contains(path)) TIERFS_TRY(Consider(path, item, true));
    }
    for (const auto& [path, item] : wanted_) TIERFS_TRY(Consider(path, item, false));
    for (const std::string& path : extra_) TIERFS_TRY(RemoveExtra(path));
    TIERFS_TRY(CheckRemovals());
    // The inner ones first; what is beneath a path comes after it.
    for (auto each = removals_.rbegin(); each != removals_.rend(); ++each)
      plan_.steps.push_back({What::kRemove, each->first, {}, each->second});
    for (RestoreStep& step : writes_) plan_.steps.push_back(std::move(step));
    for (auto each = attributes_.rbegin(); each != attributes_.rend(); ++each) plan_.steps.push_back(std::move(*each));
    return std::move(plan_);
  }

 private:
  // What tier 1 has beneath the path and the items do not have.
  Outcome<void> ListExtra(const std::string& path) {
    auto directory = OpenBeneath(tree_, path, O_PATH | O_DIRECTORY);
    if (!directory) return {};
    const Status walked = WalkTree(
        directory->get(),
        [&](const WalkedEntry& entry) {
          const std::string whole = JoinPath(path, entry.path);
          if (items_.contains(whole)) return;
          if (entry.whiteout || (!S_ISDIR(entry.st.st_mode) && in_lower_(whole))) {
            plan_.notes.push_back(Quoted(whole) + " was that of a lower layer, which cannot be given back: it stays " +
                                  (entry.whiteout ? "deleted" : "as it is"));
          } else {
            extra_.push_back(whole);
          }
        },
        [](const WalkedEntry&) { return true; });
    if (!walked) return Broken(path, walked.error());
    return {};
  }

  Outcome<Captured> Now(const std::string& path) {
    auto captured = Capture(mount_, path, std::numeric_limits<std::uint64_t>::max() - 1);
    if (!captured) return Broken(path, captured.error());
    return std::move(*captured);
  }

  // `only_present`: a directory above what is restored, which is made if it is gone and else left.
  Outcome<void> Consider(const std::string& path, const Item& item, bool only_present) {
    TIERFS_ASSIGN(Captured now, Now(path));
    if (IsWhiteoutItem(item)) return now.present ? Remove(path, now.item.IsDir()) : Outcome<void>{};
    if (now.present && now.item.IsDir() && item.IsDir()) {
      if (!only_present && now.item.attributes != item.attributes) attributes_.push_back({What::kAttributes, path, item});
      return {};
    }
    if (now.present && (now.item.IsFile() || now.item.IsLink())) now.item.blob = BlobId(now.content);
    if (now.present && now.item == item) return {};
    if (now.present && (now.item.IsDir() || item.IsDir())) TIERFS_TRY(Remove(path, now.item.IsDir()));
    writes_.push_back({What::kWrite, path, item});
    if (item.IsDir()) attributes_.push_back({What::kAttributes, path, item});
    return {};
  }

  Outcome<void> RemoveExtra(const std::string& path) {
    TIERFS_ASSIGN(const Captured now, Now(path));
    if (!now.present) return {};
    if (!now.item.IsDir()) return Remove(path, false);
    // A directory of tier 1 stays where other tiers or a lower layer have files in it.
    extra_directories_.insert(path);
    return Remove(path, true);
  }

  // Plans the removal of the path, and of what tier 1 has beneath it.
  Outcome<void> Remove(const std::string& path, bool directory) {
    removals_.emplace(path, directory);
    if (!directory) return {};
    auto open = OpenBeneath(tree_, path, O_PATH | O_DIRECTORY);
    if (!open) return {};
    const Status walked = WalkTree(
        open->get(),
        [&](const WalkedEntry& entry) {
          if (!entry.whiteout) removals_.emplace(JoinPath(path, entry.path), S_ISDIR(entry.st.st_mode));
        },
        [](const WalkedEntry&) { return true; });
    if (!walked) return Broken(path, walked.error());
    return {};
  }

  // A directory that has to go must be empty then.
  Outcome<void> CheckRemovals() {
    std::vector<std::string> stay;
    for (auto each = removals_.rbegin(); each != removals_.rend(); ++each) {
      const std::string& path = each->first;
      if (!each->second) continue;
      const auto open = OpenBeneath(mount_, path, O_RDONLY | O_DIRECTORY);
      if (!open) return Broken(path, open.error());
      std::string other;
      const Status listed = ForEachEntry(open->get(), [&](const dirent64& entry) -> Status {
        const std::string beneath = JoinPath(path, entry.d_name);
        const bool kept = std::find(stay.begin(), stay.end(), beneath) != stay.end();
        if (other.empty() && (kept || !removals_.contains(beneath))) other = beneath;
        return {};
      });
      if (!listed) return Broken(path, listed.error());
      if (other.empty()) continue;
      const bool optional = std::any_of(extra_directories_.begin(), extra_directories_.end(),
                                        [&, &name = path](const std::string& extra) { return IsAtOrBeneath(name, extra); });
      if (!optional) {
        return tl::unexpected(Quoted(path) + " is a directory now, and " + Quoted(other) + " in it is not of tier 1: move that away first");
      }
      stay.push_back(path);
    }
    for (const std::string& path : stay) removals_.erase(path);
    return {};
  }

  const Items& items_;
  const int mount_;
  const int tree_;
  const std::function<bool(const std::string&)>& in_lower_;
  Items wanted_;
  Items above_;
  std::vector<std::string> extra_;
  std::set<std::string> extra_directories_;
  std::map<std::string, bool> removals_;  // and whether it is a directory
  std::vector<RestoreStep> writes_;
  std::vector<RestoreStep> attributes_;
  RestorePlan plan_;
};

// Makes the entry beside its place, durable, and gives it its name.
Status Write(int parent, const std::string& name, const Item& item, const std::string& content) {
  Attributes attributes = item.attributes;
  if (item.IsDir()) {
    attributes = Attributes{};
    attributes.mode = S_IFDIR | 0700;  // its own come last, when it is full
    attributes.uid = ::geteuid();
    attributes.gid = ::getegid();
  }
  const std::string temporary = ".tierfs-restore-" + RandomId(2);
  Status made = MakeItem(parent, temporary.c_str(), attributes, content);
  if (made && item.IsFile()) {
    const auto file = OpenEntry(parent, temporary.c_str(), O_RDONLY);
    made = file ? Sync(file->get()) : tl::unexpected(file.error());
  }
  if (made) made = RenameEntry(parent, temporary.c_str(), parent, name.c_str(), 0);
  if (!made && !RemoveEntry(parent, temporary.c_str())) (void)RemoveDirectoryEntry(parent, temporary.c_str());
  if (!made) return made;
  return SyncDirectory(parent);
}

Status Take(const RestoreStep& step, const std::string& content, int mount) {
  if (step.path.empty()) return SetAttributes(mount, ".", step.item.attributes);
  TIERFS_ASSIGN(const UniqueFd parent, OpenBeneath(mount, ParentOf(step.path), O_PATH | O_DIRECTORY));
  const std::string name = NameOf(step.path);
  switch (step.what) {
    case What::kRemove:
      return step.directory ? RemoveDirectoryEntry(parent.get(), name.c_str()) : RemoveEntry(parent.get(), name.c_str());
    case What::kAttributes:
      return SetAttributes(parent.get(), name.c_str(), step.item.attributes);
    default:
      return Write(parent.get(), name, step.item, content);
  }
}

}  // namespace

std::string RestoreStep::Describe() const {
  const char* verb = what == What::kRemove ? "remove " : what == What::kWrite ? "write " : "set attributes of ";
  return verb + Quoted(path.empty() ? "." : path);
}

Outcome<RestorePlan> PlanRestore(const Items& items, const std::vector<std::string>& paths, int mount, int tree,
                                 const std::function<bool(const std::string& path)>& in_lower) {
  Planner planner(items, mount, tree, in_lower);
  for (const std::string& path : paths) TIERFS_TRY(planner.Add(path));
  return planner.Plan();
}

Outcome<void> Restore(const Repository& repository, const RestorePlan& plan, int mount,
                      const std::function<void(const RestoreStep&)>& done) {
  std::vector<std::string> ids;
  for (const RestoreStep& step : plan.steps) {
    if (step.what == What::kWrite && !step.item.blob.empty()) ids.push_back(step.item.blob);
  }
  auto next = plan.steps.begin();
  const auto take = [&](const std::string& content) -> Outcome<void> {
    if (const auto taken = Take(*next, content, mount); !taken) return Broken(next->path, taken.error());
    done(*next++);
    return {};
  };
  const auto needs_content = [&] { return next->what == What::kWrite && !next->item.blob.empty(); };
  const auto take_others = [&]() -> Outcome<void> {
    while (next != plan.steps.end() && !needs_content()) TIERFS_TRY(take(""));
    return {};
  };
  TIERFS_TRY(take_others());
  return repository.ReadBlobs(ids, [&](std::size_t, const std::string& content) -> Outcome<void> {
    TIERFS_TRY(take(content));
    return take_others();
  });
}

}  // namespace tierfs::history
