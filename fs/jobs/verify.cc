#include "fs/jobs/verify.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "fs/catalog/checksum.h"
#include "fs/jobs/live_mount.h"

namespace tierfs::verify {
namespace {

using Clock = std::chrono::steady_clock;

class Verification {
 public:
  Verification(const Config& config, const Request& request, const std::function<void(const Progress&)>& progress)
      : config_(config), request_(request), progress_(progress) {}

  tl::expected<Report, std::string> Run() {
    std::vector<int> tiers;
    for (const TierId tier : config_.feed) {
      if (NumberOf(tier) <= 2 && (request_.tier == 0 || request_.tier == NumberOf(tier))) tiers.push_back(NumberOf(tier));
    }
    for (const int tier : tiers) {
      const auto counted = ReadCatalogue(config_, [&](Connection& connection) {
        all_bytes_ += CountFiles(connection, LayerOf(static_cast<TierId>(tier)), request_.full).bytes;
      });
      if (!counted) return tl::unexpected(counted.error());
    }
    start_ = Clock::now();
    for (const int tier : tiers) {
      if (const auto done = VerifyTier(tier); !done) return tl::unexpected(done.error());
    }
    report_.seconds = std::max(1e-3, Seconds());  // callers divide by it
    return std::move(report_);
  }

 private:
  [[nodiscard]] double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  tl::expected<void, std::string> VerifyTier(int tier) {
    const LayerIndex layer = LayerOf(static_cast<TierId>(tier));
    const UniqueFd root(::open(config_.tiers[layer].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return tl::unexpected("tierctl: " + config_.tiers[layer] + ": " + std::strerror(errno));
    constexpr int kPage = 500;
    std::string after;
    for (;;) {
      std::vector<Row> rows;
      auto read = ReadCatalogue(config_, [&](Connection& connection) { rows = FileRows(connection, layer, after, kPage); });
      if (!read) return read;
      if (rows.empty()) return {};
      after = rows.back().path;
      for (const Row& row : rows) VerifyFile(tier, root.get(), row);
    }
  }

  void VerifyFile(int tier, int root, const Row& row) {
    const bool has_sum = !row.hash.empty() && row.hashed == row.content;
    if (!has_sum) {
      ++report_.without_checksum;
      if (!request_.full) return;
    }
    // A file with several names is read once.
    if (row.seen.links > 1 && !linked_.insert({tier, row.seen.inode}).second) return;
    const auto file = OpenAsRecorded(root, row);
    if (!file) {
      const int error = file.error().code;
      if (error == EIO || error == EUCLEAN) return report_.unreadable.push_back({tier, row.path, error});
      ++report_.changed;
      return;
    }
    // Drop the page cache: cached data proves nothing about the disk.
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
    const auto sum = ChecksumOf(file->get(), [this](std::size_t bytes) { return Read(bytes); });
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
    if (!sum) return report_.unreadable.push_back({tier, row.path, sum.error().code});
    if (!IsAsRecorded(file->get(), row)) {
      ++report_.changed;
      return;
    }
    ++report_.files;
    if (has_sum && *sum != row.hash) report_.corrupt.push_back({tier, row.path, HexOf(row.hash), HexOf(*sum)});
  }

  // Counts a piece that was read, and sleeps as the rate demands.
  bool Read(std::size_t bytes) {
    report_.bytes += bytes;
    const double seconds = Seconds();
    const double due = request_.rate > 0 ? static_cast<double>(report_.bytes) / (request_.rate * 1024 * 1024) : 0;
    if (due > seconds) std::this_thread::sleep_for(std::chrono::duration<double>(due - seconds));
    if (Clock::now() - shown_ > std::chrono::milliseconds(200)) {
      shown_ = Clock::now();
      progress_({report_.bytes, all_bytes_, seconds});
    }
    return true;
  }

  const Config& config_;
  const Request& request_;
  const std::function<void(const Progress&)>& progress_;
  Report report_;
  std::uint64_t all_bytes_ = 0;
  std::set<std::pair<int, std::uint64_t>> linked_;
  Clock::time_point start_;
  Clock::time_point shown_;
};

}  // namespace

tl::expected<Report, std::string> Verify(const Config& config, const Request& request,
                                         const std::function<void(const Progress&)>& progress) {
  // Have recent writes recorded first. Without a daemon, the times show the changes since the last
  // record.
  if (FindDaemon(config.state)) {
    if (auto ready = CheckReady(config); !ready) return tl::unexpected(std::move(ready.error()));
    (void)Ask(config, protocol::Seal{});
  }
  return Verification(config, request, progress).Run();
}

}  // namespace tierfs::verify
