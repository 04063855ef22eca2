#include "fs/jobs/history/restore.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
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

RestoreStep Step(What what, const std::string& path, const Item& item) {
  RestoreStep step;
  step.what = what;
  step.path = path;
  step.item = item;
  return step;
}

RestoreStep Removal(const std::string& path, const Item& now) {
  RestoreStep step;
  step.what = What::kRemove;
  step.path = path;
  step.directory = now.IsDir();
  step.present = true;
  step.now = now;
  return step;
}

// Collects the steps of one restore.
class Planner {
 public:
  explicit Planner(const RestoreInput& input) : input_(input) {}

  Outcome<void> Add(const std::string& path) {
    bool found = false;
    for (auto each = input_.items.lower_bound(path); each != input_.items.end() && (found || each->first == path || path.empty()); ++each) {
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
      if (const auto item = input_.items.find(above); item != input_.items.end()) above_.emplace(above, item->second);
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
    // Writes come first, so that a full disk loses nothing; but what has another type goes before.
    AddWrites(false);
    AddRemovals(true);
    AddWrites(true);
    AddRemovals(false);
    for (auto each = attributes_.rbegin(); each != attributes_.rend(); ++each) plan_.steps.push_back(std::move(*each));
    return std::move(plan_);
  }

 private:
  // What tier 1 has beneath the path and the items do not have.
  Outcome<void> ListExtra(const std::string& path) {
    auto directory = OpenBeneath(input_.tree, path, O_PATH | O_DIRECTORY);
    if (!directory) return {};
    const Status walked = WalkTree(
        directory->get(),
        [&](const WalkedEntry& entry) {
          const std::string whole = JoinPath(path, entry.path);
          if (input_.items.contains(whole)) return;
          if (entry.whiteout || (!S_ISDIR(entry.st.st_mode) && input_.in_lower(whole))) {
            plan_.notes.push_back(Quoted(whole) + " was that of a lower layer, which cannot be given back: it stays " +
                                  (entry.whiteout ? "deleted" : "as it is"));
          } else {
            extra_.push_back(whole);
          }
        },
        [&](const WalkedEntry& entry) { return WhyGitCannotHold(JoinPath(path, entry.path)) == nullptr; });
    if (!walked) return Broken(path, walked.error());
    return {};
  }

  Outcome<Captured> Now(const std::string& path) {
    auto captured = Capture(input_.mount, path, std::numeric_limits<std::uint64_t>::max() - 1);
    if (!captured) return Broken(path, captured.error());
    if (captured->item.IsFile() || captured->item.IsLink()) captured->item.blob = BlobId(captured->content);
    captured->content.clear();
    return std::move(*captured);
  }

  // Whether what stands at the path must stay, since no commit holds it. Notes why.
  bool Stays(const std::string& path, const Item& now) {
    const char* never = path.empty() ? nullptr : WhyGitCannotHold(path);
    const auto saved = input_.newest.find(path);
    const bool is_saved = saved != input_.newest.end() && (now.IsDir() ? saved->second.IsDir() : saved->second == now);
    if (never == nullptr && is_saved) return false;
    const bool new_note = noted_.insert(path).second;
    if (never == nullptr && input_.preview) {
      if (new_note)
        plan_.notes.push_back(Quoted(path) + " is not committed as it is now: it is committed first, and stays if it cannot be");
      return false;
    }
    if (new_note)
      plan_.notes.push_back(Quoted(path) + " " + (never != nullptr ? never : "is not in the newest commit as it is now") + ": it stays");
    kept_.insert(path);
    return true;
  }

  [[nodiscard]] static bool IsBeneathAny(const std::string& path, const std::set<std::string>& of) {
    for (std::string each = path; !each.empty(); each = ParentOf(each)) {
      if (of.contains(each)) return true;
    }
    return false;
  }

  void AddWrites(bool replacing) {
    for (const RestoreStep& step : writes_) {
      if (IsBeneathAny(step.path, replaced_) == replacing) plan_.steps.push_back(step);
    }
  }

  // The inner ones first; what is beneath a path comes after it.
  void AddRemovals(bool replacing) {
    for (auto each = removals_.rbegin(); each != removals_.rend(); ++each) {
      const auto& [path, now] = *each;
      if (IsBeneathAny(path, replaced_) == replacing) plan_.steps.push_back(Removal(path, now));
    }
  }

  // `only_present`: a directory above what is restored, which is made if it is gone and else left.
  Outcome<void> Consider(const std::string& path, const Item& item, bool only_present) {
    if (IsBeneathAny(ParentOf(path), kept_)) return {};
    TIERFS_ASSIGN(const Captured now, Now(path));
    if (!now.present && IsWhiteoutItem(item)) return {};
    if (now.present && now.item.IsDir() && item.IsDir()) {
      if (only_present || now.item.attributes == item.attributes) return {};
      attributes_.push_back(Step(What::kAttributes, path, item));
      attributes_.back().present = true;
      attributes_.back().now = now.item;
      return {};
    }
    if (now.present && (now.item == item || Stays(path, now.item))) return {};
    if (now.present && (now.item.IsDir() || item.IsDir() || IsWhiteoutItem(item))) removals_.emplace(path, now.item);
    if (IsWhiteoutItem(item)) return {};
    const bool replaces = removals_.contains(path);
    if (replaces) replaced_.insert(path);
    writes_.push_back(Step(What::kWrite, path, item));
    writes_.back().present = now.present && !replaces;
    if (writes_.back().present) writes_.back().now = now.item;
    if (item.IsDir()) attributes_.push_back(Step(What::kAttributes, path, item));
    return {};
  }

  Outcome<void> RemoveExtra(const std::string& path) {
    TIERFS_ASSIGN(const Captured now, Now(path));
    if (!now.present || Stays(path, now.item)) return {};
    // A directory of tier 1 stays where other tiers or a lower layer have files in it.
    if (now.item.IsDir()) extra_directories_.insert(path);
    removals_.emplace(path, now.item);
    return {};
  }

  // A directory that has to go must be empty then.
  Outcome<void> CheckRemovals() {
    std::set<std::string> stay;
    for (auto each = removals_.rbegin(); each != removals_.rend(); ++each) {
      const std::string& path = each->first;
      if (!each->second.IsDir()) continue;
      const auto open = OpenBeneath(input_.mount, path, O_RDONLY | O_DIRECTORY);
      if (!open) return Broken(path, open.error());
      std::string other;
      const Status listed = ForEachEntry(open->get(), [&](const dirent64& entry) -> Status {
        const std::string beneath = JoinPath(path, entry.d_name);
        if (other.empty() && (stay.contains(beneath) || !removals_.contains(beneath))) other = beneath;
        return {};
      });
      if (!listed) return Broken(path, listed.error());
      if (other.empty()) continue;
      const bool optional = std::any_of(extra_directories_.begin(), extra_directories_.end(),
                                        [&, &name = path](const std::string& extra) { return IsAtOrBeneath(name, extra); });
      if (!optional) {
        return tl::unexpected(Quoted(path) + " is a directory now, and " + Quoted(other) +
                              " in it is not of tier 1, or not committed: move that away first");
      }
      stay.insert(path);
    }
    for (const std::string& path : stay) removals_.erase(path);
    return {};
  }

  const RestoreInput& input_;
  Items wanted_;
  Items above_;
  std::vector<std::string> extra_;
  std::set<std::string> extra_directories_;
  std::map<std::string, Item> removals_;  // and what stands there
  std::set<std::string> replaced_;        // those of them that something of another type replaces
  std::set<std::string> kept_;
  std::set<std::string> noted_;
  std::vector<RestoreStep> writes_;
  std::vector<RestoreStep> attributes_;
  RestorePlan plan_;
};

constexpr const char* kWorkplace = ".tierfs-restore-";

// A private directory beside the place of a new entry. Another user may own the directory around
// it, and rename it, but cannot enter it: what is made in it is not exchanged for another file.
class Workplace {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Workplace>> Make(int parent, const std::string& entry) {
    std::unique_ptr<Workplace> place(new Workplace(parent, entry));
    TIERFS_TRY(MakeDirectoryEntry(parent, place->name_.c_str(), 0700));
    TIERFS_ASSIGN(place->directory_, OpenEntry(parent, place->name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TIERFS_ASSIGN(const struct stat st, StatFd(place->directory_.get()));
    if (st.st_uid == ::geteuid() && (st.st_mode & 077) == 0) return place;
    place->directory_.Reset();
    return Fail(EPERM, "somebody replaced the directory of the new file");
  }
  ~Workplace() {
    if (directory_ && !RemoveEntry(directory_.get(), entry_.c_str())) (void)RemoveDirectoryEntry(directory_.get(), entry_.c_str());
    (void)RemoveDirectoryEntry(parent_, name_.c_str());
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  [[nodiscard]] int directory() const { return directory_.get(); }

 private:
  Workplace(int parent, const std::string& entry) : parent_(parent), name_(kWorkplace + RandomId(2)), entry_(entry) {}

  const int parent_;
  const std::string name_;
  const std::string& entry_;
  UniqueFd directory_;
};

// Takes the steps of one restore.
class Restorer {
 public:
  explicit Restorer(int mount) : mount_(mount) {}

  Status Take(const RestoreStep& step, const std::string& content) {
    if (step.what == What::kAttributes) return FinishDirectory(step);
    if (step.what == What::kRemove && !step.directory) TIERFS_TRY(CheckUnchanged(step));
    TIERFS_ASSIGN(const UniqueFd parent, OpenBeneath(mount_, ParentOf(step.path), O_PATH | O_DIRECTORY));
    const std::string name = NameOf(step.path);
    if (step.what == What::kWrite) return Write(parent.get(), name, step, content);
    return step.directory ? RemoveDirectoryEntry(parent.get(), name.c_str()) : RemoveEntry(parent.get(), name.c_str());
  }

 private:
  using FileId = std::pair<dev_t, ino_t>;

  [[nodiscard]] Status CheckUnchanged(const RestoreStep& step) const {
    TIERFS_ASSIGN(Captured now, Capture(mount_, step.path, std::numeric_limits<std::uint64_t>::max() - 1));
    if (now.item.IsFile() || now.item.IsLink()) now.item.blob = BlobId(now.content);
    const bool same = step.present ? now.present && now.item == step.now : !now.present;
    return same ? Status{} : Fail(EBUSY, "it changed meanwhile");
  }

  // Makes the entry beside its place, durable, and gives it its name.
  Status Write(int parent, const std::string& name, const RestoreStep& step, const std::string& content) {
    Attributes attributes = step.item.attributes;
    if (step.item.IsDir()) {
      attributes = Attributes{};
      attributes.mode = S_IFDIR | 0700;  // its own come last, when it is full
      attributes.uid = ::geteuid();
      attributes.gid = ::getegid();
    }
    TIERFS_ASSIGN(const auto place, Workplace::Make(parent, name));
    TIERFS_ASSIGN(const UniqueFd made, MakeItem(place->directory(), name.c_str(), attributes, content));
    if (step.item.IsFile()) TIERFS_TRY(Sync(made.get()));
    if (step.item.IsDir()) {
      TIERFS_ASSIGN(const struct stat st, StatFd(made.get()));
      made_[step.path] = {st.st_dev, st.st_ino};
    }
    // As late as can be: what is saved while the entry is made must stay.
    TIERFS_TRY(CheckUnchanged(step));
    TIERFS_TRY(RenameEntry(place->directory(), name.c_str(), parent, name.c_str(), step.present ? 0 : RENAME_NOREPLACE));
    return SyncDirectory(parent);
  }

  [[nodiscard]] Status FinishDirectory(const RestoreStep& step) const {
    TIERFS_ASSIGN(const UniqueFd entry, OpenBeneath(mount_, step.path, O_PATH | O_DIRECTORY));
    if (step.present) {
      // Another user may have put another directory in its place.
      TIERFS_ASSIGN(const Attributes now, ReadAttributes(entry));
      if (now != step.now.attributes) return Fail(EBUSY, "it changed meanwhile");
    } else {
      TIERFS_ASSIGN(const struct stat st, StatFd(entry.get()));
      const auto made = made_.find(step.path);
      if (made == made_.end() || made->second != FileId{st.st_dev, st.st_ino}) return Fail(EPERM, "somebody replaced the new directory");
    }
    return SetAttributes(entry.get(), step.item.attributes);
  }

  const int mount_;
  std::map<std::string, FileId> made_;  // the new directories
};

}  // namespace

bool IsBeneathWorkplace(const std::string& path) {
  return path.starts_with(kWorkplace) || path.find("/" + std::string(kWorkplace)) != std::string::npos;
}

std::string RestoreStep::Describe() const {
  const char* verb = what == What::kRemove ? "remove " : what == What::kWrite ? "write " : "set attributes of ";
  return verb + Quoted(path.empty() ? "." : path);
}

Outcome<RestorePlan> PlanRestore(const RestoreInput& input, const std::vector<std::string>& paths) {
  Planner planner(input);
  for (const std::string& path : paths) TIERFS_TRY(planner.Add(path));
  return planner.Plan();
}

Outcome<void> Restore(const Repository& repository, const RestorePlan& plan, int mount,
                      const std::function<void(const RestoreStep&)>& done) {
  std::vector<std::string> ids;
  for (const RestoreStep& step : plan.steps) {
    if (step.what == What::kWrite && !step.item.blob.empty()) ids.push_back(step.item.blob);
  }
  Restorer restorer(mount);
  auto next = plan.steps.begin();
  const auto take = [&](const std::string& content) -> Outcome<void> {
    if (const auto taken = restorer.Take(*next, content); !taken) return Broken(next->path, taken.error());
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
