// Renames and exchanges of files.
#include <fcntl.h>

#include <optional>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/tree/renames.h"

namespace tierfs {
namespace {

// Holds the mutexes of two nodes, the lower number first. Either node may be null, and both may be
// the same. The thread-safety analysis cannot follow this, so functions that use it assert the
// mutexes that they hold.
class LockBoth {
 public:
  LockBoth(const NodePtr& a, const NodePtr& b) NO_THREAD_SAFETY_ANALYSIS : first_(a.get()), second_(a == b ? nullptr : b.get()) {
    if (first_ != nullptr && second_ != nullptr && second_->id.value < first_->id.value) std::swap(first_, second_);
    if (first_ != nullptr) first_->mutex.lock();
    if (second_ != nullptr) second_->mutex.lock();
  }
  ~LockBoth() NO_THREAD_SAFETY_ANALYSIS {
    if (second_ != nullptr) second_->mutex.unlock();
    if (first_ != nullptr) first_->mutex.unlock();
  }
  LockBoth(const LockBoth&) = delete;
  LockBoth& operator=(const LockBoth&) = delete;

 private:
  Node* first_;
  Node* second_;
};

}  // namespace

Result<Renames::Attempt> Renames::RenameFile(const Sides& sides, Request& request) {
  const NodePtr& node = sides.source.node;
  const NodePtr& replaced = sides.target.node;
  if (!node) return Fail(ESTALE, "rename of an unknown file");
  const LockBoth lock(node, replaced);
  node->mutex.AssertHeld();
  if (nodes_.Generation() != sides.generation) return Attempt::kLookAgain;
  if (!(sides.source.found.key == nodes_.KeyOf(*node)) || (replaced && !(sides.target.found.key == nodes_.KeyOf(*replaced)))) {
    return Fail(ESTALE, "rename of what was replaced underneath");
  }
  Plan plan{};
  plan.home = sides.source.found.Layer();
  plan.tier = classifier_.HomeOf(sides.target.parent, sides.target.name, false);
  const bool one_mount = layers_.SameMount(plan.home, plan.tier);
  const bool across = !request.mapped && !one_mount && Copies::MayTakeThePlaceOf(*node, sides.source.found.st);
  if (across && !request.copy) return Attempt::kCopyFirst;
  // A file that keeps changing is not copied again and again. It is renamed like an open file.
  plan.publish = across && request.copy->tier == plan.tier && copies_.IsCurrent(*request.copy, node);
  plan.place = plan.publish || one_mount ? plan.tier : plan.home;

  TIERFS_ASSIGN(const std::vector<Action> actions, ActionsOf(sides, plan, request));
  if (replaced) {
    replaced->mutex.AssertHeld();
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(sides.target.parent, sides.target.found.Layer()));
    TIERFS_TRY(Names::Pin(replaced, dir->get(), sides.target.name));
  }
  TIERFS_TRY(Move(node, sides, plan, actions, request));
  if (replaced) {
    replaced->mutex.AssertHeld();
    names_.NameGone(replaced, sides.target.parent, sides.target.name);
  }
  if (!plan.publish) reporter_.RememberLinks(sides.source.found.key, sides.source.found.st, plan.place);
  // A file with other names stays in their tier.
  if (plan.place == plan.tier) {
    settle_queue_.NothingToSettle(node);
  } else if (sides.source.found.st.st_nlink == 1) {
    settle_queue_.Misplaced(node);
  }
  return Attempt::kDone;
}

