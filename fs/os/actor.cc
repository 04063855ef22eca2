#include "fs/os/actor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <string_view>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

using Clock = std::chrono::steady_clock;

// Names of at most 15 bytes, as the kernel cuts them.
constexpr std::array<std::string_view, 20> kWholeJobs = {
    "apt", "apt-get", "aptitude", "unattended-upgr", "dpkg", "ucf",      "update-alternat", "rpm", "dnf", "yum", "zypper", "apk", "pacman",
    "pip", "pip3",    "npm",      "cargo",           "gem",  "composer", "ansible-playboo"};
constexpr char kBlank = '_';      // in place of a byte that is not printable
constexpr int kGenerations = 24;  // how far up to look
// A process that stays the same for this long is not read again.
constexpr auto kFresh = std::chrono::milliseconds(200);

std::string ReadProc(pid_t pid, const char* file) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text;
  const ssize_t length = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  return length <= 0 ? "" : std::string(text.data(), static_cast<std::size_t>(length));
}

std::string NameOf(pid_t pid) {
  std::string name = ReadProc(pid, "comm");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  for (char& c : name) {
    if (static_cast<unsigned char>(c) < 0x21 || static_cast<unsigned char>(c) > 0x7E) c = kBlank;
  }
  return name;
}

// The fields of /proc/PID/stat after the name, which may hold blanks and parentheses (proc(5)).
struct Stat {
  pid_t parent = 0;
  std::uint64_t started = 0;
};
std::optional<Stat> StatOf(pid_t pid) {
  const std::string text = ReadProc(pid, "stat");
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::vector<std::string_view> fields;
  const std::string_view rest = std::string_view(text).substr(name_end + 1);
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t begin = rest.find_first_not_of(' ', at);
    if (begin == std::string_view::npos) break;
    at = std::min(rest.find(' ', begin), rest.size());
    fields.push_back(rest.substr(begin, at - begin));
  }
  constexpr std::size_t kParent = 1;    // field 4, after the state
  constexpr std::size_t kStarted = 19;  // field 22
  if (fields.size() <= kStarted) return std::nullopt;
  Stat stat;
  std::from_chars(fields[kParent].begin(), fields[kParent].end(), stat.parent);
  std::from_chars(fields[kStarted].begin(), fields[kStarted].end(), stat.started);
  return stat;
}

// A request names the thread. Its process is the thread group.
pid_t ProcessOf(pid_t thread) {
  const std::string status = ReadProc(thread, "status");
  constexpr std::string_view kKey = "\nTgid:\t";
  const std::size_t at = status.find(kKey);
  pid_t process = thread;
  if (at != std::string::npos) std::from_chars(status.data() + at + kKey.size(), status.data() + status.size(), process);
  return process;
}

// The innermost service or scope in the path of a cgroup; "" if there is none.
std::string UnitIn(std::string_view path) {
  for (std::size_t end = path.size(); end > 0;) {
    const std::size_t slash = path.rfind('/', end - 1);
    if (slash == std::string_view::npos) break;
    const std::string_view part = path.substr(slash + 1, end - slash - 1);
    if (part.ends_with(".service") || part.ends_with(".scope")) return std::string(part);
    end = slash;
  }
  return "";
}

// The file has a line a hierarchy (cgroups(7)): the unified one, which is 0, and of version 1 that
// of systemd. The others, of one resource each, need not have a group for each unit.
std::string UnitOf(pid_t pid) {
  const std::string text = ReadProc(pid, "cgroup");
  std::string unit;
  for (std::size_t at = 0; at < text.size() && unit.empty();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (line.starts_with("0::") || line.find(":name=systemd:") != std::string_view::npos) unit = UnitIn(line);
    at = end + 1;
  }
  return unit;
}

std::optional<uid_t> LoginOf(pid_t pid) {
  const std::string text = ReadProc(pid, "loginuid");
  uid_t login = 0;
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), login);
  if (problem != std::errc() || login == static_cast<uid_t>(-1)) return std::nullopt;
  return login;
}

std::optional<uid_t> OwnerOf(pid_t pid) {
  struct stat st;
  if (::stat(("/proc/" + std::to_string(pid)).c_str(), &st) != 0) return std::nullopt;
  return st.st_uid;
}

// Some programs put more into their name: "npm install".
bool IsWholeJob(std::string_view name) {
  const std::string_view word = name.substr(0, name.find(kBlank));
  return std::find(kWholeJobs.begin(), kWholeJobs.end(), word) != kWholeJobs.end();
}

// The highest package manager or configuration tool at or above the process, or the process.
pid_t JobOf(pid_t process) {
  pid_t job = process;
  pid_t each = process;
  for (int up = 0; up < kGenerations && each > 1; ++up) {
    if (IsWholeJob(NameOf(each))) job = each;
    const auto stat = StatOf(each);
    if (!stat) break;
    each = stat->parent;
  }
  return job;
}

// Owns what was read lately. Thread-safe.
class Lately {
 public:
  std::shared_ptr<const Actor> Find(const Caller& caller, const std::string& name) {
    const Lock lock(mutex_);
    const Known& known = known_[Slot(caller.pid)];
    const bool same = known.thread == caller.pid && known.uid == caller.uid && known.name == name;
    return same && Clock::now() - known.at < kFresh ? known.actor : nullptr;
  }
  void Remember(const Caller& caller, const std::string& name, std::shared_ptr<const Actor> actor) {
    const Lock lock(mutex_);
    known_[Slot(caller.pid)] = Known{caller.pid, caller.uid, name, std::move(actor), Clock::now()};
  }

 private:
  struct Known {
    pid_t thread = 0;
    uid_t uid = 0;  // a file server works for many users in one thread
    std::string name;
    std::shared_ptr<const Actor> actor;
    Clock::time_point at;
  };
  static constexpr std::size_t kSlots = 64;
  static std::size_t Slot(pid_t thread) { return static_cast<std::size_t>(thread) % kSlots; }

  Mutex mutex_;
  std::array<Known, kSlots> known_ GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<const Actor> ActorOf(const Caller& caller) {
  static Lately lately;
  if (caller.pid <= 0) return nullptr;
  const std::string name = NameOf(caller.pid);
  if (name.empty()) return nullptr;
  if (auto known = lately.Find(caller, name)) return known;
  const pid_t process = ProcessOf(caller.pid);
  const pid_t job = JobOf(process);
  auto actor = std::make_shared<Actor>();
  actor->uid = job == process ? caller.uid : OwnerOf(job).value_or(caller.uid);
  actor->login = LoginOf(caller.pid);
  actor->pid = job;
  actor->program = NameOf(job);
  if (actor->program.empty()) actor->program = name;
  actor->unit = UnitOf(job);
  actor->works_as_a_whole = IsWholeJob(actor->program);
  if (const auto stat = StatOf(job)) actor->started = stat->started;
  lately.Remember(caller, name, actor);
  return actor;
}

bool IsRunning(const Actor& actor) {
  const auto stat = StatOf(actor.pid);
  return stat && stat->started == actor.started;
}

}  // namespace tierfs
