// What the change feed is told. Each call comes after the change, and where nobody wants to hear of the layers it costs one comparison.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/beneath.h"
#include "fs/os/writers.h"
#include "fs/tree/tree.h"

namespace tierfs {

LayerMask Tree::Told(LayerMask layers) const {
  return options_.feed == nullptr ? LayerMask() : LayerMask(layers.bits() & options_.feed->tracked().bits());
}

void Tree::Tell(LayerMask layers, const NodePtr& parent, const std::string& name, Feed::Change change) {
  const LayerMask told = Told(layers);
  if (told.Empty()) return;
  const auto above = nodes_.PathOf(*parent);
  if (!above) return;  // it went with its directory
  for (const LayerIndex layer : told) options_.feed->Touched(layer, above->empty() ? name : *above + "/" + name, change);
}

bool Tree::MayBeTrackedElsewhere(LayerIndex layer) const {
  if (options_.feed == nullptr || !IsTier(layer) || options_.feed->tracked().Has(layer)) return false;
  for (const LayerIndex tracked : options_.feed->tracked()) {
    if (layers_.SameMount(layer, tracked)) return true;
  }
  return false;
}

void Tree::RememberLinks(const BackingKey& key, const struct stat& st, LayerIndex layer) {
  if (st.st_nlink > 1 && MayBeTrackedElsewhere(layer)) linked_.Add(key);
}

void Tree::TellLinks(const Found& found, Feed::Change change) {
  if (!found.Exists() || found.IsDir() || found.st.st_nlink < 2) return;
  const LayerIndex layer = found.parts.First();
  if (!Told(LayerMask::Only(layer)).Empty() || MayBeTrackedElsewhere(layer)) options_.feed->LinkedTouched(found.key.inode, change);
}

void Tree::TellNode(const Node& node, Feed::Change change) {
  if (options_.feed == nullptr) return;
  const NodeTable::Place place = nodes_.PlaceOf(node);
  if (place.parent) {
    Tell(place.parts, place.parent, place.name, change);
  } else if (&node == nodes_.root().get()) {
    for (const LayerIndex layer : Told(place.parts)) options_.feed->Touched(layer, "", change);
  }
  if (node.IsDir()) return;
  const BackingKey key = nodes_.KeyOf(node);
  if (linked_.Has(key)) options_.feed->LinkedTouched(key.inode, change);
  if (!place.named_elsewhere) return;
  const LayerIndex layer = place.parts.First();
  if (!Told(LayerMask::Only(layer)).Empty() || MayBeTrackedElsewhere(layer)) options_.feed->NamelessTouched(key.inode, change);
}

void Tree::TellOpenFiles() {
  if (options_.feed == nullptr) return;
  for (const auto& file : handles_.All()) {
    if (!file->writer || (Told(file->node->Parts()).Empty() && !linked_.Has(nodes_.KeyOf(*file->node)))) continue;
    Feed::Change change = Feed::Change::kContent;
    if (MayMapForWriting(*file)) {
      // Writes the pages out, after which the next store into a mapping moves the file's times.
      const auto data = file->Data();
      if (::fdatasync(data->get()) != 0 || !StoresMoveTimes(data->get())) change = Feed::Change::kUnknown;
    }
    TellNode(*file->node, change);
  }
}

UniqueFd Tree::TellClosing(const OpenFile& file) {
  if (!file.writer) return {};
  TellNode(*file.node, Feed::Change::kContent);
  const LayerIndex layer = file.node->Placement();
  // Also where nobody records it: a rename may bring it where somebody does.
  if ((Told(LayerMask::Only(layer)).Empty() && !MayBeTrackedElsewhere(layer)) || !MayMapForWriting(file)) return {};
  return UniqueFd(::open(ProcPath(file.Data()->get()).c_str(), O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC));
}

void Tree::TellClosed(UniqueFd reader) {
  if (reader) options_.feed->MayBeMapped(std::move(reader));
}

}  // namespace tierfs
