#include "fs/tree/transactions.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "fs/os/fault.h"
#include "fs/os/inode_identity.h"
#include "fs/os/keep_time.h"
#include "fs/os/paths.h"

namespace tierfs {

// An action with its directories open.
struct Transactions::Ready {
  const Action* action;
  DirFd dir;  // empty for a work file
  DirFd to_dir;
  int work = -1;
  bool replaces = false;  // an entry is at the target
  [[nodiscard]] int At() const { return dir ? dir->get() : work; }
  [[nodiscard]] int To() const { return to_dir ? to_dir->get() : -1; }

  // Runs Do or Undo.
  template <typename Apply>
  [[nodiscard]] Status Run(Apply apply, Dates dates) const {
    std::optional<KeepTime> keep;
    std::optional<KeepTime> keep_to;
    if (dates == Dates::kKeep && dir) keep.emplace(At());
    if (dates == Dates::kKeep && to_dir) keep_to.emplace(To());
    return apply(action->kind, At(), action->name.c_str(), To(), action->to_name.c_str());
  }
};

Result<Transactions::Ready> Transactions::Open(const Action& action) {
  Ready ready{&action, nullptr, nullptr};
  if (action.kind == Step::Kind::kPublish) {
    ready.work = layers_[action.layer].work.get();
  } else {
    TIERFS_ASSIGN(ready.dir, directories_.OpenForWriting(action.parent, action.layer));
  }
  if (action.to_parent) {
    TIERFS_ASSIGN(ready.to_dir, directories_.OpenForWriting(action.to_parent, action.to_layer));
  }
  return ready;
}

Result<Step> Transactions::WriteDown(const Ready& ready, const std::vector<Ready>& all) const {
  const Action& action = *ready.action;
  const auto path_of = [this](const NodePtr& parent, const std::string& name) -> Result<std::string> {
    const auto path = nodes_.PathOf(*parent);
    if (!path) return Fail(ENOENT, "directory without a name");
    return JoinPath(*path, name);
  };
  Step step;
  step.kind = action.kind;
  step.layer = action.layer;
  step.path = action.name;
  if (action.parent) {
    TIERFS_ASSIGN(step.path, path_of(action.parent, action.name));
  }
  if (action.to_parent) {
    TIERFS_ASSIGN(step.to, path_of(action.to_parent, action.to_name));
    step.to_layer = action.to_layer;
  }
  if (action.kind == Step::Kind::kWhiteout) return step;
  int dir = ready.At();
  const char* name = action.name.c_str();
  if (action.kind == Step::Kind::kRemove) {
    // The entry to remove is the one that an earlier exchange brings there.
    for (const Ready& other : all) {
      if (other.action->kind != Step::Kind::kExchange || other.At() != dir || other.action->name != action.name) continue;
      dir = other.To();
      name = other.action->to_name.c_str();
      break;
    }
  }
  TIERFS_ASSIGN(step.inode, InodeIdentity(dir, name));
  return step;
}

Result<Intent> Transactions::WriteDownAll(const std::string& what, std::vector<Ready>& steps) const {
  Intent intent{what, {}};
  for (Ready& step : steps) {
    if (step.to_dir) step.replaces = StatEntry(step.To(), step.action->to_name.c_str()).has_value();
    TIERFS_ASSIGN(Step written, WriteDown(step, steps));
    intent.steps.push_back(std::move(written));
  }
  return intent;
}

bool Transactions::RemovesElsewhere(const std::vector<Ready>& steps, std::size_t after) const {
  return std::any_of(steps.begin() + static_cast<std::ptrdiff_t>(after) + 1, steps.end(), [&](const Ready& later) {
    return later.action->kind == Step::Kind::kRemove && !layers_.SameMount(later.action->layer, steps[after].action->to_layer);
  });
}

Status Transactions::Perform(const std::string& what, const std::vector<Action>& actions, Dates dates) {
  std::vector<Ready> steps;
  for (const Action& action : actions) {
    TIERFS_ASSIGN(Ready ready, Open(action));
    steps.push_back(std::move(ready));
  }
  if (steps.size() == 1) return steps[0].Run(Do, dates);

  TIERFS_ASSIGN(const Intent intent, WriteDownAll(what, steps));
  TIERFS_ASSIGN(const IntentId id, journal_.Begin(intent));
  Fault::Here("steps.written");
  TIERFS_TRY(RunAll(what, steps, dates, id));
  // The record may be closed once all steps are durable.
  TIERFS_TRY(SyncAll(steps));
  Fault::Here("steps.synced");
  journal_.Finish(id);
  return {};
}

Status Transactions::RunAll(const std::string& what, const std::vector<Ready>& steps, Dates dates, IntentId id) {
  for (std::size_t n = 0; n < steps.size(); ++n) {
    if (const Status done = steps[n].Run(Do, dates); !done) {
      TakeBack(what, steps, n, dates, id, done.error());
      return done;
    }
    // A later step removes an entry on another disk. Its replacement must be durable before that.
    if (steps[n].to_dir && RemovesElsewhere(steps, n)) {
      if (const Status synced = SyncDirectory(steps[n].To()); !synced) {
        TakeBack(what, steps, n + 1, dates, id, synced.error());
        return synced;
      }
    }
    Fault::Here(n == 0 ? "steps.begun" : "steps.done");
  }
  return {};
}

void Transactions::TakeBack(const std::string& what, const std::vector<Ready>& steps, std::size_t count, Dates dates, IntentId id,
                            const Error& why) {
  while (count > 0 && !steps[count - 1].replaces && steps[count - 1].Run(Undo, dates)) --count;
  if (count == 0) return journal_.Finish(id);
  spdlog::error("{}: {} ({}); the next mount finishes the rest", what, std::strerror(why.code), why.step);
}

Status Transactions::SyncAll(const std::vector<Ready>& steps) {
  std::set<int> synced;
  for (const Ready& step : steps) {
    for (const int dir : {step.dir ? step.At() : -1, step.To()}) {
      if (dir < 0 || !synced.insert(dir).second) continue;
      TIERFS_TRY(SyncDirectory(dir));
    }
  }
  return {};
}

}  // namespace tierfs
