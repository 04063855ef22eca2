// tierctl verify: reads files again and compares them with the checksums that were taken when they were last written.
#include <fcntl.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <set>
#include <thread>

#include "fs/catalog/checksum.h"
#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct Request {
  std::string mount;
  int tier = 0;  // 0: each that has checksums
  bool full = false;
  double rate = 0;  // MiB a second; 0: as fast as it goes
  bool json = false;
};

class Verification {
 public:
  Verification(const Config& config, const Request& request) : config_(config), request_(request), progress_("") {}

  // An error line when it could not be done.
  tl::expected<void, std::string> Run() {
    std::vector<int> tiers;
    for (const TierId tier : config_.feed) {
      if (NumberOf(tier) <= 2 && (request_.tier == 0 || request_.tier == NumberOf(tier))) tiers.push_back(NumberOf(tier));
    }
    for (const int tier : tiers) {
      auto counted = ReadCatalogue(config_, [&](Connection& connection) {
        const FileCount count = CountFiles(connection, LayerOf(static_cast<TierId>(tier)), request_.full);
        to_do_.files += count.files;
        to_do_.bytes += count.bytes;
      });
      if (!counted) return counted;
    }
    start_ = Clock::now();
    for (const int tier : tiers) {
      if (auto done = VerifyTier(tier); !done) return done;
    }
    return {};
  }

  void Report() const {
    const double seconds = std::max(1e-3, std::chrono::duration<double>(Clock::now() - start_).count());
    if (request_.json) {
      return PrintJson({{"files", files_},
                        {"bytes", bytes_},
                        {"seconds", seconds},
                        {"without_checksum", without_},
                        {"changed_since", changed_},
                        {"corrupt", corrupt_},
                        {"unreadable", unreadable_}});
    }
    for (const auto& entry : corrupt_) {
      std::cout << "corrupt: tier " << entry["tier"] << " " << Quoted(entry["path"].get<std::string>()) << "\n  recorded "
                << entry["recorded"].get<std::string>() << "\n  found    " << entry["found"].get<std::string>() << "\n";
    }
    for (const auto& entry : unreadable_) {
      std::cout << "unreadable: tier " << entry["tier"] << " " << Quoted(entry["path"].get<std::string>()) << ": "
                << entry["error"].get<std::string>() << "\n";
    }
    std::cout << files_ << " files, " << HumanSize(bytes_) << " in " << static_cast<std::uint64_t>(seconds) << " s, "
              << HumanSize(static_cast<std::uint64_t>(static_cast<double>(bytes_) / seconds)) << "/s; " << corrupt_.size() << " corrupt, "
              << unreadable_.size() << " unreadable, " << changed_ << " changed or in use meanwhile, " << without_
              << " without a checksum yet\n";
  }
  [[nodiscard]] bool AllWell() const { return corrupt_.empty() && unreadable_.empty(); }

 private:
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
      ++without_;
      if (!request_.full) return;
    }
    // One file with several names is read once.
    if (row.seen.links > 1 && !linked_.insert({tier, row.seen.inode}).second) return;
    const auto file = OpenAsRecorded(root, row);
    if (!file) {
      if (file.error().code == EIO || file.error().code == EUCLEAN) return Unreadable(tier, row, file.error());
      ++changed_;
      return;
    }
    // What the page cache holds says nothing about the disk.
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
    const auto sum = ChecksumOf(file->get(), [this](std::size_t bytes) { return Read(bytes); });
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
    if (!sum) return Unreadable(tier, row, sum.error());
    if (!IsAsRecorded(file->get(), row)) {
      ++changed_;
      return;
    }
    ++files_;
    if (!has_sum || *sum == row.hash) return;
    nlohmann::json entry = PathToJson(row.path);
    entry.update({{"tier", tier}, {"recorded", HexOf(row.hash)}, {"found", HexOf(*sum)}});
    corrupt_.push_back(std::move(entry));
  }

  void Unreadable(int tier, const Row& row, const Error& error) {
    nlohmann::json entry = PathToJson(row.path);
    entry.update({{"tier", tier}, {"error", std::strerror(error.code)}});
    unreadable_.push_back(std::move(entry));
  }

  bool Read(std::size_t bytes) {
    bytes_ += bytes;
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const double due = request_.rate > 0 ? static_cast<double>(bytes_) / (request_.rate * 1024 * 1024) : 0;
    if (due > seconds) std::this_thread::sleep_for(std::chrono::duration<double>(due - seconds));
    if (Clock::now() - shown_ > std::chrono::milliseconds(200)) {
      shown_ = Clock::now();
      const double rate = static_cast<double>(bytes_) / std::max(0.1, seconds);
      const double left = to_do_.bytes > bytes_ ? static_cast<double>(to_do_.bytes - bytes_) / std::max(1.0, rate) : 0;
      progress_.Show("verified " + HumanSize(bytes_) + " of " + HumanSize(to_do_.bytes) + ", " +
                     HumanSize(static_cast<std::uint64_t>(rate)) + "/s, " + std::to_string(static_cast<std::uint64_t>(left)) + " s left");
    }
    return true;
  }

  const Config& config_;
  const Request& request_;
  Progress progress_;
  FileCount to_do_;
  std::uint64_t files_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t without_ = 0;
  std::uint64_t changed_ = 0;
  nlohmann::json corrupt_ = nlohmann::json::array();
  nlohmann::json unreadable_ = nlohmann::json::array();
  std::set<std::pair<int, std::uint64_t>> linked_;
  Clock::time_point start_;
  Clock::time_point shown_;
};

void Verify(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  // What was written a moment ago is recorded first. Where no daemon runs, what changed since is told by its times.
  (void)Ask(*config, {{"verb", "seal"}});
  Verification verification(*config, request);
  if (const auto done = verification.Run(); !done) {
    std::cerr << done.error() << "\n";
    outcome.code = kCannot;
    return;
  }
  verification.Report();
  if (!verification.AllWell()) outcome.code = kCorrupt;
}

}  // namespace

void AddVerify(CLI::App& app, Outcome& outcome) {
  auto* verb =
      app.add_subcommand("verify", "Reads files of tiers 1 and 2 again and reports those that changed without anybody writing to them");
  auto request = std::make_shared<Request>();
  verb->add_option("MOUNT", request->mount, "config file, mountpoint or name")->required();
  verb->add_option("-t,--tier", request->tier, "only this tier")->check(CLI::Range(1, 2));
  verb->add_flag("--full", request->full, "read files too that have no checksum yet: that shows which cannot be read");
  verb->add_option("-r,--rate", request->rate, "read at most so many MiB a second")->check(CLI::PositiveNumber);
  verb->add_flag("--json", request->json, "for programs");
  verb->footer(
      "Works mounted and unmounted. A file counts as corrupt when its content differs from its checksum while its size and times are "
      "those\n"
      "that it had when the checksum was taken. Exit code 5: there are such files, or some that cannot be read.");
  verb->callback([request, &outcome] { Verify(*request, outcome); });
}

}  // namespace tierfs::tools
