#include "fs/jobs/backup/recorded.h"

#include <cstdlib>

#include "fs/catalog/entries.h"
#include "fs/jobs/live_mount.h"

namespace tierfs {

namespace {

BackupResult<void> ForEach(const Config& config, TierId tier, const std::function<void(const Row&)>& visit) {
  constexpr int kPage = 5000;
  const auto read = ReadCatalogue(config, [&](Connection& connection) {
    std::optional<std::string> last;
    for (;;) {
      const std::vector<Row> rows = RowsBeneath(connection, LayerOf(tier), "", last, kPage);
      for (const Row& row : rows) {
        if (row.seen.present) visit(row);
      }
      if (rows.size() < kPage) return;
      last = rows.back().path;
    }
  });
  if (!read) return tl::unexpected(BackupError{false, read.error()});
  return {};
}

}  // namespace

BackupResult<void> ForEachOfType(const Config& config, TierId tier, std::uint32_t type,
                                 const std::function<void(const std::string& path)>& visit) {
  return ForEach(config, tier, [&](const Row& row) {
    if (row.seen.type == type) visit(row.path);
  });
}

BackupResult<RecordedTree> RecordedTree::Read(const Config& config, TierId tier) {
  RecordedTree tree;
  TIERFS_TRY(ForEach(config, tier, [&](const Row& row) {
    Entry& entry = tree.entries_[Lossy(row.path)];
    entry.seen = row.seen;
    ++entry.names;
  }));
  return tree;
}

void RecordedTree::Saw(const std::string& path, const Listed& listed) {
  const auto found = entries_.find(path);
  if (found == entries_.end()) {
    differing_.push_back(path);
    return;
  }
  Entry& entry = found->second;
  ++entry.listed;
  const Observed& seen = entry.seen;
  const std::uint32_t type = seen.type == kWhiteoutType ? S_IFCHR : seen.type;
  bool same = type == listed.type;
  if (same && seen.IsFile()) {
    same = (listed.size < 0 || listed.size == seen.size) && std::llabs(listed.mtime - seen.mtime) <= listed.mtime_rounding;
  }
  if (!same && entry.names == 1) differing_.push_back(path);
}

std::vector<std::string> RecordedTree::Differing(std::uint32_t left_out) const {
  std::vector<std::string> differing = differing_;
  for (const auto& [path, entry] : entries_) {
    if (entry.listed != entry.names && !(entry.listed == 0 && entry.seen.type == left_out)) differing.push_back(path);
  }
  return differing;
}

}  // namespace tierfs
