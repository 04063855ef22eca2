// The cost of a user's operations: the requests that reach the daemon, and the daemon's system
// calls for them. Nothing is timed: the test fails if a count rises, on any machine.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <thread>

#include "fs/control/control.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

using Counts = std::map<std::string, int>;

std::string Text(const Counts& counts) {
  std::string text;
  for (const auto& [name, count] : counts) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
  return text.empty() ? "none" : text;
}

Counts Difference(const Counts& after, const Counts& before) {
  Counts difference;
  for (const auto& [name, count] : after) {
    const auto at = before.find(name);
    if (const int more = count - (at == before.end() ? 0 : at->second); more != 0) difference[name] = more;
  }
  return difference;
}

class Cost : public MountTest {
 protected:
  void SetUp() override {
    SetPolicy("1 *.conf\n3 *.tmp\n4 /bulk/\n");
    AddToConfig("cache_timeout = 3600");
    ASSERT_TRUE(Mount()) << Refusal();
  }

  // All requests but those that no operation causes: forget, which the kernel sends by itself, and
  // statfs, because programs such as df ask every mount.
  [[nodiscard]] Counts Requests() const {
    const auto status = AskDaemon(Base("state"), {{"verb", "status"}});
    if (!status) return {};
    Counts counts = status->at("requests").get<Counts>();
    counts.erase("forget");
    counts.erase("statfs");
    return counts;
  }

  // Expects that `operation` causes these requests. The kernel reports a close to the daemon some
  // time after close(2) returns.
  void ExpectRequests(const char* what, const Counts& expected, const std::function<void()>& operation) {
    Counts before = Requests();
    for (int i = 0; i < 500 && before["open"] + before["create"] != before["release"]; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      before = Requests();
    }
    operation();
    Counts seen;
    for (int i = 0; i < 200; ++i) {
      seen = Difference(Requests(), before);
      if (seen == expected) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    seen = Difference(Requests(), before);
    EXPECT_EQ(seen, expected) << what << " costs " << Text(seen) << ", expected " << Text(expected);
  }

  // The daemon's system calls while `operation` runs. Not counted: calls that receive requests or
  // start threads, sigaltstack (a sanitizer's), and fstatfs, the reply to df.
  Counts SystemCalls(const std::function<void()>& operation) {
    const std::string log = Base("strace");
    const std::string said = Base("strace.err");
    const std::string daemon = std::to_string(DaemonPid());
    ::unlink(said.c_str());
    const pid_t tracer = ::fork();
    if (tracer == 0) {
      const int err = ::open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(err, STDERR_FILENO);
      ::execlp("strace", "strace", "-f", "-ttt", "-o", log.c_str(), "-p", daemon.c_str(), nullptr);
      ::_exit(127);
    }
    // strace prints "attached" or "attached with N threads", in one line, once it traces every
    // thread.
    const auto attached = [&] { return Exists(said) && ReadFile(said).find("attached") != std::string::npos; };
    int waited = 0;
    while (waited < 500 && !attached()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ++waited;
    }
    EXPECT_LT(waited, 500) << "strace did not attach: " << (Exists(said) ? ReadFile(said) : "");
    // The daemon may still be busy with the question for its pid.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const double started = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    operation();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ::kill(tracer, SIGINT);
    int status = 0;
    ::waitpid(tracer, &status, 0);

    const std::regex call(R"(^(\d+) +(\d+\.\d+) (\w+)\()");
    const std::regex transport(
        "read|readv|write|writev|splice|vmsplice|tee|pipe2|poll|ppoll|futex|io_uring_enter|clock_nanosleep|clone3?|mmap|munmap|mprotect|"
        "madvise|brk|rseq|set_robust_list|prctl|rt_sig\\w+|sched_\\w+|gettid|unshare|exit|restart_syscall|"
        "sigaltstack|fstatfs");
    std::map<std::string, Counts> threads;
    // The other threads work for the catalogue, at any time.
    std::set<std::string> answering;
    std::ifstream lines(log);
    for (std::string line; std::getline(lines, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, call)) continue;
      // Skips a new thread, which opens the device and clones the connection.
      if (line.find("/dev/fuse") != std::string::npos || (match[3] == "ioctl" && line.find("_IOC_WRITE, 0xe5") == std::string::npos)) {
        continue;
      }
      if (std::stod(match[2]) < started) continue;
      if (match[3] == "writev" || match[3] == "io_uring_enter") answering.insert(match[1]);
      if (!std::regex_match(match[3].str(), transport)) ++threads[match[1]][match[3]];
    }
    Counts counts;
    for (const std::string& thread : answering) {
      for (const auto& [name, count] : threads[thread]) counts[name] += count;
    }
    return counts;
  }

