// Settling: a file that is in another tier than its path belongs to moves there.
#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <unistd.h>

#include <cstring>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/os/list_dir.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

// A file that somebody changes while it is copied is tried so many times.
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

Result<NodePtr> Tree::LookInside(const NodePtr& directory, const std::string& name) {
  const SharedTopology topology(topology_);
  if (!directory->IsDir()) return Fail(ENOTDIR, "not a directory");
  for (;;) {
    TIERFS_ASSIGN(const Found found, Resolve(directory, name.c_str()));
    if (!found.Exists()) return NodePtr();
    std::unique_lock growth(growth_, std::defer_lock);
    if (found.IsDir()) growth.lock();
    if (NodePtr node = nodes_.Hold(directory, name, {found.key, found.st.st_mode, found.parts, found.moved})) return node;
  }
}

Result<NodePtr> Tree::Acquire(const std::string& path) {
  NodePtr at = nodes_.root();
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty()) continue;
    const auto next = LookInside(at, name);
    if (at != nodes_.root()) nodes_.Forget(at->id, 1);
    if (!next) return tl::unexpected(next.error());
    if (!*next) return Fail(ENOENT, "no such path");
    at = *next;
  }
  return at;
}

Status Tree::Settle(const std::string& path, bool dry_run, Settling& settling) {
  TIERFS_ASSIGN(const NodePtr node, Acquire(path));
  if (node->IsDir()) {
    SettleDirectory(node, dry_run, settling);
  } else {
    const std::size_t slash = path.rfind('/');
    const auto parent = Acquire(slash == std::string::npos ? "" : path.substr(0, slash));
    if (!parent || !SettleFile(*parent, path.substr(slash + 1), node, dry_run, settling)) ++settling.failed;
    if (parent && *parent != nodes_.root()) nodes_.Forget((*parent)->id, 1);
  }
  if (node != nodes_.root()) nodes_.Forget(node->id, 1);
  return {};
}

void Tree::SettleDirectory(const NodePtr& directory, bool dry_run, Settling& settling) {
  const auto entries = List(directory->id);
  if (!entries) {
    ++settling.failed;
    return;
  }
  std::vector<std::string> beneath;
  for (const DirectoryEntry& entry : *entries) {
    if (settling.cancelled || stopping_) return;
    if (entry.name == "." || entry.name == "..") continue;
    settling.seen.fetch_add(1, std::memory_order_relaxed);
    if (const Status done = SettleEntry(directory, entry.name, dry_run, settling, beneath); !done) {
      ++settling.failed;
      spdlog::warn("settling {}: {} ({})", entry.name, std::strerror(done.error().code), done.error().step);
    }
  }
  for (const std::string& name : beneath) {
    if (settling.cancelled || stopping_) return;
    const auto child = LookInside(directory, name);
    if (!child || !*child) continue;
    if ((*child)->IsDir()) {
      SettleDirectory(*child, dry_run, settling);
      if (!dry_run) PruneParts(*child);
    }
    nodes_.Forget((*child)->id, 1);
  }
}

Status Tree::SettleEntry(const NodePtr& parent, const std::string& name, bool dry_run, Settling& settling,
                         std::vector<std::string>& beneath) {
  TIERFS_ASSIGN(const NodePtr node, LookInside(parent, name));
  if (!node) return {};  // gone meanwhile
  struct Reference {
    NodeTable& nodes;
    NodeId id;
    ~Reference() { nodes.Forget(id, 1); }
  } const reference{nodes_, node->id};
  if (!node->IsDir()) return SettleFile(parent, name, node, dry_run, settling);

  beneath.push_back(name);
  const SharedTopology topology(topology_);
  const LayerIndex home = LayerOf(DecisionFor(parent, name, true).tier);
  // An empty directory too is kept as its class says.
  if (dry_run || node->Parts().InTiers().Empty() || node->Parts().Has(home)) return {};
  TIERFS_ASSIGN(const DirFd made, OpenDirForWriting(node, home));
  return {};
}

Status Tree::SettleFile(const NodePtr& parent, const std::string& name, const NodePtr& node, bool dry_run, Settling& settling) {
  std::optional<Staged> copy;
  for (int copies = 0;; ++copies) {
    LayerIndex home = kNoLayer;
    struct stat seen {};
    {
      const SharedTopology topology(topology_);
      const std::lock_guard lock(node->mutex);
      // Of a file with several names each may stand in another tree.
      TIERFS_ASSIGN(const Found found, Resolve(parent, name.c_str()));
      if (!found.Exists() || !(found.key == nodes_.KeyOf(*node))) return {};  // renamed meanwhile
      const LayerIndex from = found.parts.First();
      home = LayerOf(DecisionFor(parent, name, false).tier);
      if (from == home && !dry_run) NothingToSettle(node);
      if (!IsTier(from) || from == home) return {};
      const struct stat& st = seen = found.st;
      const bool across = !layers_.SameMount(from, home);
      if (across && !MayBeMoved(*node, st)) {
        Add(st.st_nlink > 1 ? settling.linked : settling.waiting, st);
        if (st.st_nlink == 1 && !dry_run) MoveAtClose(node);
        return {};
      }
      if (!dry_run && across && !(copy && copy->tier == home && StillTheFile(*copy))) {
        if (copies == kCopies) return Fail(EBUSY, "it changes all the time");
      } else {
        if (!dry_run) TIERFS_TRY(across ? PublishSettled(parent, name, from, *copy) : SettleWithin(parent, name, node, found, home));
        if (!dry_run && !across) RememberLinks(found.key, st, home);
        if (!dry_run) NothingToSettle(node);
        Add(settling.moved[from][home], st);
        return {};
      }
    }
    copy.reset();
    auto made = Stage(node, home);
    if (!made && made.error().code == EBUSY) continue;
    if (!made && made.error().code == ETXTBSY) {
      // Nothing tells when the mapping ends: it is tried again when the file was opened and closed once more, at the next mount, or when
      // somebody asks.
      const SharedTopology topology(topology_);
      const std::lock_guard lock(node->mutex);
      Add(settling.waiting, seen);
      FollowAtClose(node);
      return {};
    }
    if (!made) return tl::unexpected(made.error());
    copy.emplace(std::move(*made));
  }
}

