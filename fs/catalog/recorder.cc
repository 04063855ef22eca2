#include "fs/catalog/recorder.h"

#include <algorithm>

namespace tierfs {
namespace {

bool Same(const Observed& a, const Observed& b) {
  return a.present == b.present && a.type == b.type && a.inode == b.inode && a.links == b.links && a.size == b.size && a.mtime == b.mtime &&
         a.ctime == b.ctime && a.ctime != 0;
}

// Whether the content may be another one. A directory has none of its own.
bool NewContent(const Observed& before, const Observed& now, Feed::Change change) {
  if (now.IsDir()) return !before.IsDir();
  if (before.type != now.type || before.inode != now.inode || before.size != now.size || before.mtime != now.mtime) return true;
  // Somebody had it open for writing, and may have set its times back.
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

void Recorder::Gone(LayerIndex tier, Row row) {
  gone_.Add(row);
  if (row.seen.links > 1) OtherNames(tier, row.path, row.seen.inode, Feed::Change::kName);
  row.seen.present = false;
  row.seq = seq_;
  row.hash.clear();
  PutRow(connection_, tier, row);
  changed_ = true;
}

void Recorder::BeneathGone(LayerIndex tier, const std::string& path) {
  constexpr int kPage = 1000;
  std::string last = path;
  for (;;) {
    std::vector<Row> rows = RowsBeneath(connection_, tier, path, last, kPage);
    for (Row& row : rows) {
      last = row.path;
      if (row.seen.present) Gone(tier, std::move(row));
    }
    if (rows.size() < kPage) return;
  }
}

void Recorder::Absent(LayerIndex tier, const std::string& path) {
  auto row = FindRow(connection_, tier, path);
  // Nothing is known beneath what was recorded as something else than a directory.
  const bool nothing_beneath = row && row->seen.present && !row->seen.IsDir();
  if (row && row->seen.present) {
    Gone(tier, std::move(*row));
  }
  if (!nothing_beneath) BeneathGone(tier, path);
}

void Recorder::OtherNames(LayerIndex tier, const std::string& path, std::uint64_t inode, Feed::Change change) {
  for (LinkedName& name : NamesOf(connection_, inode)) {
    if (name.tier != tier || name.path != path) further_.push_back(Hint{name.tier, change, std::move(name.path)});
  }
}

void Recorder::Above(LayerIndex tier, const std::string& path) {
  if (path.empty()) return;
  const std::size_t slash = path.rfind('/');
  std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
  if (!further_.empty() && further_.back().tier == tier && further_.back().path == above) return;
  further_.push_back(Hint{tier, Feed::Change::kAttributes, std::move(above)});
}

void Recorder::Record(const Sight& sight) {
  // Whether an entry came, went or was replaced by another does not always show in the entry itself: its directory tells.
  if (sight.change > Feed::Change::kAttributes) Above(sight.tier, sight.path);
  if (!sight.seen.present) return Absent(sight.tier, sight.path);
  auto found = FindRow(connection_, sight.tier, sight.path);
  const bool known = found && found->seen.present;
  if (known && Same(found->seen, sight.seen) && sight.change != Feed::Change::kUnknown) return;
  Row row;
  if (known) {
    row = std::move(*found);
    if (row.seen.IsDir() && !sight.seen.IsDir()) BeneathGone(sight.tier, sight.path);
  }
  row.path = sight.path;
  row.seq = seq_;
  // A whiteout that gives way to an entry, or the reverse, is a coming and a going for whoever reads the tree.
  const bool comes = !known || (row.seen.type == kWhiteoutType && sight.seen.type != kWhiteoutType);
  if (comes) row.added = seq_;
  if (!known || NewContent(row.seen, sight.seen, sight.change)) row.content = seq_;
  const bool moved_in = !known || row.seen.inode != sight.seen.inode;
  const std::uint64_t links_before = known ? row.seen.links : 0;
  row.seen = sight.seen;
  if (!row.seen.IsFile()) row.hash.clear();
  if (const std::string hash = moved_in ? gone_.Of(sight.seen) : ""; !hash.empty()) {
    if (row.hash == hash) row.content = row.hashed;
    row.hash = hash;
    row.hashed = row.content;
  }
  PutRow(connection_, sight.tier, row);
  changed_ = true;
  if (std::max(links_before, row.seen.links) > 1) {
    OtherNames(sight.tier, sight.path, row.seen.inode, std::min(sight.change, Feed::Change::kContent));
  }
}

}  // namespace tierfs
