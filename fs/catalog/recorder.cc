#include "fs/catalog/recorder.h"

#include "fs/os/paths.h"

namespace tierfs {
namespace {

// Whether the content may have changed. A directory has no content of its own.
bool NewContent(const Observed& before, const Observed& now, Feed::Change change) {
  if (now.IsDir()) return !before.IsDir();
  if (before.type != now.type || before.inode != now.inode || before.size != now.size || before.mtime != now.mtime) return true;
  // The file was open for writing, and its times may have been set back.
  return now.IsFile() && change >= Feed::Change::kContent;
}

}  // namespace

void GoneHashes::Add(const Row& row) {
  if (row.hash.empty() || row.hashed != row.content) return;
  if (by_inode_.size() >= kLimit) by_inode_.clear();
  by_inode_[row.seen.inode] = Known{row.seen.size, row.seen.mtime, row.hash};
}

std::string GoneHashes::Of(const Observed& seen) const {
  if (!seen.IsFile() || seen.ctime == 0) return "";
  const auto found = by_inode_.find(seen.inode);
  if (found == by_inode_.end() || found->second.size != seen.size || found->second.mtime != seen.mtime) return "";
  return found->second.hash;
}

void Recorder::Gone(LayerIndex tier, Row row, Feed::Change change) {
  gone_.Add(row);
  AllNames(row.seen, change);
  row.seen.present = false;
  row.seq = seq_;
  row.hash.clear();
  PutRow(connection_, tier, row);
  changed_ = true;
}

void Recorder::BeneathGone(const Sight& sight) {
  constexpr int kPage = 1000;
  std::string last = sight.path;
  for (;;) {
    std::vector<Row> rows = RowsBeneath(connection_, sight.tier, sight.path, last, kPage);
    for (Row& row : rows) {
      last = row.path;
      if (row.seen.present) Gone(sight.tier, std::move(row), sight.change);
    }
    if (rows.size() < kPage) return;
  }
}

void Recorder::Absent(const Sight& sight) {
  auto row = FindRow(connection_, sight.tier, sight.path);
  // If the row was not a directory, nothing is recorded beneath it.
  const bool nothing_beneath = row && row->seen.present && !row->seen.IsDir();
  if (row && row->seen.present) {
    Gone(sight.tier, std::move(*row), sight.change);
  }
  if (!nothing_beneath) BeneathGone(sight);
}

void Recorder::AllNames(const Observed& file, Feed::Change change) {
  if (further_ == nullptr || !file.present || file.links <= 1) return;
  // The move of a directory does not change the content of its entries.
  if (change == Feed::Change::kSubtree) change = Feed::Change::kName;
  if (!further_->empty() && further_->back().tier == kNoLayer && further_->back().inode == file.inode && further_->back().change == change)
    return;
  further_->push_back(Hint{kNoLayer, change, "", file.inode});
}

void Recorder::Above(LayerIndex tier, const std::string& path) {
  if (further_ == nullptr || path.empty()) return;
  std::string above = ParentOf(path);
  if (!further_->empty() && further_->back().tier == tier && further_->back().path == above) return;
  further_->push_back(Hint{tier, Feed::Change::kAttributes, std::move(above)});
}

void Recorder::Record(const Sight& sight) {
  // The entry itself does not always show that it appeared, vanished or was replaced. Its directory
  // does.
  if (sight.change > Feed::Change::kAttributes) Above(sight.tier, sight.path);
  if (!sight.seen.present) return Absent(sight);
  auto found = FindRow(connection_, sight.tier, sight.path);
  const bool known = found && found->seen.present;
  // Look at all names of the old and the new inode: the old one may live on under its other names.
  // Do so even if this name shows no change, since it may have been looked at between a change and
  // the hint of that change.
  if (known) AllNames(found->seen, sight.change);
  AllNames(sight.seen, sight.change);
  if (known && found->seen.IsSurely(sight.seen) && sight.change != Feed::Change::kUnknown) return;
  if (sight.seen.ctime == 0 && sight.seen.links == 1 && !sight.seen.IsDir() && !sight.again) {
    again_.push_back(Hint{sight.tier, Feed::Change::kAttributes, sight.path, 0, NameSearch::kOfSeveral, true});
  }
  Row row;
  if (known) {
    row = std::move(*found);
    if (row.seen.IsDir() && !sight.seen.IsDir()) BeneathGone(sight);
  }
  row.path = sight.path;
  row.seq = seq_;
  // A whiteout replaced by an entry, or the reverse, is a removal and an addition to a reader of
  // the tree.
  const bool comes = !known || (row.seen.type == kWhiteoutType && sight.seen.type != kWhiteoutType);
  if (comes) row.added = seq_;
  if (!known || NewContent(row.seen, sight.seen, sight.change)) row.content = seq_;
  const bool moved_in = !known || row.seen.inode != sight.seen.inode;
  row.seen = sight.seen;
  if (!row.seen.IsFile()) row.hash.clear();
  if (const std::string hash = moved_in ? gone_.Of(sight.seen) : ""; !hash.empty()) {
    if (row.hash == hash) row.content = row.hashed;
    row.hash = hash;
    row.hashed = row.content;
  }
  PutRow(connection_, sight.tier, row);
  changed_ = true;
}

}  // namespace tierfs