Status Tree::SettleWithin(const NodePtr& parent, const std::string& name, const NodePtr& node, const Found& found, LayerIndex home) {
  const LayerIndex from = found.parts.First();
  TIERFS_ASSIGN(const DirFd old_dir, OpenDir(parent, from));
  TIERFS_ASSIGN(const DirFd new_dir, OpenDirForWriting(parent, home));
  {
    const KeepTime keep_old(old_dir->get());
    const KeepTime keep_new(new_dir->get());
    const Moves::UnderWay under_way(moves_);
    if (::renameat2(old_dir->get(), name.c_str(), new_dir->get(), name.c_str(), RENAME_NOREPLACE) != 0) return FailErrno("renameat2");
    nodes_.Renamed(node, parent, name, LayerMask::Only(home), parent, name);
  }
  Tell(LayerMask::Only(from).With(home), parent, name, Feed::Change::kName);
  TellLinks(found, Feed::Change::kName);
  Fault::Here("settle.renamed");
  return {};
}

Status Tree::PublishSettled(const NodePtr& parent, const std::string& name, LayerIndex from, Staged& copy) {
  const NodePtr& node = copy.node;
  TIERFS_ASSIGN(const DirFd old_dir, OpenDir(parent, from));
  TIERFS_TRY(MayBeRemoved(old_dir->get(), name.c_str()));
  TIERFS_ASSIGN(const DirFd new_dir, OpenDirForWriting(parent, copy.tier));
  if (StatEntry(new_dir->get(), name.c_str())) return Fail(EEXIST, "the tier has an entry of this name");
  // Its inode number is not used again before the node has let go of it.
  TIERFS_ASSIGN(const UniqueFd old, OpenEntry(old_dir->get(), name.c_str(), O_PATH));
  const BackingKey key = layers_.KeyOf(copy.tier, copy.file.st());
  nodes_.Expect(node, key);
  const AtEnd tell([&] { Tell(LayerMask::Only(from).With(copy.tier), parent, name, Feed::Change::kName); });
  {
    const Moves::UnderWay under_way(moves_);
    const Status done = Perform(
        "move of " + name + " to its tier",
        {{Step::Kind::kPublish, copy.tier, nullptr, copy.file.name(), copy.tier, parent, name}, {Step::Kind::kRemove, from, parent, name}},
        Dates::kKeep);
    if (!done) nodes_.Unexpect(node, key);
    TIERFS_TRY(done);
    copy.file.Published();
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
  }
  kernel_->InvalidateAttributes(node->id);
  return {};
}

void Tree::PruneParts(const NodePtr& directory) {
  const auto candidates = [&]() -> LayerMask {
    if (!nodes_.PlaceOf(*directory).parent || directory->Parts().InTiers().Single()) return {};
    return directory->Parts().InTiers().Without(LayerOf(DecisionOfNode(*directory).tier));
  };
  {
    const SharedTopology topology(topology_);
    bool any = false;
    for (const LayerIndex layer : candidates()) {
      const auto dir = OpenDir(directory, layer);
      any = any || (dir && IsEmpty((*dir)->get()));
    }
    if (!any) return;
  }
  const std::unique_lock exclusive(topology_);  // nobody is about to make something in it
  const LayerMask empty = candidates();
  const NodeTable::Place place = nodes_.PlaceOf(*directory);
  for (const LayerIndex layer : empty) {
    if (directory->Parts().InTiers().Single()) return;
    const auto above = OpenDir(place.parent, layer);
    const LayerMask rest = directory->Parts().Without(layer);
    const auto first = OpenDir(directory, rest.First());
    const auto shown = StatNode(directory);
    if (!above || !first || !shown) continue;
    {
      const KeepTime keep((*above)->get());
      if (::unlinkat((*above)->get(), place.name.c_str(), AT_REMOVEDIR) != 0) continue;
    }
    // The newest date of the parts is the directory's; the part that had it may be the one that went.
    const timespec times[2] = {{0, UTIME_OMIT}, shown->st_mtim};
    if (::utimensat((*first)->get(), "", times, AT_EMPTY_PATH) != 0)
      spdlog::warn("keeping the date of {}: {}", place.name, std::strerror(errno));
    dirs_.Drop(directory->id);
    const auto st = StatFd((*first)->get());
    if (st) nodes_.Rekey(directory, layers_.KeyOf(rest.First(), *st), rest);
    Tell(LayerMask::Only(layer), place.parent, place.name, Feed::Change::kSubtree);
    Tell(LayerMask::Only(rest.First()), place.parent, place.name, Feed::Change::kAttributes);
  }
}

}  // namespace tierfs
