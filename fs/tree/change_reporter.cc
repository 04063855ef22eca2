#include "fs/tree/change_reporter.h"

#include "fs/os/paths.h"

namespace tierfs {

void ChangeReporter::Report(LayerMask layers, const NodePtr& parent, const std::string& name, Feed::Change change) {
  const LayerMask tracked = Tracked(layers);
  if (tracked.Empty()) return;
  const auto above = nodes_.PathOf(*parent);
  if (!above) return;  // it was removed with its directory
  for (const LayerIndex layer : tracked) feed_.Touched(layer, JoinPath(*above, name), change);
}

bool ChangeReporter::MayBeTrackedElsewhere(LayerIndex layer) const {
  if (!IsTier(layer) || feed_.tracked().Has(layer)) return false;
  for (const LayerIndex tracked : feed_.tracked()) {
    if (layers_.SameMount(layer, tracked)) return true;
  }
  return false;
}

bool ChangeReporter::MayTrack(LayerIndex layer) const { return !Tracked(LayerMask::Only(layer)).Empty() || MayBeTrackedElsewhere(layer); }

bool ChangeReporter::Tracks(const Node& node) const { return !Tracked(node.Parts()).Empty() || linked_.Has(nodes_.KeyOf(node)); }

void ChangeReporter::RememberLinks(const BackingKey& key, const struct stat& st, LayerIndex layer) {
  if (st.st_nlink > 1 && MayBeTrackedElsewhere(layer)) linked_.Add(key);
}

void ChangeReporter::ReportOtherNames(const Found& found, Feed::Change change) {
  if (!found.Exists() || found.IsDir() || found.st.st_nlink < 2) return;
  if (MayTrack(found.Layer())) feed_.LinkedTouched(found.key.inode, change);
}

void ChangeReporter::ReportNode(const Node& node, Feed::Change change) {
  if (feed_.tracked().Empty()) return;
  const NodeTable::Place place = nodes_.PlaceOf(node);
  if (place.parent) {
    Report(place.parts, place.parent, place.name, change);
  } else if (&node == nodes_.root().get()) {
    for (const LayerIndex layer : Tracked(place.parts)) feed_.Touched(layer, "", change);
  }
  if (node.IsDir()) return;
  const BackingKey key = nodes_.KeyOf(node);
  if (linked_.Has(key)) feed_.LinkedTouched(key.inode, change);
  if (place.named_elsewhere && MayTrack(place.parts.First())) feed_.NamelessTouched(key.inode, change);
}

void ChangeReporter::ReportOpening(const Node& node) {
  if (feed_.watched().Empty()) return;
  const NodeTable::Place place = nodes_.PlaceOf(node);
  const LayerMask watched(place.parts.bits() & feed_.watched().bits());
  if (place.parent && !watched.Empty()) Report(watched, place.parent, place.name, Feed::Change::kOpened);
}

}  // namespace tierfs
