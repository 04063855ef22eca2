#include "tests/mount/fixture.h"
#include "tests/mount/unmount.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/os/mount_table.h"
#include "fs/os/unique_fd.h"

namespace tierfs::test {
namespace fs = std::filesystem;
namespace {

constexpr const char kDefaultPolicy[] = R"(4 /usr/
1 /etc/
2 /etc/ssl/private/
3 /var/cache/
3 *.tmp
)";

std::string Drain(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

// Waits for up to a minute. A daemon syncs its database as it ends, which takes long on a disk that
// other tests keep busy.
bool WaitFor(const std::function<bool()>& done) {
  for (int i = 0; i < 6000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// True once the process has ended, even if it is still a zombie.
bool HasEnded(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return true;
  return line.compare(line.rfind(')') + 2, 1, "Z") == 0;
}

std::string Environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

// Tests do not depend on the user's settings: the environment of the programs that they run, the
// umask, the files in the home directory. The system's programs come first in PATH.
class PlainSurroundings : public ::testing::Environment {
 public:
  void SetUp() override {
    std::vector<std::string> unwanted;
    for (char** each = environ; *each != nullptr; ++each) {
      const std::string name = std::string(*each).substr(0, std::string_view(*each).find('='));
      const bool wanted = name.rfind("TIERFS_", 0) == 0 || name.rfind("GTEST_", 0) == 0 || name == "PATH" || name == "TERM" ||
                          name.find("SAN_") != std::string::npos;
      if (!wanted) unwanted.push_back(name);
    }
    for (const std::string& name : unwanted) ::unsetenv(name.c_str());
    ::setenv("PATH", ("/usr/sbin:/usr/bin:/sbin:/bin:" + test::Environment("PATH", "")).c_str(), 1);
    ::setenv("HOME", "/nonexistent", 1);
    ::setenv("LC_ALL", "C", 1);
    ::umask(022);
  }
};
[[maybe_unused]] const auto* const kPlainSurroundings = ::testing::AddGlobalTestEnvironment(new PlainSurroundings);

}  // namespace

Ran Execute(const std::vector<std::string>& command) {
  // Files, not pipes: a daemon left behind by the command would keep a pipe open.
  UniqueFd out(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  UniqueFd err(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(err.get(), STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::lseek(out.get(), 0, SEEK_SET);
  ::lseek(err.get(), 0, SEEK_SET);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), Drain(out.get()), Drain(err.get())};
}

Ran Shell(const std::string& line) { return Execute({"/bin/sh", "-c", line}); }

void WriteFile(const std::string& path, const std::string& content) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  ASSERT_TRUE(file) << path << ": " << std::strerror(errno);
  ASSERT_EQ(::write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()))
      << path << ": " << std::strerror(errno);
}

std::string ReadFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(file) << path << ": " << std::strerror(errno);
  return file ? Drain(file.get()) : "";
}

struct stat Stat(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path << ": " << std::strerror(errno);
  return st;
}

bool Exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

std::string Xattr(const std::string& path, const std::string& name) {
  char value[65536];
  const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value, sizeof value);
  return size < 0 ? "" : std::string(value, static_cast<std::size_t>(size));
}

std::set<std::string> Names(const std::string& directory) {
  std::set<std::string> names;
  DIR* stream = ::opendir(directory.c_str());
  EXPECT_NE(stream, nullptr) << directory << ": " << std::strerror(errno);
  if (stream == nullptr) return names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    EXPECT_TRUE(names.insert(name).second) << name << " is listed twice";
  }
  ::closedir(stream);
  return names;
}

void MakeDirs(const std::string& path) {
  std::error_code problem;
  fs::create_directories(path, problem);
  ASSERT_FALSE(problem) << path << ": " << problem.message();
}

bool As(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(gid) != 0 || ::setuid(uid) != 0) ::_exit(2);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