Result<std::vector<Action>> Renames::ActionsOf(const Sides& sides, const Plan& plan, const Request& request) {
  const Side& source = sides.source;
  const Side& target = sides.target;
  TIERFS_ASSIGN(const bool lower, view_.LowerShows(source.parent, source.name));
  const LayerIndex class_of_source = lower ? classifier_.HomeOf(source.parent, source.name, false) : kNoLayer;
  std::vector<Action> actions;
  const auto at_source = [&](Step::Kind kind, LayerIndex layer) { actions.push_back({kind, layer, source.parent, source.name}); };
  if (plan.publish) {
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(source.parent, plan.home));
    TIERFS_TRY(MayBeRemoved(dir->get(), source.name));
    actions.push_back({Step::Kind::kPublish, plan.tier, nullptr, request.copy->file.name(), plan.tier, target.parent, target.name});
    at_source(Step::Kind::kRemove, plan.home);
    if (lower) at_source(Step::Kind::kWhiteout, class_of_source);
  } else {
    const auto kind = lower && class_of_source == plan.home ? Step::Kind::kRenameWhiteout : Step::Kind::kRename;
    actions.push_back({kind, plan.home, source.parent, source.name, plan.place, target.parent, target.name});
    if (lower && kind == Step::Kind::kRename) at_source(Step::Kind::kWhiteout, class_of_source);
  }
  // The entry at the target in another tier is removed, and so are the whiteouts of the target.
  LayerMask also = target.found.whiteouts;
  if (target.found.Exists()) also = also.With(target.found.Layer());
  for (const LayerIndex layer : also.InTiers().Without(plan.place)) {
    actions.push_back({Step::Kind::kRemove, layer, target.parent, target.name});
  }
  return actions;
}

Status Renames::Move(const NodePtr& node, const Sides& sides, const Plan& plan, const std::vector<Action>& actions, Request& request) {
  const Side& source = sides.source;
  const Side& target = sides.target;
  BackingKey key;
  UniqueFd old;  // keeps the inode number from being reused while the node has it
  if (plan.publish) {
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(source.parent, plan.home));
    TIERFS_ASSIGN(old, OpenEntry(dir->get(), source.name, O_PATH));
    key = layers_.KeyOf(plan.tier, request.copy->file.st());
    nodes_.Reserve(node, key);
  }
  // A single rename within one layer needs no guard: no lookup through the layers can miss the
  // file.
  std::optional<Relocations::UnderWay> under_way;
  if (plan.place != plan.home || actions.size() > 1) under_way.emplace(view_.relocations());
  const Status done = transactions_.Perform(std::string("rename of ") + source.name + " to " + target.name, actions);
  if (!done && plan.publish) nodes_.Unreserve(node, key);
  TIERFS_TRY(done);
  if (plan.publish) {
    request.copy->file.Published();
    nodes_.Rekey(node, key, LayerMask::Only(plan.tier));
    if (const auto dir = directories_.Open(target.parent, plan.tier)) directories_.Identify(*node, (*dir)->get(), target.name);
  }
  nodes_.Renamed(node, target.parent, target.name, LayerMask::Only(plan.place), source.parent, source.name);
  return {};
}

Result<Renames::Attempt> Renames::ExchangeFiles(const Sides& sides) {
  const Side& source = sides.source;
  const Side& target = sides.target;
  const NodePtr& a = source.node;
  const NodePtr& b = target.node;
  if (!a || !b) return Fail(ESTALE, "exchange of an unknown entry");
  const LockBoth lock(a, b);
  if (nodes_.Generation() != sides.generation) return Attempt::kLookAgain;
  if (!(source.found.key == nodes_.KeyOf(*a)) || !(target.found.key == nodes_.KeyOf(*b))) {
    return Fail(ESTALE, "exchange of what was replaced underneath");
  }
  const LayerIndex a_layer = source.found.Layer();
  const LayerIndex b_layer = target.found.Layer();
  // Each file takes the place of the other, and with it the tier.
  if (!layers_.SameMount(a_layer, b_layer)) return Fail(EXDEV, "exchange between file systems");
  {
    const Relocations::UnderWay under_way(view_.relocations());
    TIERFS_TRY(transactions_.Perform(std::string("exchange of ") + source.name + " and " + target.name,
                                     {{Step::Kind::kExchange, a_layer, source.parent, source.name, b_layer, target.parent, target.name}}));
    nodes_.Renamed(a, target.parent, target.name, LayerMask::Only(b_layer), source.parent, source.name);
    nodes_.Renamed(b, source.parent, source.name, LayerMask::Only(a_layer), target.parent, target.name);
  }
  reporter_.RememberLinks(source.found.key, source.found.st, b_layer);
  reporter_.RememberLinks(target.found.key, target.found.st, a_layer);
  // If one of the files was misplaced, the other one is now.
  for (const NodePtr& node : {a, b}) {
    node->mutex.AssertHeld();
    if (node->Placement() == classifier_.HomeOf(*node)) {
      settle_queue_.NothingToSettle(node);
    } else {
      settle_queue_.Misplaced(node);
    }
  }
  return Attempt::kDone;
}

}  // namespace tierfs
