#include "fs/tree/tree.h"

#include <fcntl.h>

namespace tierfs {
namespace {

BackingKey RootKey(const LayerSet& layers) {
  const auto st = StatFd(layers[0].root.get());
  return st ? layers.KeyOf(0, *st) : BackingKey{};
}

}  // namespace

Tree::Tree(LayerSet layers, std::shared_ptr<const policy::Policy> policy, TreeOptions options)
    : layers_(std::move(layers)),
      answers_(options.cache_timeout),
      nodes_(RootKey(layers_), layers_.All()),
      classifier_(nodes_, std::move(policy)),
      reporter_(layers_, nodes_, *options.feed),
      directories_(layers_, nodes_, reporter_, options),
      view_(layers_, nodes_, classifier_, directories_, topology_, answers_),
      finder_(layers_, nodes_, reporter_, directories_, view_, topology_, answers_, options.cache_timeout),
      whiteouts_(layers_, classifier_, directories_, reporter_),
      transactions_(layers_, nodes_, directories_, *options.journal),
      settle_queue_(layers_, nodes_, classifier_, *options.journal,
                    [this](const std::string& path, Settling& settling) { return settlement_.Settle(path, false, settling); }),
      open_files_(layers_, nodes_, directories_, reporter_, settle_queue_, options.passthrough),
      copies_(layers_, nodes_, classifier_, directories_, view_, reporter_, transactions_, open_files_, topology_),
      names_(layers_, nodes_, classifier_, directories_, view_, reporter_, whiteouts_, copies_, open_files_, settle_queue_, topology_,
             answers_),
      renames_(layers_, nodes_, classifier_, directories_, view_, reporter_, whiteouts_, copies_, transactions_, names_, settle_queue_,
               topology_),
      settlement_(layers_, nodes_, classifier_, directories_, view_, reporter_, copies_, transactions_, settle_queue_, topology_),
      inodes_(layers_, nodes_, classifier_, directories_, reporter_, copies_, open_files_, topology_, answers_) {}

// The thread of the queue uses the other parts, so it ends first.
Tree::~Tree() { settle_queue_.Stop(); }

void Tree::Attach(Kernel* kernel) {
  kernel_ = kernel;
  open_files_.Attach(kernel);
  settlement_.Attach(kernel);
  inodes_.Attach(kernel);
}

Result<Entry> Tree::Lookup(NodeId parent, const char* name) {
  // The kernel sends these two names only to find the node of a file handle, and its parent.
  if (std::string_view(name) == ".") return finder_.Find(parent);
  if (std::string_view(name) == "..") return finder_.FindParent(parent);
  return view_.Lookup(parent, name);
}

Result<Opened> Tree::Open(const Caller& caller, NodeId id, int flags) {
  NodePtr node;
  {
    const ReadLock topology(topology_);
    TIERFS_ASSIGN(node, NodeOf(nodes_, id));
  }
  if (node->IsDir()) return Fail(EISDIR, "open of a directory as a file");
  const bool truncates = (flags & O_TRUNC) != 0;
  if ((flags & O_ACCMODE) != O_RDONLY || truncates) TIERFS_TRY(copies_.CopyUp(node, truncates ? 0 : kAllData));
  const ReadLock topology(topology_);
  const Lock lock(node->mutex);
  TIERFS_ASSIGN(OpenFiles::Backing backing, open_files_.OpenBacking(node, flags));
  if (truncates) {
    TIERFS_TRY(open_files_.Empty(caller, node, backing, flags));
    // A reader may truncate too, and its close reports nothing.
    ++node->changes;
    reporter_.ReportNode(*node, Feed::Change::kContent);
  }
  if ((flags & O_ACCMODE) != O_RDONLY) reporter_.ReportOpening(*node);
  return open_files_.Add(node, std::move(backing), flags);
}

bool Tree::AtAnInstant(std::chrono::milliseconds limit, const std::function<void()>& moment) {
  if (!topology_.TryCloseFor(limit)) return false;
  moment();
  topology_.Open();
  return true;
}

std::size_t Tree::DropCaches() {
  directories_.ForgetAll();
  copies_.ForgetLowerLinks();
  finder_.DropIndexes();
  const auto all = nodes_.All();
  for (const NodePtr& node : all) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    if (place.parent) kernel_->InvalidateEntry(place.parent->id, place.name);
    kernel_->InvalidateData(node->id);
  }
  return all.size();
}

}  // namespace tierfs