MountTest::MountTest() {
  base_ = Environment("TIERFS_TEST_DIR", "/var/tmp") + "/tierfs-test-XXXXXX";
  if (::mkdtemp(base_.data()) == nullptr) throw std::runtime_error("no directory for tests: " + base_);
  base_ = fs::canonical(base_);  // the path that /proc/mounts uses
  guardian_ = std::make_unique<Guardian>(base_);
  ::chmod(base_.c_str(), 0755);
  for (int number = 1; number <= 4; ++number) UseTier(number, base_ + "/tier" + std::to_string(number));
  fs::create_directory(base_ + "/mnt");
  SetPolicy(kDefaultPolicy);
  // The daemon closes stderr once it serves. Sanitizers therefore write to a file, which TearDown
  // looks for.
  for (const char* tool : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"})
    ::setenv(tool, ("log_path=" + base_ + "/sanitizer").c_str(), 1);
}

MountTest::~MountTest() {
  UnmountBeneath(base_);
  std::error_code ignored;
  fs::remove_all(base_, ignored);
}

void MountTest::TearDown() {
  if (mounted_) Unmount();
  ExpectCleanTrees();
  for (const std::string& name : Names(base_)) {
    if (name.rfind("sanitizer.", 0) == 0) ADD_FAILURE() << ReadFile(Base(name));
  }
}

void MountTest::WriteConfig() {
  std::string text = "name = \"test\"\npolicy = \"test.tiers\"\nstate = \"" + base_ + "/state\"\n" + extra_ + "[tier]\n";
  for (int number = 1; number <= 4; ++number) text += std::to_string(number) + " = \"" + Tier(number) + "\"\n";
  WriteFile(ConfigFile(), text);
}

bool MountTest::Mount(const std::string& options) {
  WriteConfig();
  if (const Ran init = Execute({TIERCTL_BINARY, "init", ConfigFile()}); init.code != 0) {
    refusal_ = init.err;
    return false;
  }
  std::string all = Environment("TIERFS_TEST_OPTIONS", "");
  if (!options.empty()) all += (all.empty() ? "" : ",") + options;
  std::vector<std::string> command{TIERFS_BINARY, ConfigFile(), Mnt()};
  if (!all.empty()) command.insert(command.end(), {"-o", all});
  const Ran mounted = Execute(command);
  refusal_ = mounted.err;
  mounted_ = mounted.code == 0;
  return mounted_;
}

void MountTest::Unmount() {
  const int pid = DaemonPid();
  const int problem = UnmountWhenFree(Mnt());
  EXPECT_TRUE(problem == 0 || problem == EINVAL) << "umount: " << std::strerror(problem);
  if (problem == EBUSY) ::umount2(Mnt().c_str(), MNT_DETACH);
  EXPECT_GT(pid, 0) << "no daemon answered before the unmount";
  EXPECT_TRUE(WaitFor([pid] { return pid <= 0 || HasEnded(pid); })) << "the daemon did not end";
  mounted_ = false;
}

void MountTest::KillDaemon() {
  const int pid = DaemonPid();
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(WaitFor([pid] { return HasEnded(pid); }));
  ASSERT_EQ(::umount2(Mnt().c_str(), MNT_DETACH), 0) << std::strerror(errno);
  mounted_ = false;
}

int MountTest::DaemonPid() const {
  const auto status = AskDaemon(base_ + "/state", {{"verb", "status"}});
  return status ? status->value("pid", -1) : -1;
}

bool MountTest::Passthrough() const {
  const auto status = AskDaemon(base_ + "/state", {{"verb", "status"}});
  return status && status->value("passthrough", false);
}

std::set<int> MountTest::TreesWith(const std::string& path) const {
  std::set<int> trees;
  for (int number = 1; number <= 4; ++number) {
    struct stat st {};
    if (::lstat(Tier(number, path).c_str(), &st) != 0) continue;
    if (S_ISCHR(st.st_mode) && st.st_rdev == 0) continue;
    trees.insert(number);
  }
  return trees;
}

int MountTest::TierOf(const std::string& path) const {
  const std::string tier = Xattr(Mnt(path), "user.tierfs.tier");
  return tier.size() == 1 ? tier[0] - '0' : 0;
}

// No directory is left unfinished, and only the root of a tier has an xattr of tierfs.
void MountTest::ExpectCleanTrees() const {
  for (const std::string& tier : tiers_) {
    std::error_code problem;
    for (fs::recursive_directory_iterator it(tier, problem), end; it != end; it.increment(problem)) {
      char names[4096];
      const ssize_t size = ::llistxattr(it->path().c_str(), names, sizeof names);
      const std::string all(names, size > 0 ? static_cast<std::size_t>(size) : 0);
      EXPECT_EQ(all.find("tierfs"), std::string::npos) << it->path();
    }
  }
}

}  // namespace tierfs::test