  void ExpectAtMost(const char* what, const Counts& expected, const std::function<void()>& operation) {
    const Counts seen = SystemCalls(operation);
    for (const auto& [name, count] : seen) {
      const auto at = expected.find(name);
      EXPECT_LE(count, at == expected.end() ? 0 : at->second)
          << name << ": " << what << " costs " << Text(seen) << ", at most " << Text(expected);
    }
    EXPECT_FALSE(seen.empty()) << what << ": nothing was traced";
  }

  void Touch(const std::string& name) { WriteFile(Mnt(name), "x"); }
  static void Walk(const std::string& directory) {
    DIR* const stream = ::opendir(directory.c_str());
    ASSERT_NE(stream, nullptr);
    while (::readdir(stream) != nullptr) continue;
    ::closedir(stream);
  }
  static void ReadWhole(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY);
    ASSERT_GE(fd, 0);
    char byte = 0;
    EXPECT_EQ(::pread(fd, &byte, 1, 0), 1);
    ::close(fd);
  }
};

TEST_F(Cost, CachedEntriesCostNoRequest) {
  MakeDirs(Mnt("d"));
  for (int i = 0; i < 20; ++i) Touch("d/" + std::to_string(i));
  struct stat st;
  EXPECT_EQ(Errno(::stat(Mnt("d/absent").c_str(), &st)), ENOENT);
  for (int i = 0; i < 20; ++i) Stat(Mnt("d/" + std::to_string(i)));
  Walk(Mnt("d"));
  Walk(Mnt("d"));
  ExpectRequests("a warm stat", {}, [&] { Stat(Mnt("d/7")); });
  ExpectRequests("a warm negative stat", {}, [&] { EXPECT_EQ(Errno(::stat(Mnt("d/absent").c_str(), &st)), ENOENT); });
  ExpectRequests("a warm listing", {}, [&] { Walk(Mnt("d")); });
  ExpectRequests("a warm walk with stat", {}, [&] { EXPECT_EQ(Shell("find " + Mnt("d") + " -ls >/dev/null").code, 0); });
}

TEST_F(Cost, RequestsOfOperationsOnFiles) {
  MakeDirs(Mnt("d"));
  for (const char* name : {"d/a", "d/b", "d/e", "d/f.tmp"}) Touch(name);
  ReadWhole(Mnt("d/a"));
  // After a change of a directory, the kernel asks for its attributes at the next use. The stat
  // takes that request out of the count.
  const auto expect = [&](const char* what, const Counts& expected, const std::function<void()>& operation) {
    Stat(Mnt("d"));
    ExpectRequests(what, expected, operation);
  };
  // The kernel's page cache holds the file, with and without passthrough.
  expect("open, read, close of a known file", {{"open", 1}, {"release", 1}}, [&] { ReadWhole(Mnt("d/a")); });
  // At the first write to an inode the kernel asks for its file capabilities, because a write
  // clears them.
  Counts creation{{"lookup", 1}, {"create", 1}, {"getxattr", 1}, {"release", 1}};
  Counts rewriting{{"open", 1}, {"release", 1}};
  if (!Passthrough()) {
    creation["write"] = rewriting["write"] = 1;
  }
  expect("create, write, close", creation, [&] { Touch("d/new"); });
  expect("open, write, close", rewriting, [&] { Touch("d/new"); });
  // Before a rename the kernel looks the target up again. Before a creation it checks that the name
  // is absent.
  expect("rename", {{"lookup", 1}, {"rename", 1}}, [&] { ASSERT_EQ(::rename(Mnt("d/a").c_str(), Mnt("d/c").c_str()), 0); });
  expect("rename between tiers", {{"lookup", 1}, {"rename", 1}},
         [&] { ASSERT_EQ(::rename(Mnt("d/f.tmp").c_str(), Mnt("d/e").c_str()), 0); });
  expect("unlink", {{"unlink", 1}}, [&] { ASSERT_EQ(::unlink(Mnt("d/b").c_str()), 0); });
  expect("mkdir", {{"lookup", 1}, {"mkdir", 1}}, [&] { ASSERT_EQ(::mkdir(Mnt("d/sub").c_str(), 0755), 0); });
  expect("rmdir", {{"rmdir", 1}}, [&] { ASSERT_EQ(::rmdir(Mnt("d/sub").c_str()), 0); });
  expect("chmod", {{"setattr", 1}}, [&] { ASSERT_EQ(::chmod(Mnt("d/c").c_str(), 0600), 0); });
}

