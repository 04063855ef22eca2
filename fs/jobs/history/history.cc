#include "fs/jobs/history/history.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "fs/jobs/history/noted_names.h"
#include "fs/os/fault.h"
#include "fs/os/priority.h"

namespace tierfs::history {
namespace {

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kFirstRetry{2};
constexpr std::chrono::seconds kLastRetry{60};
// In a status, which is one line of JSON: an odd byte takes six.
constexpr std::size_t kMaxHeld = 100;
constexpr std::size_t kMaxHeldBytes = 100'000;
// So long after the unmount git may work. The next mount commits the rest.
constexpr std::chrono::seconds kGrace{20};

std::string TextOf(const Catalog& catalog, const Error& error) {
  const std::string trouble = catalog.health().CurrentTrouble();
  return trouble.empty() ? std::string(error.step) + ": " + std::strerror(error.code) : trouble;
}

}  // namespace

History::History(const Config& config, Catalog& catalog, ActorLog& log, TreeHost host)
    : config_(config),
      catalog_(catalog),
      host_(std::move(host)),
      outbox_(config),
      schedule_(*config.version, log),
      committer_(config, host_, cancelled_) {
  status_.on = true;
  status_.repository = config.version->repo;
}

void History::Start() {
  outbox_.Start();
  thread_ = std::thread([this] { Run(); });
}

void History::Stop() {
  if (!thread_.joinable()) return;
  EndWaiting();
  {
    Lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    const auto limit = Clock::now() + kGrace;
    while (!ended_ && Clock::now() < limit) answered_.wait_for(lock, limit - Clock::now());
  }
  cancelled_ = true;
  thread_.join();
}

void History::EndWaiting() {
  {
    const Lock lock(mutex_);
    ending_ = true;
    answered_.notify_all();
  }
  outbox_.Stop();
}

protocol::HistoryStatus History::Now() const {
  protocol::HistoryStatus status;
  {
    const Lock lock(mutex_);
    status = status_;
  }
  status.waiting = std::max<std::uint64_t>(status.waiting, schedule_.size());
  outbox_.Describe(status);
  return status;
}

Outcome<protocol::Committed> History::CommitNow() {
  Lock lock(mutex_);
  const std::uint64_t ticket = ++asked_;
  wake_.notify_all();
  while (done_ < ticket && !ending_) answered_.wait(lock);
  if (done_ < ticket) return tl::unexpected(std::string("the mount is ending"));
  return answer_;
}

Outcome<protocol::GateChanged> History::ReloadGate(const std::vector<std::string>& paths) {
  if (auto applied = host_.apply_gate_rules(); !applied) return tl::unexpected(applied.error());
  for (const std::string& path : paths) host_.settle(path);
  const Lock lock(mutex_);
  gate_changed_ = true;
  wake_.notify_all();
  return protocol::GateChanged{paths.size()};
}

History::Task History::WaitForTask() {
  Lock lock(mutex_);
  if (!stopping_ && asked_ == done_ && !gate_changed_) wake_.wait_for(lock, kTick);
  if (asked_ != done_) return Task::kCommit;
  if (gate_changed_ && !stopping_) return Task::kGate;
  return stopping_ ? Task::kStop : Task::kLook;
}

Outcome<void> History::Ready() {
  bool gate_changed = false;
  {
    const Lock lock(mutex_);
    gate_changed = std::exchange(gate_changed_, false);
  }
  if (!loaded_) {
    if (auto loaded = committer_.Load(); !loaded) return loaded;
    loaded_ = true;
    compare_ = true;
  } else if (gate_changed) {
    const auto held = committer_.ReloadGate();
    if (!held) return tl::unexpected(held.error());
    unsettled_.insert(held->begin(), held->end());
    next_look_ = {};
  }
  return {};
}

bool History::SomethingIsDue(Clock::time_point now) {
  if (now < not_before_) return false;
  if (!loaded_ || compare_ || (now >= next_look_ && SomethingIsNew(now))) return true;
  schedule_.Update();
  return !schedule_.notes().empty() && schedule_.SomethingIsDue(host_.open_for_writing(), now);
}

bool History::SomethingIsNew(Clock::time_point now) {
  next_look_ = now + std::max<Clock::duration>(config_.version->at_most, std::chrono::seconds(1));
  if (!unsettled_.empty()) return true;
  Token token;
  const Status read = catalog_.database().Read([&](Connection& connection) {
    token = Token{DatabaseId(connection), MetaNumber(connection, "seq")};
  });
  if (!read || !listed_ || token.database != listed_->database || token.seq != listed_->seq) return true;
  if (!HeadMoved()) return false;
  loaded_ = false;
  return true;
}

bool History::HeadMoved() const {
  const auto head = committer_.repository().Head();
  if (!head) return true;
  return head->has_value() != committer_.head().has_value() || (*head && (*head)->id != committer_.head()->id);
}

Outcome<std::set<std::string>> History::Changed() {
  std::set<std::string> paths = unsettled_;
  bool everything = compare_;
  const Status read = catalog_.database().Read([&](Connection& connection) {
    const auto since = everything ? std::nullopt : listed_;
    const Full full = ListChanges(connection, ActorFeed::kLayer, since, [&](const tierfs::ChangedPath& each) { paths.insert(each.path); });
    everything = full != Full::kNo;
  });
  if (!read) return tl::unexpected(TextOf(catalog_, read.error()));
  // A listing of everything does not have what was removed.
  if (everything) {
    for (const auto& [path, item] : committer_.items()) paths.insert(path);
    paths.insert("");
  }
  return paths;
}

std::vector<Batch> History::BatchesOf(const std::set<std::string>& paths, const std::set<std::string>& open, Extent extent,
                                      Clock::time_point now, std::set<std::string>& unsettled) const {
  std::vector<Batch> batches;
  std::map<Actor, std::size_t> by_actor;
  std::optional<std::size_t> unknown;
  const NotedNames names(config_.tiers[0], schedule_.notes(), paths);
  for (const std::string& path : paths) {
    const auto [note, name] = names.Of(path);
    const bool is_open = open.contains(path) || open.contains(name);
    const bool due = extent == Extent::kSettled ? note == nullptr || schedule_.IsDue(*note, is_open, now) : !is_open;
    if (!due) {
      unsettled.insert(path);
      continue;
    }
    const auto actor = note == nullptr ? nullptr : note->actor;
    const std::size_t at = actor ? by_actor.try_emplace(*actor, batches.size()).first->second : unknown.value_or(batches.size());
    if (!actor) unknown = at;
    if (at == batches.size()) batches.push_back(Batch{actor, {}});
    batches[at].paths.insert(path);
  }
  return batches;
}

Outcome<std::vector<std::string>> History::Pass(Extent extent) {
  if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
  const auto now = Clock::now();
  const auto token = catalog_.Seal();
  if (!token) return tl::unexpected(TextOf(catalog_, token.error()));
  const auto paths = Changed();
  if (!paths) return tl::unexpected(paths.error());
  listed_ = *token;     // changes that came meanwhile are listed once more
  unsettled_ = *paths;  // until they are committed
  std::set<std::string> unsettled;
  schedule_.Update();
  const auto open = host_.open_for_writing();
  const auto batches = BatchesOf(*paths, open, extent, now, unsettled);
  Fault::Here("history.listed");
  const auto done = committer_.Commit(batches, {covered_, listed_->Render(), !unsettled.empty()});
  if (!done) return tl::unexpected(done.error());
  compare_ = false;
  unsettled.insert(done->again.begin(), done->again.end());
  unsettled.insert(done->later.begin(), done->later.end());
  schedule_.Committed(unsettled, done->later, open, now);
  unsettled_ = std::move(unsettled);
  if (unsettled_.empty()) covered_ = listed_->Render();
  Fault::Here("history.noted");
  made_ += done->commits.size();
  if (!done->commits.empty()) outbox_.Committed(done->commits);
  if (!done->trouble.empty()) return tl::unexpected(done->trouble);
  return done->commits;
}

void History::Publish(const std::string& trouble) {
  const Lock lock(mutex_);
  if (!trouble.empty() && trouble != status_.trouble) spdlog::error("history: {}", trouble);
  if (trouble.empty() && !status_.trouble.empty()) spdlog::info("history: commits again");
  status_.trouble = trouble;
  status_.commits = made_;
  status_.waiting = unsettled_.size();
  if (const auto& head = committer_.head()) {
    status_.head = head->id;
    status_.head_time = head->time;
  }
  status_.held.clear();
  status_.held_count = committer_.held().size();
  std::size_t bytes = 0;
  for (const auto& [path, reason] : committer_.held()) {
    bytes += path.size() + reason.size();
    if (status_.held.size() < kMaxHeld && bytes < kMaxHeldBytes) status_.held.push_back({path, reason});
  }
}

Outcome<std::vector<std::string>> History::TryPass(Extent extent) {
  // An exception would end the daemon, and the mount with it.
  try {
    auto commits = Pass(extent);
    if (commits || !loaded_ || !HeadMoved()) return commits;
    loaded_ = false;  // another program has changed the repository
    return Pass(extent);
  } catch (const std::exception& problem) {
    return tl::unexpected(std::string(problem.what()));
  }
}

void History::Run() {
  NameThread("tierfs-history");
  StepAside();
  for (;;) {
    const Task task = WaitForTask();
    if (task == Task::kLook && !SomethingIsDue(Clock::now())) continue;
    std::uint64_t ticket = 0;
    {
      const Lock lock(mutex_);
      ticket = asked_;
    }
    const auto commits = TryPass(task == Task::kCommit || task == Task::kStop ? Extent::kAll : Extent::kSettled);
    retry_ = commits ? std::chrono::seconds(0) : std::clamp(retry_ * 2, kFirstRetry, kLastRetry);
    if (!commits) loaded_ = false;
    not_before_ = Clock::now() + retry_;
    Publish(commits ? "" : commits.error());
    const Lock lock(mutex_);
    if (task == Task::kCommit) {
      answer_ = commits ? Outcome<protocol::Committed>(protocol::Committed{*commits, status_.head, unsettled_.size()})
                        : tl::unexpected(commits.error());
      done_ = ticket;
    }
    ended_ = task == Task::kStop;
    answered_.notify_all();
    if (ended_) return;
  }
}

}  // namespace tierfs::history
