#include "fs/tree/copies.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/paths.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

// Whether a mapping that outlived its descriptor writes to a closed file. Retries, because the
// kernel releases a file some time after its close.
bool StaysMapped(int dir, const char* name) {
  constexpr int kTries = 20;
  const auto file = OpenEntry(dir, name, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file) return false;
  for (int i = 0; i < kTries; ++i) {
    if (!HasWriters(file->get(), false)) return false;
    ::usleep(1000);
  }
  return true;
}

LayerIndex BestProtected(const std::vector<NodeTable::Copied>& places) {
  LayerIndex best = kNoLayer;
  for (const NodeTable::Copied& place : places) best = std::min(best, place.layer);
  return best;
}

}  // namespace

Result<Staged> Copies::Stage(const NodePtr& node, LayerIndex tier, off_t limit) {
  Fault::Here("copy.wanted");
  Location source;
  BackingKey key;
  std::uint32_t changes = 0;
  {
    const ReadLock topology(topology_);
    const Lock lock(node->mutex);
    TIERFS_ASSIGN(source, directories_.LocateLocked(node, node->Placement()));
    if (IsTier(source.layer) && node->open.Any()) return Fail(EBUSY, "open");
    key = nodes_.KeyOf(*node);
    changes = node->changes;
  }
  TIERFS_ASSIGN(const struct stat st,
                source.name.empty() ? StatFd(source.DirOrFile()) : StatEntry(source.DirOrFile(), source.name.c_str()));
  if (!(layers_.KeyOf(source.layer, st) == key)) return Fail(ESTALE, "replaced underneath");
  // From here on, an open for writing shows in Node::changes.
  if (IsTier(source.layer) && S_ISREG(st.st_mode) && StaysMapped(source.DirOrFile(), source.name.c_str())) {
    const Lock lock(node->mutex);
    if (node->open.Any() || node->changes != changes) return Fail(EBUSY, "open");
    return Fail(ETXTBSY, "mapped");
  }
  // A file that is append-only or immutable may not be truncated, so all of its data is needed.
  if (limit != kAllData && !IsUnprotected(source.DirOrFile(), source.name.c_str())) limit = kAllData;
  TIERFS_ASSIGN(WorkFile file, WorkFile::CopyOf(layers_[tier], source.DirOrFile(), source.name.c_str(), limit));
  Fault::Here("copy.made");
  return Staged{std::move(file), node, key, changes, tier};
}

bool Copies::IsCurrent(const Staged& copy, const NodePtr& node) const {
  return copy.node == node && copy.source == nodes_.KeyOf(*node) && copy.changes == node->changes;
}

// Holds references to the directories of the names.
class Copies::Names {
 public:
  explicit Names(MergedView& view) : view_(view) {}
  Names(Names&& other) noexcept : view_(other.view_), all_(std::exchange(other.all_, {})) {}
  Names& operator=(Names&&) = delete;
  ~Names() {
    for (const auto& [parent, name] : all_) view_.Release(parent);
  }
  // Adds a name. Takes over a reference to its directory.
  void Add(NodePtr parent, std::string name) {
    const bool known = Has(parent, name);
    if (known) return view_.Release(parent);
    all_.emplace_back(std::move(parent), std::move(name));
  }
  [[nodiscard]] bool Has(const NodePtr& parent, const std::string& name) const {
    return std::find(all_.begin(), all_.end(), std::pair(parent, name)) != all_.end();
  }
  [[nodiscard]] const std::vector<std::pair<NodePtr, std::string>>& all() const { return all_; }

 private:
  MergedView& view_;
  std::vector<std::pair<NodePtr, std::string>> all_;
};

Result<Copies::Names> Copies::NamesOf(const NodePtr& node) {
  Names names(view_);
  struct stat st {};
  LayerIndex layer = kNoLayer;
  {
    const ReadLock topology(topology_);
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    layer = place.parts.First();
    TIERFS_ASSIGN(st, directories_.Stat(node));
    if (place.parent) {
      nodes_.Keep(*place.parent);
      names.Add(place.parent, place.name);
    }
  }
  if (st.st_nlink < 2 || IsTier(layer)) return names;
  TIERFS_ASSIGN(const auto others, lower_links_.NamesOf(layer, st));
  for (const std::string& path : others) {
    auto parent = view_.AcquirePath(ParentOf(path));
    if (parent) {
      names.Add(std::move(*parent), NameOf(path));
    } else if (const int error = parent.error().code; error != ENOENT && error != ENOTDIR) {
      return tl::unexpected(parent.error());
    }
  }
  return names;
}

Result<std::vector<NodeTable::Copied>> Copies::Showing(const Names& names, const BackingKey& key) {
  std::vector<NodeTable::Copied> showing;
  for (const auto& [parent, name] : names.all()) {
    const auto found = view_.Find(parent, name.c_str());
    if (!found && found.error().code != ENOENT) return tl::unexpected(found.error());
    if (found && found->Exists() && found->key == key) showing.push_back({parent, name, classifier_.HomeOf(parent, name.c_str(), false)});
  }
  return showing;
}

