#include "fs/catalog/checksummer.h"

#include <ctime>

#include "fs/catalog/checksum.h"
#include "fs/os/priority.h"

namespace tierfs {
namespace {

constexpr int kPage = 256;
constexpr auto kPause = std::chrono::seconds(5);
// A file that changed less than this long ago is likely to change again.
constexpr std::int64_t kQuietNs = 5'000'000'000;

std::int64_t Now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

void Checksummer::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Checksummer::Stop() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool Checksummer::Stopping() const {
  const Lock lock(mutex_);
  return stopping_;
}

void Checksummer::Run() {
  NameThread("tierfs-sums");
  YieldToEverybody();
  const auto go_on = [this] { return !Stopping(); };
  for (;;) {
    {
      Lock lock(mutex_);
      const auto until = std::chrono::steady_clock::now() + kPause;
      while (!stopping_ && wake_.wait_until(lock, until) != std::cv_status::timeout) {
      }
      if (stopping_) return;
    }
    if (const ChangeFeed::State now = feed_.Now(); now.comparing || now.waiting >= HintQueue::kWakeAt) continue;
    const std::uint64_t before = summed_;
    for (const LayerIndex tier : tiers_) {
      for (const Unhashed which : {Unhashed::kStale, Unhashed::kNever}) {
        std::string after;
        while (SumSome(tier, which, after, true, go_on)) {
        }
      }
    }
    idle_ = summed_ == before;
  }
}

bool Checksummer::SumSome(LayerIndex tier, Unhashed which, std::string& after, bool quiet_only, const std::function<bool()>& go_on) {
  std::vector<Row> rows;
  const Status read = feed_.database().Read([&](Connection& connection) { rows = UnhashedRows(connection, tier, which, after, kPage); });
  if (!read || rows.empty()) return false;
  after = rows.back().path;
  std::vector<std::pair<const Row*, std::string>> sums;
  for (const Row& row : rows) {
    if (!go_on()) break;
    if (quiet_only && Now() - std::max(row.seen.mtime, row.seen.ctime) < kQuietNs) continue;
    const auto file = OpenAsRecorded(feed_.RootOf(tier), row);
    if (!file) {
      // The file changed without a hint, or it was recorded in the clock tick of its change.
      // Another look corrects the row. A file in use is looked at again when it is closed.
      if (row.seen.ctime == 0) feed_.Touched(tier, row.path, Feed::Change::kAttributes);
      continue;
    }
    const auto sum = ChecksumOf(file->get(), [&](std::size_t) { return go_on(); });
    if (sum && IsAsRecorded(file->get(), row)) sums.emplace_back(&row, *sum);
  }
  if (!sums.empty()) {
    const Status written = feed_.database().Write(Durability::kLazy, [&](Connection& connection) {
      for (const auto& [row, sum] : sums) PutHash(connection, tier, *row, sum);
    });
    if (written) summed_ += sums.size();
  }
  return go_on();
}

void Checksummer::SumStale(std::chrono::milliseconds budget) {
  const auto end = std::chrono::steady_clock::now() + budget;
  const auto go_on = [&] { return std::chrono::steady_clock::now() < end; };
  for (const LayerIndex tier : tiers_) {
    std::string after;
    while (SumSome(tier, Unhashed::kStale, after, false, go_on)) {
    }
  }
}

}  // namespace tierfs
