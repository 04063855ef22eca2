// tierctl snapshot: tiers 1 and 2 as they were at one instant.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <iostream>

#include "fs/os/process.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/signals.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

using protocol::SnapshotState;

struct Request {
  std::string mount;
  std::vector<std::string> command;
  bool dry_run = false;
  bool json = false;
};

std::string TimeOf(std::int64_t nanoseconds) {
  const std::time_t seconds = nanoseconds / 1'000'000'000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

bool IsFlawed(const SnapshotState& state) { return !state.lost.empty() || !state.mapped.empty() || !state.torn.empty(); }

// The flaws of a backup of the snapshot, one line each.
void PrintFlaws(const SnapshotState& state, std::ostream& out) {
  if (!state.lost.empty()) out << "LOST: " << state.lost << "\n";
  for (const protocol::MappedFile& file : state.mapped) {
    out << "not held: " << Printable(file.path) << ": mapped for writing by " << Printable(file.program) << " (process " << file.pid
        << "); the snapshot may show it half changed\n";
  }
  for (const std::string& path : state.torn) {
    out << "not held: " << Printable(path) << ": was changed by splice(2) or through a mapping; the snapshot may show it half changed\n";
  }
  for (const std::string& warning : state.warnings) out << "warning: " << warning << "\n";
}

void Print(const SnapshotState& state) {
  if (state.standing) {
    std::cout << "snapshot of " << TimeOf(state.created) << " at " << state.path << "\n";
  } else {
    std::cout << "no snapshot; one would be at " << state.path << "\n";
  }
  std::cout << "level     " << state.level << (state.reason.empty() ? "" : ": " + state.reason) << "\n";
  if (state.standing) {
    std::cout << "changes   were held for " << (state.pause + 500) / 1000 << " us\n";
    std::cout << "kept      " << HumanSize(state.kept_bytes) << " copied, of " << state.changed_files << " files that changed since\n";
    if (state.owner != 0) std::cout << "ends      with process " << state.owner << "\n";
    if (!state.token.empty()) std::cout << "token     " << state.token << "\n";
  }
  PrintFlaws(state, std::cout);
}

// Says why there is no reply, and sets the exit code.
bool IsRefused(const tl::expected<SnapshotState, std::string>& reply, Outcome& outcome) {
  if (reply) return false;
  std::cerr << reply.error() << "\n";
  outcome.code = kCannot;
  return true;
}

void Report(const Request& request, const tl::expected<SnapshotState, std::string>& reply, Outcome& outcome) {
  if (IsRefused(reply, outcome)) return;
  if (request.json) {
    PrintJson(*reply);
  } else {
    Print(*reply);
  }
  if (IsFlawed(*reply)) outcome.code = kFindings;
}

void Create(const Request& request, Outcome& outcome) {
  if (const auto config = ConfigFor(request.mount, outcome))
    Report(request, Ask(*config, protocol::CreateSnapshot{request.dry_run, 0}), outcome);
}

void Show(const Request& request, Outcome& outcome) {
  if (const auto config = ConfigFor(request.mount, outcome)) Report(request, Ask(*config, protocol::ShowSnapshot{}), outcome);
}

void List(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto state = Ask(*config, protocol::ShowSnapshot{});
  if (IsRefused(state, outcome)) return;
  if (request.json) {
    PrintJson(state->standing ? nlohmann::json::array({*state}) : nlohmann::json::array());
  } else if (state->standing) {
    std::cout << TimeOf(state->created) << "  " << state->level << "  " << HumanSize(state->kept_bytes) << "  " << state->path
              << (state->lost.empty() ? "" : "  LOST: " + state->lost) << "\n";
  }
}

void Delete(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto last = Ask(*config, protocol::DeleteSnapshot{});
  if (IsRefused(last, outcome)) return;
  if (request.json) {
    PrintJson(*last);
  } else {
    std::cout << "deleted; " << HumanSize(last->kept_bytes) << " had been copied, of " << last->changed_files << " files that changed\n";
    PrintFlaws(*last, std::cout);
  }
  if (IsFlawed(*last)) outcome.code = kFindings;
}

// Runs the command with the caller's terminal. Returns its exit code, or 128 + the signal that
// ended it. The caller holds back the signals that end a program: the command gets its own from the
// terminal, and the snapshot is deleted after it.
int RunCommand(const std::vector<std::string>& command, const std::string& snapshot) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::setenv("TIERFS_SNAPSHOT", snapshot.c_str(), 1);
    ::execvp(words[0], words.data());
    const int error = errno;
    std::cerr << "tierctl: cannot run " << command[0] << ": " << std::strerror(error) << "\n";
    ::_exit(error == ENOENT ? 127 : 126);
  }
  if (child < 0) {
    std::cerr << "tierctl: fork: " << std::strerror(errno) << "\n";
    return 126;
  }
  // A SIGTERM for tierctl alone is passed on.
  sigset_t ends;
  ::sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&ends, signal);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const timespec patience{0, 100'000'000};
    const int got = ::sigtimedwait(&ends, nullptr, &patience);
    if (got == SIGTERM || got == SIGHUP) ::kill(child, got);
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void Run(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const SignalsHeld held;
  const auto made = Ask(*config, protocol::CreateSnapshot{false, ::getpid()});
  if (IsRefused(made, outcome)) return;
  const int code = RunCommand(request.command, made->path);
  const auto last = Ask(*config, protocol::DeleteSnapshot{});
  outcome.code = code;
  if (!last) {
    std::cerr << last.error() << "\n";
    if (code == 0) outcome.code = kCannot;
    return;
  }
  PrintFlaws(*last, std::cerr);
  if (code == 0 && IsFlawed(*last)) outcome.code = kFindings;
}

std::shared_ptr<Request> AddRequest(Verb verb) {
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  return request;
}

void AddPart(Verb verb, const char* name, const char* help, void (*run)(const Request&, Outcome&), Outcome& outcome, bool may_try = false) {
  const Verb part = verb.AddVerb(name, help);
  auto request = AddRequest(part);
  part.AddFlag("--json", request->json, "for programs");
  if (may_try) part.AddFlag("-n,--dry-run", request->dry_run, "only tell which level it would have, and what it could not hold");
  part.OnRun([request, run, &outcome] { run(*request, outcome); });
}

}  // namespace

void AddSnapshot(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("snapshot", "Shows tiers 1 and 2 as they were at one instant, for a backup");
  verb.NeedsVerb();
  AddPart(verb, "create", "Makes the snapshot, with the hooks of the config", &Create, outcome, true);
  AddPart(verb, "list", "Lists the snapshot, if there is one", &List, outcome);
  AddPart(verb, "show", "Shows the level, what was kept, and what could not be held", &Show, outcome);
  AddPart(verb, "delete", "Deletes the snapshot", &Delete, outcome);
  const Verb run = verb.AddVerb("run", "Makes the snapshot, runs a command, deletes it: tierctl snapshot run MOUNT -- CMD");
  auto request = AddRequest(run);
  run.AddOption("CMD", request->command, "the command and its arguments, after --").Required();
  run.Footer(
      "The command finds the path of the snapshot in TIERFS_SNAPSHOT; tier1 and tier2 are beneath it. The exit code is that of\n"
      "the command; 1 if it was 0, but the snapshot was lost, or showed a file that could not be held; 3 if there was no\n"
      "snapshot, and then the command has not run. If tierctl is killed, the daemon deletes the snapshot.");
  run.OnRun([request, &outcome] { Run(*request, outcome); });
}

}  // namespace tierfs::tools
