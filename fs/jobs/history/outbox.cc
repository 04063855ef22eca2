#include "fs/jobs/history/outbox.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "fs/jobs/history/remote.h"
#include "fs/os/priority.h"

namespace tierfs::history {
namespace {

constexpr auto kLook = std::chrono::seconds(1);
constexpr auto kCommandPatience = std::chrono::minutes(1);
constexpr auto kFirstDelay = std::chrono::seconds(30);
constexpr auto kLongestDelay = std::chrono::hours(1);
constexpr std::uint64_t kTidyEvery = 200;  // commits

}  // namespace

void Outbox::Start() {
  thread_ = std::thread([this] { Run(); });
  if (!config_.version->remote.empty()) pushes_ = std::thread([this] { RunPushes(); });
}

void Outbox::Stop() {
  stopping_ = true;
  {
    const Lock lock(mutex_);
    wake_.notify_all();
    answered_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (pushes_.joinable()) pushes_.join();
}

void Outbox::Committed(const std::vector<std::string>& commits) {
  const Lock lock(mutex_);
  commits_.insert(commits_.end(), commits.begin(), commits.end());
  wake_.notify_all();
}

Outcome<protocol::Pushed> Outbox::PushNow() {
  const std::string& remote = config_.version->remote;
  if (remote.empty()) return tl::unexpected("no remote to push to; add to [version] in " + config_.file + ": remote = \"...\"");
  Lock lock(mutex_);
  const std::uint64_t ticket = ++asked_;
  wake_.notify_all();
  while (done_ < ticket && !stopping_) answered_.wait(lock);
  if (stopping_) return tl::unexpected(std::string("the mount is ending"));
  if (!trouble_.empty()) return tl::unexpected(trouble_);
  return protocol::Pushed{Remote(remote).address(), pushed_};
}

void Outbox::Describe(protocol::HistoryStatus& status) const {
  status.remote = Remote(config_.version->remote).address();
  status.in_backup = config_.version->in_backup;
  const Lock lock(mutex_);
  status.push_trouble = trouble_;
  status.not_pushed = unpushed_.commits;
  status.not_pushed_since = unpushed_.since;
}

void Outbox::RunCommand(const std::string& commit) {
  Command command;
  command.arguments = config_.version->on_commit;
  command.environment = {"TIERFS_COMMIT=" + commit, "TIERFS_MOUNT=" + config_.name, "TIERFS_REPO=" + repository_.directory()};
  std::string last;
  command.error = [&last](const std::string& line) { last = line; };
  command.umask = 077;  // the daemon itself has none
  command.cancelled = &stopping_;
  command.patience = kCommandPatience;
  const auto code = RunProcess(command);
  if (!code) {
    spdlog::error("history: on_commit: {}: {}", command.arguments.front(), std::strerror(code.error().code));
  } else if (*code != 0) {
    spdlog::error("history: on_commit: {} ended with {}{}{}", command.arguments.front(), *code, last.empty() ? "" : ": ", last);
  }
}

void Outbox::Count() {
  if (config_.version->remote.empty()) return;
  const auto unpushed = repository_.NotPushed(config_.version->remote);
  if (!unpushed) return;
  const Lock lock(mutex_);
  unpushed_ = *unpushed;
}

void Outbox::Push(bool asked) {
  Repository::Unpushed waiting;
  {
    const Lock lock(mutex_);
    waiting = unpushed_;
  }
  if (!asked && (waiting.commits == 0 || Clock::now() < next_push_)) return;
  const auto pushed = repository_.Push(config_.version->remote, stopping_);
  if (stopping_) return;
  Count();
  const Lock lock(mutex_);
  if (pushed) {
    if (!trouble_.empty()) spdlog::info("history: pushed to {} again", Remote(config_.version->remote).address());
    trouble_.clear();
    delay_ = {};
    pushed_ = waiting.commits;
    next_push_ = Clock::now() + config_.version->push_every;
    return;
  }
  if (trouble_ != pushed.error()) spdlog::error("history: push to {}: {}", Remote(config_.version->remote).address(), pushed.error());
  trouble_ = pushed.error();
  delay_ = delay_.count() == 0 ? kFirstDelay : std::min<std::chrono::milliseconds>(delay_ * 2, kLongestDelay);
  next_push_ = Clock::now() + std::max(delay_, config_.version->push_every);
}

void Outbox::Run() {
  NameThread("tierfs-outbox");
  StepAside();
  try {
    Count();
  } catch (const std::exception& problem) {
    spdlog::error("history: {}", problem.what());
  }
  while (!stopping_) {
    std::vector<std::string> commits;
    {
      Lock lock(mutex_);
      if (commits_.empty() && !stopping_) wake_.wait_for(lock, kLook);
      commits = std::exchange(commits_, {});
    }
    // An exception would end the daemon, and the mount with it.
    try {
      Work(commits);
    } catch (const std::exception& problem) {
      spdlog::error("history: after a commit: {}", problem.what());
    }
  }
}

void Outbox::Work(const std::vector<std::string>& commits) {
  if (commits.empty()) return;
  Count();
  if (!config_.version->on_commit.empty()) {
    for (const std::string& commit : commits) {
      if (!stopping_) RunCommand(commit);
    }
  }
  since_tidy_ += commits.size();
  if (since_tidy_ < kTidyEvery || stopping_) return;
  since_tidy_ = 0;
  if (const auto tidied = repository_.TidyUp(stopping_); !tidied && !stopping_)
    spdlog::warn("history: git gc in {}: {}", repository_.directory(), tidied.error());
}

void Outbox::RunPushes() {
  NameThread("tierfs-push");
  StepAside();
  while (!stopping_) {
    std::uint64_t asked = 0;
    bool asked_now = false;
    {
      Lock lock(mutex_);
      if (asked_ == done_ && !stopping_) wake_.wait_for(lock, kLook);
      asked = asked_;
      asked_now = asked_ != done_;
    }
    if (stopping_) return;
    try {
      if (asked_now) Count();
      Push(asked_now);
    } catch (const std::exception& problem) {
      spdlog::error("history: push: {}", problem.what());
    }
    const Lock lock(mutex_);
    done_ = asked;
    answered_.notify_all();
  }
}

}  // namespace tierfs::history
