#include "fs/jobs/history/history.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "fs/os/fault.h"
#include "fs/os/paths.h"
#include "fs/os/priority.h"

namespace tierfs::history {
namespace {

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kFirstRetry{2};
constexpr std::chrono::seconds kLastRetry{60};
constexpr std::size_t kMaxHeld = 100;  // in a status

std::string TextOf(const Catalog& catalog, const Error& error) {
  const std::string trouble = catalog.health().CurrentTrouble();
  return trouble.empty() ? std::string(error.step) + ": " + std::strerror(error.code) : trouble;
}

// The note that says who changed the path: its own, or that of a directory above that came or went
// as a whole.
const Noted* NoteOf(const std::map<std::string, Noted>& notes, const std::string& path) {
  const auto own = notes.find(path);
  if (own != notes.end()) return &own->second;
  for (std::string above = path; !above.empty();) {
    above = ParentOf(above);
    const auto found = notes.find(above);
    if (found != notes.end() && found->second.beneath) return &found->second;
  }
  return nullptr;
}

}  // namespace

History::History(const Config& config, Catalog& catalog, ActorLog& log, TreeHost host)
    : config_(config), catalog_(catalog), log_(log), host_(std::move(host)), outbox_(config), committer_(config, host_) {
  status_.on = true;
  status_.repository = config.version->repo;
}

void History::Start() {
  outbox_.Start();
  thread_ = std::thread([this] { Run(); });
}

void History::Stop() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  outbox_.Stop();
}

protocol::HistoryStatus History::Now() const {
  protocol::HistoryStatus status;
  {
    const Lock lock(mutex_);
    status = status_;
  }
  status.waiting = std::max<std::uint64_t>(status.waiting, log_.size());
  outbox_.Describe(status);
  return status;
}

Outcome<protocol::Committed> History::CommitNow() {
  Lock lock(mutex_);
  const std::uint64_t ticket = ++asked_;
  wake_.notify_all();
  while (done_ < ticket && !stopping_) answered_.wait(lock);
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

void History::SeeWholeJobs(const std::map<std::string, Noted>& notes) {
  whole_jobs_.clear();
  for (const auto& [path, noted] : notes) {
    if (!noted.actor || !noted.actor->works_as_a_whole) continue;
    auto& last = whole_jobs_.try_emplace(*noted.actor, noted.last).first->second;
    last = std::max(last, noted.last);
  }
  // A job that runs may change something at any moment.
  for (auto& [actor, last] : whole_jobs_) {
    if (IsRunning(actor)) last = Clock::time_point::max();
  }
}

bool History::IsDue(const Noted& noted, bool open, Clock::time_point now) const {
  const VersionConfig& version = *config_.version;
  if (noted.actor && noted.actor->works_as_a_whole) {
    const auto job = whole_jobs_.find(*noted.actor);
    if (now - noted.first >= kWholeJobLimit) return true;
    if (job != whole_jobs_.end() && (job->second == Clock::time_point::max() || now - job->second < version.settle)) return false;
    return !open;
  }
  if (now - noted.first >= version.at_most) return true;
  return !open && now - noted.last >= version.settle;
}

bool History::SomethingIsDue(Clock::time_point now) {
  if (now < not_before_) return false;
  if (!loaded_ || compare_ || (now >= next_look_ && SomethingIsNew(now))) return true;
  const auto notes = log_.Now();
  if (notes.empty()) return false;
  SeeWholeJobs(notes);
  const auto open = host_.open_for_writing();
  return std::any_of(notes.begin(), notes.end(), [&](const auto& each) { return IsDue(each.second, open.contains(each.first), now); });
}

bool History::SomethingIsNew(Clock::time_point now) {
  next_look_ = now + std::max<Clock::duration>(config_.version->at_most, std::chrono::seconds(1));
  if (!unsettled_.empty()) return true;
  Sequence seq = 0;
  const Status read = catalog_.database().Read([&](Connection& connection) { seq = MetaNumber(connection, "seq"); });
  if (!read || !listed_ || seq != listed_->seq) return true;
  const auto head = committer_.repository().Head();
  if (head && head->has_value() == committer_.head().has_value() && (!*head || (*head)->id == committer_.head()->id)) return false;
  loaded_ = false;
  return true;
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

std::vector<Batch> History::BatchesOf(const std::set<std::string>& paths, Extent extent, Clock::time_point now,
                                      std::set<std::string>& unsettled) {
  const auto notes = log_.Now();
  SeeWholeJobs(notes);
  const auto open = host_.open_for_writing();
  std::vector<Batch> batches;
  std::map<Actor, std::size_t> by_actor;
  std::optional<std::size_t> unknown;
  for (const std::string& path : paths) {
    const Noted* note = NoteOf(notes, path);
    if (note != nullptr && extent == Extent::kSettled && !IsDue(*note, open.contains(path), now)) {
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

void History::ForgetNotes(const std::set<std::string>& unsettled, Clock::time_point before) {
  const auto open = host_.open_for_writing();
  for (const auto& [path, note] : log_.Now()) {
    if (unsettled.contains(path)) continue;
    if (!open.contains(path)) {
      // A note without a change: the file was opened and closed, or made and removed.
      if (IsDue(note, false, before) || note.last <= before) log_.Forget(path, before);
    } else if (before - note.first >= config_.version->at_most) {
      log_.Restart(path);
    }
  }
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
  const auto batches = BatchesOf(*paths, extent, now, unsettled);
  Fault::Here("history.listed");
  const auto done = committer_.Commit(batches, {covered_.empty() ? listed_->Render() : covered_, listed_->Render(), !unsettled.empty()});
  if (!done) return tl::unexpected(done.error());
  compare_ = false;
  unsettled.insert(done->again.begin(), done->again.end());
  ForgetNotes(unsettled, now);
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
  for (const auto& [path, reason] : committer_.held()) {
    if (status_.held.size() < kMaxHeld) status_.held.push_back({path, reason});
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
    const Extent extent = task == Task::kLook ? Extent::kSettled : Extent::kAll;
    auto commits = Pass(extent);
    if (!commits) {
      loaded_ = false;  // another program may have changed the repository
      commits = Pass(extent);
    }
    retry_ = commits ? std::chrono::seconds(0) : std::clamp(retry_ * 2, kFirstRetry, kLastRetry);
    if (!commits) {
      loaded_ = false;
      not_before_ = Clock::now() + retry_;
    }
    Publish(commits ? "" : commits.error());
    if (task == Task::kStop) return;
    const Lock lock(mutex_);
    if (task == Task::kCommit) {
      answer_ = commits ? Outcome<protocol::Committed>(protocol::Committed{*commits, status_.head, unsettled_.size()})
                        : tl::unexpected(commits.error());
    }
    if (task == Task::kCommit) done_ = ticket;
    answered_.notify_all();
  }
}

}  // namespace tierfs::history