Status Copies::CopyUp(const NodePtr& node, off_t limit) {
  if (node->IsDir()) {
    if (!node->Parts().InTiers().Empty()) return {};
    const ReadLock topology(topology_);
    TIERFS_ASSIGN(const DirFd made, directories_.OpenForWriting(node, classifier_.HomeOf(*node)));
    return {};
  }
  if (IsTier(node->Placement())) return {};
  const KeyedMutex::Holder turn(copying_up_, node->id);
  for (;;) {
    TIERFS_ASSIGN(const Names names, NamesOf(node));
    LayerIndex tier = kNoLayer;
    {
      const ReadLock topology(topology_);
      if (IsTier(node->Placement())) return {};  // another thread did it meanwhile
      TIERFS_ASSIGN(const auto places, Showing(names, nodes_.KeyOf(*node)));
      tier = places.empty() ? classifier_.HomeOf(*node) : BestProtected(places);
    }
    auto copy = Stage(node, tier, limit);
    if (!copy && copy.error().code == ENOENT) {
      // The file was renamed or removed before it could be opened. A lower file itself does not go
      // away.
      const ReadLock topology(topology_);
      if (const auto there = directories_.Stat(node); !there) return tl::unexpected(there.error());
      continue;
    }
    if (!copy) return tl::unexpected(copy.error());
    TIERFS_ASSIGN(const bool published, Publish(node, names, *copy));
    if (published) return {};
  }
}

Status Copies::CopyUpBeneath(const NodePtr& directory) {
  TIERFS_TRY(CopyUp(directory));
  if (directory->Parts().InLower().Empty()) return {};
  TIERFS_ASSIGN(const auto entries, view_.List(directory->id));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name == "." || entry.name == "..") continue;
    TIERFS_ASSIGN(const Entry found, view_.Lookup(directory->id, entry.name.c_str()));
    if (found.id.value == 0) continue;  // gone meanwhile
    const NodePtr node = nodes_.Get(found.id);
    const Status done = node->IsDir() ? CopyUpBeneath(node) : CopyUp(node);
    nodes_.Forget(found.id, 1);
    if (!done && done.error().code == ESTALE) continue;  // renamed or removed meanwhile
    TIERFS_TRY(done);
  }
  return {};
}

bool Copies::HasToBeCopiedUp(NodeId id) const {
  const NodePtr node = nodes_.Get(id);
  return node && !node->IsDir() && !IsTier(node->Placement());
}

// False when the names of the file have changed meanwhile, and with them its tier.
Result<bool> Copies::Publish(const NodePtr& node, const Names& names, Staged& copy) {
  const ReadLock topology(topology_);
  const Lock lock(node->mutex);
  TIERFS_ASSIGN(auto places, Showing(names, copy.source));
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (place.parent) {
    if (!names.Has(place.parent, place.name)) return false;
    const auto is_place = [&](const NodeTable::Copied& each) { return each.parent == place.parent && each.name == place.name; };
    if (std::none_of(places.begin(), places.end(), is_place)) return Fail(ESTALE, "the lower file no longer shows");
    if (BestProtected(places) != copy.tier) return false;
    TIERFS_TRY(PublishAt(node, std::move(places), copy));
  } else {
    // The file was unlinked meanwhile. It lives on without a name in the file system of the tier.
    TIERFS_ASSIGN(node->pinned, OpenEntry(copy.file.dir(), copy.file.name().c_str(), O_PATH));
    nodes_.Rekey(node, layers_.KeyOf(copy.tier, copy.file.st()), LayerMask::Only(copy.tier));
    directories_.Identify(*node, node->pinned.get(), "");
    open_files_.FollowContent(node);
  }
  return true;
}

Status Copies::PublishAt(const NodePtr& node, std::vector<NodeTable::Copied> places, Staged& copy) {
  TIERFS_TRY(copy.file.GiveNames(places.size()));
  const BackingKey key = layers_.KeyOf(copy.tier, copy.file.st());
  std::vector<Action> actions;
  for (NodeTable::Copied& place : places) {
    // A name in a tier on another file system joins the file where it is.
    if (!layers_.SameMount(place.layer, copy.tier)) place.layer = copy.tier;
    TIERFS_ASSIGN(const DirFd dir, directories_.OpenForWriting(place.parent, place.layer));
    if (StatEntry(dir->get(), place.name.c_str())) return Fail(EEXIST, "the tier has an entry of this name");
    const std::string& work = copy.file.names()[actions.size()];
    actions.push_back({Step::Kind::kPublish, copy.tier, nullptr, work, place.layer, place.parent, place.name});
  }
  const AtEnd report([&] {
    for (const auto& [parent, name, layer] : places) reporter_.Report(LayerMask::Only(layer), parent, name, Feed::Change::kContent);
  });
  const NodeTable::Copied& first = places.front();
  TIERFS_ASSIGN(const DirFd first_dir, directories_.Open(first.parent, first.layer));
  nodes_.Reserve(node, key);
  {
    const Relocations::UnderWay under_way(view_.relocations());
    // The directories gain no entry in the view of the user, so their times stay.
    const Status done = transactions_.Perform("copy-up of " + places.front().name, actions, Transactions::Dates::kKeep);
    if (!done) nodes_.Unreserve(node, key);
    TIERFS_TRY(done);
    nodes_.CopiedUp(node, key, places);
    directories_.Identify(*node, first_dir->get(), first.name.c_str());
    copy.file.Published();
  }
  open_files_.FollowContent(node);
  if (places.size() > 1) {
    struct stat st = copy.file.st();
    st.st_nlink = places.size();
    for (const NodeTable::Copied& place : places) reporter_.RememberLinks(key, st, place.layer);
  }
  Fault::Here("copyup.published");
  if (copy.file.forbidding_flags() == 0) return {};
  TIERFS_ASSIGN(const UniqueFd file, OpenEntry(first_dir->get(), first.name.c_str(), O_RDONLY | O_NONBLOCK));
  return AddFlags(file.get(), copy.file.forbidding_flags());
}

}  // namespace tierfs
