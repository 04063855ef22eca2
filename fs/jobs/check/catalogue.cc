// Checks the catalogue by itself and against the trees.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <thread>

#include "fs/catalog/database.h"
#include "fs/catalog/entries.h"
#include "fs/catalog/observed.h"
#include "fs/catalog/schema.h"
#include "fs/jobs/check/check.h"
#include "fs/jobs/live_mount.h"
#include "fs/os/paths.h"

namespace tierfs::check {
namespace {

constexpr std::size_t kExamples = 5;

bool Differs(const std::optional<Row>& row, const Observed& seen) { return !(row ? row->seen : Observed{}).MayBe(seen); }

// Returns the paths whose rows and entries differ. Merges two sorted lists.
std::vector<std::string> Differing(const Config& config, LayerIndex layer, int root, const Progress& progress, std::uint64_t& seen) {
  std::vector<std::string> paths;
  std::vector<Row> page;
  std::size_t in_page = 0;
  std::optional<std::string> last;
  bool more = true;
  const auto peek = [&]() -> const Row* {
    while (in_page == page.size() && more) {
      in_page = 0;
      page.clear();
      constexpr int kPage = 5000;
      if (!ReadCatalogue(config, [&](Connection& connection) { page = RowsBeneath(connection, layer, "", last, kPage); })) more = false;
      more = more && page.size() >= kPage;
      if (!page.empty()) last = page.back().path;
      std::erase_if(page, [](const Row& row) { return !row.seen.present; });
    }
    return in_page < page.size() ? &page[in_page] : nullptr;
  };
  TreeWalk walk(root, "");
  TreeWalk::Item item;
  bool walking = walk.Next(item).value_or(false);
  for (const Row* row = peek(); walking || row != nullptr; row = peek()) {
    const int order = !walking ? 1 : row == nullptr ? -1 : StoredPath(item.path).compare(StoredPath(row->path));
    if (order > 0 || (order == 0 && Differs(*row, item.observed))) {
      paths.push_back(row->path);
    } else if (order < 0) {
      paths.push_back(item.path);
    }
    if (order >= 0) ++in_page;
    if (order <= 0) walking = walk.Next(item).value_or(false);
    if (++seen % 10000 == 0) progress(seen);
  }
  return paths;
}

Repaired RemoveDatabase(const Config& config) {
  // Everything in the catalogue can be rebuilt from the trees, except this.
  std::size_t open = 0;
  (void)ReadCatalogue(config, [&](Connection& connection) { open = SelectIntents(connection).size(); });
  if (open > 0) {
    return tl::unexpected(std::to_string(open) +
                          " unfinished operations are recorded in it; the next mount finishes them and moves it aside");
  }
  for (const char* part : {"-wal", "-shm", ""}) {
    std::error_code problem;
    std::filesystem::remove(config.state + "/catalog.db" + part, problem);
    if (problem) return tl::unexpected(problem.message());
  }
  return {};
}

Repaired Rescan(const Config& config) {
  const auto reply = Ask(config, protocol::Rescan{});
  if (!reply) return tl::unexpected(reply.error());
  return {};
}

// Returns false if the database cannot be read any further.
bool CheckDatabase(const Subject& subject, std::vector<Finding>& findings) {
  const Config& config = subject.config;
  std::string wrong;
  const auto read = ReadCatalogue(config, [&](Connection& connection) {
    if (const int version = connection.database().execAndGet("PRAGMA user_version").getInt(); version != kSchemaVersion) {
      wrong = "it is of version " + std::to_string(version) + ", this is version " + std::to_string(kSchemaVersion);
      return;
    }
    const std::string answer = connection.database().execAndGet("PRAGMA integrity_check(1)").getString();
    if (answer != "ok") wrong = answer;
  });
  if (!read) wrong = read.error();
  if (wrong.empty()) return true;
  Finding finding{"catalogue-damaged", "", wrong, "", {}};
  if (subject.mounted) {
    finding.cure = "unmount, run `tierctl check --repair` and mount again: a new one is built from the trees";
  } else {
    finding.cure = "--repair removes it; the next mount builds a new one from the trees";
    finding.repair = [&config] { return RemoveDatabase(config); };
  }
  findings.push_back(std::move(finding));
  return false;
}

void CheckIntents(const Subject& subject, std::vector<Finding>& findings) {
  std::vector<std::pair<std::int64_t, Intent>> open;
  const auto look = [&] {
    std::vector<std::pair<std::int64_t, Intent>> now;
    (void)ReadCatalogue(subject.config, [&](Connection& connection) { now = SelectIntents(connection); });
    return now;
  };
  open = look();
  if (subject.mounted && !open.empty()) {
    // Intents of operations in progress come and go; only a lasting one is a finding.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    const auto later = look();
    std::erase_if(open, [&](const auto& each) {
      return std::none_of(later.begin(), later.end(), [&](const auto& other) { return other.first == each.first; });
    });
  }
  for (const auto& [id, intent] : open) {
    findings.push_back({"open-intent",
                        "",
                        intent.what,
                        subject.mounted ? "it is under way; if it persists, unmount and mount again: that finishes or undoes it"
                                        : "mount it: the operation is finished or undone before the first request is answered",
                        {}});
  }
}

}  // namespace

std::vector<Finding> CheckCatalogue(const Subject& subject, const Progress& progress) {
  const Config& config = subject.config;
  std::vector<Finding> findings;
  std::error_code ignored;
  // The next mount makes it.
  if (!std::filesystem::exists(config.state + "/catalog.db", ignored)) return findings;
  if (subject.mounted && !config.feed.empty()) {
    if (const auto sealed = Ask(config, protocol::Seal{}); !sealed) {
      findings.push_back({"catalogue-damaged",
                          "",
                          sealed.error(),
                          "`tierctl status` says what is wrong; free disk space or correct the permissions, then run `tierctl rescan`",
                          {}});
      return findings;
    }
  }
  if (!CheckDatabase(subject, findings)) return findings;
  CheckIntents(subject, findings);
  // Changes since then are taken in by the next mount.
  if (!subject.mounted) return findings;
  std::uint64_t seen = 0;
  for (const TierId tier : config.feed) {
    const LayerIndex layer = LayerOf(tier);
    const UniqueFd root(::open(config.tiers[layer].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) continue;  // the check of the trees has reported it
    std::vector<std::string> paths = Differing(config, layer, root.get(), progress, seen);
    if (!paths.empty()) {
      // Changes made during the comparison are recorded once Seal returns.
      (void)Ask(config, protocol::Seal{});
      (void)ReadCatalogue(config, [&](Connection& connection) {
        std::erase_if(paths, [&](const std::string& path) {
          const auto now = Observer(root.get()).At(path);
          return now && !Differs(FindRow(connection, layer, path), *now);
        });
      });
    }
    if (paths.empty()) continue;
    std::string what = std::to_string(paths.size()) + " entries of tier " + std::to_string(NumberOf(tier)) + " are not as recorded:";
    for (std::size_t i = 0; i < std::min(paths.size(), kExamples); ++i) what += " " + Quoted(paths[i]);
    findings.push_back({"catalogue-differs", "", what, "`tierctl rescan` takes in changes made directly in the tree",
                        [&config] { return Rescan(config); }});
  }
  return findings;
}

}  // namespace tierfs::check
