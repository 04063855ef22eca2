// Operations of several steps: written down before the first, so that what a crash interrupts is finished at the next mount.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "fs/catalog/journal.h"
#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/inode_identity.h"
#include "fs/os/keep_time.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

std::string Below(const std::string& directory, const std::string& name) { return directory.empty() ? name : directory + "/" + name; }

}  // namespace

// An action with its directories open.
struct Tree::Ready {
  const Action* action;
  DirFd dir;  // empty for a work file
  DirFd to_dir;
  int work = -1;
  bool replaces = false;  // something stands at the target
  [[nodiscard]] int At() const { return dir ? dir->get() : work; }
  [[nodiscard]] int To() const { return to_dir ? to_dir->get() : -1; }
};

Result<Tree::Ready> Tree::OpenAction(const Action& action) {
  Ready ready{&action, nullptr, nullptr};
  if (action.kind == Step::Kind::kPublish) {
    ready.work = layers_[action.layer].work.get();
  } else {
    TIERFS_ASSIGN(ready.dir, OpenDirForWriting(action.parent, action.layer));
  }
  if (action.to_parent) {
    TIERFS_ASSIGN(ready.to_dir, OpenDirForWriting(action.to_parent, action.to_layer));
  }
  return ready;
}

Result<Step> Tree::WriteDown(const Ready& ready, const std::vector<Ready>& all) const {
  const Action& action = *ready.action;
  Step step;
  step.kind = action.kind;
  step.layer = action.layer;
  step.path = action.name;
  if (action.parent) {
    const auto path = nodes_.PathOf(*action.parent);
    if (!path) return Fail(ENOENT, "directory without a name");
    step.path = Below(*path, action.name);
  }
  if (action.to_parent) {
    const auto path = nodes_.PathOf(*action.to_parent);
    if (!path) return Fail(ENOENT, "directory without a name");
    step.to = Below(*path, action.to_name);
    step.to_layer = action.to_layer;
  }
  if (action.kind == Step::Kind::kWhiteout) return step;
  int dir = ready.At();
  const char* name = action.name.c_str();
  if (action.kind == Step::Kind::kRemove) {
    // What an exchange before it brings there is what goes.
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

bool Tree::RemovesElsewhere(const std::vector<Action>& actions, std::size_t after) const {
  return std::any_of(actions.begin() + static_cast<std::ptrdiff_t>(after) + 1, actions.end(), [&](const Action& later) {
    return later.kind == Step::Kind::kRemove && !layers_.SameMount(later.layer, actions[after].to_layer);
  });
}

Status Tree::Perform(const std::string& what, const std::vector<Action>& actions, Dates dates) {
  std::vector<Ready> steps;
  for (const Action& action : actions) {
    TIERFS_ASSIGN(Ready ready, OpenAction(action));
    steps.push_back(std::move(ready));
  }
  const auto run = [dates](const Ready& step, auto apply) {
    std::optional<KeepTime> keep;
    std::optional<KeepTime> keep_to;
    if (dates == Dates::kKeep && step.dir) keep.emplace(step.At());
    if (dates == Dates::kKeep && step.to_dir) keep_to.emplace(step.To());
    return apply(step.action->kind, step.At(), step.action->name.c_str(), step.To(), step.action->to_name.c_str());
  };
  if (steps.size() == 1) return run(steps[0], Do);

  Intent intent{what, {}};
  for (Ready& step : steps) {
    if (step.to_dir) step.replaces = StatEntry(step.To(), step.action->to_name.c_str()).has_value();
    TIERFS_ASSIGN(Step written, WriteDown(step, steps));
    intent.steps.push_back(std::move(written));
  }
  IntentId id = 0;
  if (options_.journal != nullptr) {
    TIERFS_ASSIGN(id, options_.journal->Begin(intent));
  }
  Fault::Here("steps.written");
  for (std::size_t n = 0; n < steps.size(); ++n) {
    Status done = run(steps[n], Do);
    std::size_t back = done ? n + 1 : n;
    // What is removed on another disk afterwards: by then what takes its place has to be there for good.
    if (done && steps[n].to_dir && RemovesElsewhere(actions, n)) done = tierfs::SyncDirectory(steps[n].To());
    if (!done) {
      while (back > 0 && !steps[back - 1].replaces && run(steps[back - 1], Undo)) --back;
      if (back > 0) {
        // What cannot be taken back is finished at the next mount.
        spdlog::error("{}: {} ({}); the rest is done at the next mount", what, std::strerror(done.error().code), done.error().step);
      } else if (options_.journal != nullptr) {
        options_.journal->Finish(id);
      }
      return done;
    }
    Fault::Here(n == 0 ? "steps.begun" : "steps.done");
  }
  // The record may go once the steps cannot be lost one by one.
  std::set<int> synced;
  for (const Ready& step : steps) {
    for (const int dir : {step.dir ? step.At() : -1, step.To()}) {
      if (dir < 0 || !synced.insert(dir).second) continue;
      TIERFS_TRY(tierfs::SyncDirectory(dir));
    }
  }
  Fault::Here("steps.synced");
  if (options_.journal != nullptr) options_.journal->Finish(id);
  return {};
}

std::vector<SettleTask> Tree::Recover() {
  std::vector<SettleTask> to_settle;
  if (options_.journal == nullptr) return to_settle;
  const auto intents = options_.journal->Open();
  if (!intents) return to_settle;  // told by the catalogue's health
  for (const auto& [id, intent] : *intents) {
    if (!intent.steps.empty() && intent.steps[0].kind == Step::Kind::kSettle) {
      to_settle.push_back(SettleTask{intent.steps[0].path, id});
      continue;
    }
    const Status finished = FinishIntent(layers_, intent);
    if (finished) {
      spdlog::info("{}: had been interrupted, is finished or undone", intent.what);
      options_.journal->Finish(id);
    } else {
      spdlog::error("{}: had been interrupted and cannot be finished: {} ({})", intent.what, std::strerror(finished.error().code),
                    finished.error().step);
    }
  }
  return to_settle;
}

void Tree::Resume(std::vector<SettleTask> tasks) {
  for (SettleTask& task : tasks) {
    if (!settler_.Add(std::move(task.path), task.intent)) EndSettling(task.intent);
  }
}

}  // namespace tierfs
