#include "fs/tree/settlement.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <unistd.h>

#include <cstring>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"

namespace tierfs {
namespace {

// The number of copies made of a file that changes while it is copied.
constexpr int kCopies = 3;

void Add(Settling::Tally& tally, const struct stat& st) {
  tally.files.fetch_add(1, std::memory_order_relaxed);
  if (S_ISREG(st.st_mode)) tally.bytes.fetch_add(static_cast<std::uint64_t>(st.st_size), std::memory_order_relaxed);
}

bool IsEmpty(int dir) {
  const auto real = OpenEntry(dir, ".", O_RDONLY | O_DIRECTORY);
  return real && ForEachEntry(real->get(), [](const dirent64&) { return Status(Fail(ENOTEMPTY, "entry")); }).has_value();
}

}  // namespace

Status Settlement::Settle(const std::string& path, bool dry_run, Settling& settling) {
  const Run run{dry_run, settling};
  TIERFS_ASSIGN(const NodePtr node, view_.AcquirePath(path));
  const AtEnd release([&] { view_.Release(node); });
  if (node->IsDir()) {
    SettleDirectory(node, run);
    return {};
  }
  const auto parent = view_.AcquirePath(ParentOf(path));
  if (!parent || !SettleFile(*parent, NameOf(path), node, run)) ++settling.failed;
  if (parent) view_.Release(*parent);
  return {};
}

void Settlement::SettleDirectory(const NodePtr& directory, const Run& run) {
  const auto entries = view_.List(directory->id);
  if (!entries) {
    ++run.settling.failed;
    return;
  }
  std::vector<std::string> beneath;
  for (const DirectoryEntry& entry : *entries) {
    if (run.settling.cancelled) return;
    if (entry.name == "." || entry.name == "..") continue;
    run.settling.seen.fetch_add(1, std::memory_order_relaxed);
    if (const Status done = SettleEntry(directory, entry.name, run, beneath); !done) {
      ++run.settling.failed;
      spdlog::warn("settling {}: {} ({})", entry.name, std::strerror(done.error().code), done.error().step);
    }
  }
  for (const std::string& name : beneath) {
    if (run.settling.cancelled) return;
    const auto child = view_.Acquire(directory, name);
    if (!child || !*child) continue;
    if ((*child)->IsDir()) {
      SettleDirectory(*child, run);
      if (!run.dry_run) PruneParts(*child);
    }
    view_.Release(*child);
  }
}

Status Settlement::SettleEntry(const NodePtr& parent, const std::string& name, const Run& run, std::vector<std::string>& beneath) {
  TIERFS_ASSIGN(const NodePtr node, view_.Acquire(parent, name));
  if (!node) return {};  // gone meanwhile
  const AtEnd release([&] { view_.Release(node); });
  if (!node->IsDir()) return SettleFile(parent, name, node, run);

  beneath.push_back(name);
  const ReadLock topology(topology_);
  const LayerIndex home = classifier_.HomeOf(parent, name, true);
  // An empty directory also gets a part in its class tier.
  if (run.dry_run || node->Parts().InTiers().Empty() || node->Parts().Has(home)) return {};
  TIERFS_ASSIGN(const DirFd made, directories_.OpenForWriting(node, home));
  return {};
}

Status Settlement::SettleFile(const NodePtr& parent, const std::string& name, const NodePtr& node, const Run& run) {
  std::optional<Staged> copy;
  for (int copies = 0;; ++copies) {
    Move move{parent, name, {}, kNoLayer, kNoLayer};
    TIERFS_ASSIGN(const Attempt attempt, TryFile(node, move, copy, run));
    if (attempt == Attempt::kDone) return {};
    if (copies == kCopies) return Fail(EBUSY, "the file keeps changing");
    copy.reset();
    auto made = copies_.Stage(node, move.home);
    if (!made && made.error().code == EBUSY) continue;
    if (!made && made.error().code == ETXTBSY) {
      // Nothing reports the end of the mapping. The file is tried again after its next close, at
      // the next mount, or when the operator asks.
      const ReadLock topology(topology_);
      const Lock lock(node->mutex);
      Add(run.settling.waiting, move.found.st);
      settle_queue_.AtNextClose(node);
      return {};
    }
    if (!made) return tl::unexpected(made.error());
    copy.emplace(std::move(*made));
  }
}

Result<Settlement::Attempt> Settlement::TryFile(const NodePtr& node, Move& move, std::optional<Staged>& copy, const Run& run) {
  const ReadLock topology(topology_);
  const Lock lock(node->mutex);
  // The names of one file may be in different tiers.
  TIERFS_ASSIGN(move.found, view_.Find(move.parent, move.name.c_str()));
  // The file may have been renamed meanwhile.
  if (!move.found.Exists() || !(move.found.key == nodes_.KeyOf(*node))) return Attempt::kDone;
  move.from = move.found.Layer();
  move.home = classifier_.HomeOf(move.parent, move.name, false);
  if (move.from == move.home && !run.dry_run) settle_queue_.NothingToSettle(node);
  if (!IsTier(move.from) || move.from == move.home) return Attempt::kDone;
  const struct stat& st = move.found.st;
  const bool across = !layers_.SameMount(move.from, move.home);
  if (across && !Copies::MayTakeThePlaceOf(*node, st)) {
    Add(st.st_nlink > 1 ? run.settling.linked : run.settling.waiting, st);
    if (st.st_nlink == 1 && !run.dry_run) settle_queue_.Misplaced(node);
    return Attempt::kDone;
  }
  if (!run.dry_run) {
    if (across && !(copy && copy->tier == move.home && copies_.IsCurrent(*copy, node))) return Attempt::kCopyFirst;
    TIERFS_TRY(across ? PublishCopy(node, move, *copy) : MoveWithinMount(node, move));
    if (!across) reporter_.RememberLinks(move.found.key, st, move.home);
    settle_queue_.NothingToSettle(node);
  }
  Add(run.settling.moved[move.from][move.home], st);
  return Attempt::kDone;
}

Status Settlement::MoveWithinMount(const NodePtr& node, const Move& move) {
  TIERFS_ASSIGN(const DirFd old_dir, directories_.Open(move.parent, move.from));
  TIERFS_ASSIGN(const DirFd new_dir, directories_.OpenForWriting(move.parent, move.home));
  {
    const KeepTime keep_old(old_dir->get());
    const KeepTime keep_new(new_dir->get());
    const Relocations::UnderWay under_way(view_.relocations());
    const char* name = move.name.c_str();
    TIERFS_TRY(RenameEntry(old_dir->get(), name, new_dir->get(), name, RENAME_NOREPLACE));
    nodes_.Renamed(node, move.parent, move.name, LayerMask::Only(move.home), move.parent, move.name);
  }
  reporter_.Report(LayerMask::Only(move.from).With(move.home), move.parent, move.name, Feed::Change::kName);
  reporter_.ReportOtherNames(move.found, Feed::Change::kName);
  Fault::Here("settle.renamed");
  return {};
}

Status Settlement::PublishCopy(const NodePtr& node, const Move& move, Staged& copy) {
  const char* name = move.name.c_str();
  TIERFS_ASSIGN(const DirFd old_dir, directories_.Open(move.parent, move.from));
  TIERFS_TRY(MayBeRemoved(old_dir->get(), name));
  TIERFS_ASSIGN(const DirFd new_dir, directories_.OpenForWriting(move.parent, copy.tier));
  if (StatEntry(new_dir->get(), name)) return Fail(EEXIST, "the tier has an entry of this name");
  // The descriptor keeps the inode number from being reused while the node has it.
  TIERFS_ASSIGN(const UniqueFd old, OpenEntry(old_dir->get(), name, O_PATH));
  const BackingKey key = layers_.KeyOf(copy.tier, copy.file.st());
  nodes_.Reserve(node, key);
  const AtEnd report([&] { reporter_.Report(LayerMask::Only(move.from).With(copy.tier), move.parent, move.name, Feed::Change::kName); });
  {
    const Relocations::UnderWay under_way(view_.relocations());
    const Status done =
        transactions_.Perform("move of " + move.name + " to its tier",
                              {{Step::Kind::kPublish, copy.tier, nullptr, copy.file.name(), copy.tier, move.parent, move.name},
                               {Step::Kind::kRemove, move.from, move.parent, move.name}},
                              Transactions::Dates::kKeep);
    if (!done) nodes_.Unreserve(node, key);
    TIERFS_TRY(done);
    copy.file.Published();
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
    directories_.Identify(*node, new_dir->get(), name);
  }
  kernel_->InvalidateAttributes(node->id);
  return {};
}

LayerMask Settlement::PrunableParts(const NodePtr& directory) {
  if (!nodes_.PlaceOf(*directory).parent || directory->Parts().InTiers().Single()) return {};
  return directory->Parts().InTiers().Without(classifier_.HomeOf(*directory));
}

void Settlement::PruneParts(const NodePtr& directory) {
  {
    const ReadLock topology(topology_);
    bool any = false;
    for (const LayerIndex layer : PrunableParts(directory)) {
      const auto dir = directories_.Open(directory, layer);
      any = any || (dir && IsEmpty((*dir)->get()));
    }
    if (!any) return;
  }
  const Lock topology(topology_);  // no other thread is making an entry in it
  for (const LayerIndex layer : PrunableParts(directory)) {
    if (directory->Parts().InTiers().Single()) return;
    PrunePart(directory, layer);
  }
}

void Settlement::PrunePart(const NodePtr& directory, LayerIndex layer) {
  const NodeTable::Place place = nodes_.PlaceOf(*directory);
  const auto above = directories_.Open(place.parent, layer);
  const LayerMask rest = directory->Parts().Without(layer);
  const auto first = directories_.Open(directory, rest.First());
  const auto shown = directories_.Stat(directory);
  if (!above || !first || !shown) return;
  {
    const KeepTime keep((*above)->get());
    if (!RemoveDirectoryEntry((*above)->get(), place.name.c_str())) return;
  }
  // The directory shows the newest date of its parts, which may be the date of the removed part.
  const Status kept = ChangeEntryTimes((*first)->get(), "", {0, UTIME_OMIT}, shown->st_mtim);
  if (!kept) spdlog::warn("cannot keep the date of {}: {}", place.name, std::strerror(kept.error().code));
  directories_.Forget(*directory);
  const auto st = StatFd((*first)->get());
  if (st) nodes_.Rekey(directory, layers_.KeyOf(rest.First(), *st), rest);
  directories_.Identify(*directory, (*first)->get(), "");
  reporter_.Report(LayerMask::Only(layer), place.parent, place.name, Feed::Change::kSubtree);
  reporter_.Report(LayerMask::Only(rest.First()), place.parent, place.name, Feed::Change::kAttributes);
}

}  // namespace tierfs
