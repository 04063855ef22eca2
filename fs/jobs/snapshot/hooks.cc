#include "fs/jobs/snapshot/hooks.h"

#include <sys/stat.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "fs/os/last_line.h"
#include "fs/os/process.h"

namespace tierfs::snapshot {
namespace {

using When = SnapshotHook::When;
using std::chrono::milliseconds;

constexpr std::array<const char*, 3> kNames{"pre", "hold", "post"};
constexpr const char* kSign = "READY";
constexpr mode_t kUmask = 077;
// Until the output of a program that has ended is read.
constexpr auto kLastWords = std::chrono::seconds(1);

const char* NameOf(When when) { return kNames[static_cast<std::size_t>(when)]; }

std::string Shown(milliseconds time) {
  const auto count = time.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

std::string With(std::string problem, const std::string& last_error) {
  return last_error.empty() ? problem : std::move(problem) + ": " + last_error;
}

std::string Ended(int code) { return "ended with exit code " + std::to_string(code); }
std::string NotStarted(const Error& error) { return std::string("could not be started: ") + std::strerror(error.code); }

std::string Printable(const std::string& text) {
  LastLine line;
  line.Add(text);
  return line.text();
}

}  // namespace

Hooks::Hooks(const std::vector<SnapshotHook>& hooks, std::vector<std::string> environment)
    : hooks_(hooks), environment_(std::move(environment)) {}

Hooks::~Hooks() { EndHolds(); }

tl::expected<void, std::string> Hooks::Prepare() {
  auto prepared = PrepareAll(When::kPre);
  if (prepared) prepared = PrepareAll(When::kHold);
  if (!prepared) EndHolds();
  return prepared;
}

tl::expected<void, std::string> Hooks::PrepareAll(When when) {
  for (std::size_t at = 0; at < hooks_.size(); ++at) {
    if (hooks_[at].when != when) continue;
    const std::string problem = when == When::kHold ? Start(at) : Run(hooks_[at]);
    if (problem.empty()) continue;
    if (hooks_[at].must_succeed) return tl::unexpected(Named(at, problem));
    warnings_.push_back(Named(at, problem));
  }
  return {};
}

std::string Hooks::Run(const SnapshotHook& hook) const {
  Command command = CommandOf(hook);
  LastLine last_error;
  command.raw_output = [](std::string_view) {};
  command.raw_error = [&last_error](std::string_view bytes) { last_error.Add(bytes); };
  command.patience = hook.timeout;
  command.own_session = true;
  const auto code = RunProcess(command);
  if (!code && code.error().code == ETIME) return With("timed out after " + Shown(hook.timeout), last_error.text());
  if (!code) return NotStarted(code.error());
  return *code == 0 ? "" : With(Ended(*code), last_error.text());
}

std::string Hooks::Start(std::size_t at) {
  const SnapshotHook& hook = hooks_[at];
  auto started = Child::Start(CommandOf(hook), kSign);
  if (!started) return NotStarted(started.error());
  std::unique_ptr<Child> child = std::move(*started);
  if (child->AwaitSign(hook.timeout)) {
    holds_.push_back({at, std::move(child)});
    return "";
  }
  const std::optional<int> code = child->ExitCode();
  child->Kill();
  const std::string what = child->printed() ? "did not print a line READY" : "printed nothing";
  return With((code ? Ended(*code) : "timed out after " + Shown(hook.timeout)) + " and " + what, child->LastError());
}

tl::expected<void, std::string> Hooks::StillHolding() {
  std::vector<Hold> alive;
  std::string failure;
  for (Hold& hold : holds_) {
    const std::optional<int> code = hold.child->ExitCode();
    if (!code) {
      alive.push_back(std::move(hold));
      continue;
    }
    static_cast<void>(hold.child->AwaitEnd(kLastWords));
    std::string problem = Named(hold.at, With(Ended(*code) + " before the snapshot was taken", hold.child->LastError()));
    if (!hooks_[hold.at].must_succeed) {
      warnings_.push_back(std::move(problem));
    } else if (failure.empty()) {
      failure = std::move(problem);
    }
  }
  holds_ = std::move(alive);
  if (!failure.empty()) return tl::unexpected(failure);
  return {};
}

void Hooks::EndHolds() {
  const auto closed = std::chrono::steady_clock::now();
  for (Hold& hold : holds_) hold.child->CloseInput();
  for (Hold& hold : holds_) {
    const milliseconds timeout = hooks_[hold.at].timeout;
    const auto passed = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - closed);
    std::string problem;
    if (!hold.child->AwaitEnd(timeout - passed)) {
      hold.child->Kill();
      problem = "timed out after " + Shown(timeout) + ": it did not end when its standard input was closed";
    } else if (const auto code = hold.child->ExitCode(); code && *code != 0) {
      problem = Ended(*code);
    }
    if (!problem.empty()) warnings_.push_back(Named(hold.at, With(problem, hold.child->LastError())));
  }
  holds_.clear();
}

void Hooks::Finish() {
  EndHolds();
  for (std::size_t at = 0; at < hooks_.size(); ++at) {
    if (hooks_[at].when != When::kPost) continue;
    const std::string problem = Run(hooks_[at]);
    if (!problem.empty()) warnings_.push_back(Named(at, problem));
  }
}

Command Hooks::CommandOf(const SnapshotHook& hook) const {
  Command command;
  command.environment = environment_;
  command.environment.push_back(std::string("TIERFS_HOOK=") + NameOf(hook.when));
  if (!hook.container.empty()) {
    command.arguments = {"docker", "exec"};
    if (hook.when == When::kHold) command.arguments.emplace_back("-i");
    for (const std::string& word : command.environment) command.arguments.insert(command.arguments.end(), {"-e", word});
    command.arguments.push_back(hook.container);
  }
  command.arguments.insert(command.arguments.end(), hook.run.begin(), hook.run.end());
  command.umask = kUmask;
  return command;
}

std::string Hooks::Named(std::size_t at, const std::string& problem) const {
  const SnapshotHook& hook = hooks_[at];
  const std::string container = hook.container.empty() ? "" : " in " + Printable(hook.container);
  return std::string(NameOf(hook.when)) + " hook " + std::to_string(at + 1) + " (" + Printable(hook.run.front()) + container + ") " +
         problem;
}

}  // namespace tierfs::snapshot