TEST_F(Cost, AColdWalkCostsListingsOnly) {
  MakeDirs(Mnt("d"));
  for (int i = 0; i < 100; ++i) Touch("d/" + std::to_string(i));
  Remount();
  Stat(Mnt("d"));
  const auto walk = [&] { EXPECT_EQ(Shell("find " + Mnt("d") + " -ls >/dev/null").code, 0); };
  // The reply to opendir says that the kernel need not send further ones. A readdir finds the end.
  ExpectRequests("a cold walk with stat over 100 files", {{"opendir", 1}, {"readdirplus", 1}, {"readdir", 1}}, walk);
  // The listing changed the access time of the directory.
  ExpectRequests("the walk again", {{"getattr", 1}}, walk);
}

// The directory is in one tier only, one that the catalogue does not track: the number of calls of
// the catalogue's own thread varies.
TEST_F(Cost, SystemCallsOfOperationsOnFiles) {
  MakeDirs(Mnt("bulk"));
  for (const char* name : {"bulk/a", "bulk/b", "bulk/c"}) Touch(name);
  ReadWhole(Mnt("bulk/a"));
  Counts opening{{"openat", 1}, {"newfstatat", 1}, {"close", 1}};
  // The caller's identity and umask, the capabilities of the new file, and its generation.
  Counts creation{{"newfstatat", 2}, {"openat", 1},   {"close", 1},     {"umask", 2},
                  {"setfsuid", 1},   {"setfsgid", 1}, {"lgetxattr", 1}, {"name_to_handle_at", 1}};
  if (Passthrough()) {
    creation["ioctl"] = opening["ioctl"] = 2;
  } else {
    // A write looks for setuid and setgid bits first.
    creation["pwrite64"] = 1;
    ++creation["newfstatat"];
  }
  const auto expect = [&](const char* what, const Counts& expected, const std::function<void()>& operation) {
    Stat(Mnt("bulk"));
    ExpectAtMost(what, expected, operation);
  };
  expect("open, read, close of a known file", opening, [&] { ReadWhole(Mnt("bulk/a")); });
  expect("create, write, close", creation, [&] { Touch("bulk/new"); });
  struct stat st;
  expect("a cold stat", {{"newfstatat", 1}}, [&] { EXPECT_EQ(Errno(::stat(Mnt("bulk/absent").c_str(), &st)), ENOENT); });
  expect("rename", {{"newfstatat", 3}, {"renameat", 1}}, [&] { ASSERT_EQ(::rename(Mnt("bulk/a").c_str(), Mnt("bulk/z").c_str()), 0); });
  expect("unlink", {{"newfstatat", 2}, {"openat", 1}, {"unlinkat", 1}, {"close", 1}},
         [&] { ASSERT_EQ(::unlink(Mnt("bulk/b").c_str()), 0); });
}

}  // namespace
}  // namespace tierfs::test
