// Several workers, each with its own files, use lower layers and tiers on several disks, while one
// policy after another moves all files to and fro. No worker sees a difference, and the trees are
// in order at the end.
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

constexpr int kWorkers = 3;
constexpr auto kWorkingTime = std::chrono::seconds(6);
constexpr const char* kDirectories[] = {"a", "cache", "etc", "usr", "a/cache", "usr/etc"};
constexpr const char* kNames[] = {"one", "two.tmp", "three.conf", "four.dat"};

// A worker that knows the content of its files below `root` and fails the test at the first
// difference.
class Worker {
 public:
  Worker(std::string root, unsigned seed) : root_(std::move(root)), random_(seed) {}

  void Make() {
    for (const char* directory : kDirectories) {
      MakeDirs(root_ + "/" + directory);
      for (const char* name : kNames) {
        const std::string path = directory + std::string("/") + name;
        files_[path] = Content();
        WriteFile(root_ + "/" + path, files_[path]);
      }
    }
  }
  void ShowsAt(std::string root) { root_ = std::move(root); }

  void Step() {
    ++steps_;
    const std::string path = Path();
    const auto file = files_.find(path);
    switch (random_() % 9) {
      case 0:
        files_[path] = Content();
        return WriteFile(Full(path), files_[path]);
      case 1:
        return file == files_.end() ? ExpectNone(path) : Append(file->second, path);
      case 2:
      case 3:
        return Rename(path, Path());
      case 4:
        if (file == files_.end()) return ExpectNone(path);
        ASSERT_EQ(::unlink(Full(path).c_str()), 0) << path << ": " << std::strerror(errno);
        files_.erase(file);
        return;
      case 5:
        return List(path.substr(0, path.rfind('/')));
      case 6:
        if (file == files_.end()) return ExpectNone(path);
        ASSERT_EQ(::chmod(Full(path).c_str(), 0600 + (steps_ & 077)), 0) << path << ": " << std::strerror(errno);
        ASSERT_EQ(Stat(Full(path)).st_size, static_cast<off_t>(file->second.size())) << path;
        return;
      default:
        if (file == files_.end()) return ExpectNone(path);
        ASSERT_TRUE(ReadFile(Full(path)) == file->second) << path << " has other content";
    }
  }
  void ExpectAll() {
    for (const auto& [path, content] : files_) ASSERT_TRUE(ReadFile(Full(path)) == content) << path << " has other content";
    for (const char* directory : kDirectories) List(directory);
  }
  [[nodiscard]] int steps() const { return steps_; }

 private:
  [[nodiscard]] std::string Full(const std::string& path) const { return root_ + "/" + path; }
  std::string Path() {
    return std::string(kDirectories[random_() % std::size(kDirectories)]) + "/" + kNames[random_() % std::size(kNames)];
  }
  std::string Content() { return std::string(random_() % 40'000, static_cast<char>('a' + random_() % 26)); }

  void ExpectNone(const std::string& path) const {
    const UniqueFd fd(::open(Full(path).c_str(), O_RDWR));
    ASSERT_FALSE(fd) << path;
    ASSERT_EQ(errno, ENOENT) << path << ": " << std::strerror(errno);
  }
  void Append(std::string& content, const std::string& path) {
    const UniqueFd fd(::open(Full(path).c_str(), O_RDWR | O_APPEND));
    ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
    ASSERT_EQ(::write(fd.get(), "more", 4), 4) << path << ": " << std::strerror(errno);
    content += "more";
  }
  // Half of the renames happen under an open descriptor, which then writes.
  void Rename(const std::string& from, const std::string& to) {
    const auto file = files_.find(from);
    if (file == files_.end() || from == to) return;
    const UniqueFd fd(random_() % 2 == 0 ? ::open(Full(from).c_str(), O_RDWR) : -1);
    ASSERT_EQ(::rename(Full(from).c_str(), Full(to).c_str()), 0) << from << " to " << to << ": " << std::strerror(errno);
    std::string content = std::move(file->second);
    files_.erase(file);
    if (fd) {
      ASSERT_EQ(::pwrite(fd.get(), "R", 1, 0), 1) << to << ": " << std::strerror(errno);
      if (content.empty()) content = "R";
      content[0] = 'R';
    }
    files_[to] = std::move(content);
  }
  void List(const std::string& directory) {
    std::set<std::string> expected;
    for (const char* other : kDirectories) {
      const std::string path(other);
      if (path.size() > directory.size() && path.compare(0, directory.size() + 1, directory + "/") == 0)
        expected.insert(path.substr(directory.size() + 1));
    }
    for (const auto& [path, content] : files_) {
      if (path.substr(0, path.rfind('/')) == directory) expected.insert(path.substr(directory.size() + 1));
    }
    ASSERT_EQ(Names(Full(directory)), expected) << directory;
  }

  std::string root_;
  std::minstd_rand random_;
  std::map<std::string, std::string> files_;
  int steps_ = 0;
};

class Crowd : public OverlayTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(Crowd, EachWorkerFindsItsFilesUnchangedWhileTheyMove) {
  UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 128) + "/tree");
  UseTier(4, MakeFileSystem(FileSystem::kXfs, 320) + "/tree");
  AddToConfig(GetParam());
  const std::string policies[] = {"3 *.tmp\n3 cache/\n1 etc/\n4 usr/\n1 *.conf\n", "1 cache/\n4 etc/\n3 usr/\n2 *.tmp\n4 *.conf\n",
                                  "3 a/\n2 cache/\n1 usr/\n3 *.dat\n"};
  for (std::size_t i = 0; i < std::size(policies); ++i) WriteFile(Base("policy" + std::to_string(i)), policies[i]);
  SetPolicy(policies[0]);
  const std::string lower = AddLower("lower");
  const auto seed = static_cast<unsigned>(std::chrono::system_clock::now().time_since_epoch().count());
  std::cout << "seed " << seed << std::endl;
  std::vector<Worker> workers;
  for (int i = 0; i < kWorkers; ++i) {
    const std::string home = "/home" + std::to_string(i);
    workers.emplace_back(lower + home, seed + static_cast<unsigned>(i));
    workers.back().Make();
    workers.back().ShowsAt(Mnt() + home);
  }
  ASSERT_TRUE(Mount()) << Refusal();
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (Worker& worker : workers) {
    threads.emplace_back([&] {
      while (!done && !HasFailure()) worker.Step();
    });
  }
  const auto end = std::chrono::steady_clock::now() + kWorkingTime;
  for (std::size_t i = 1; std::chrono::steady_clock::now() < end && !HasFailure(); ++i) {
    const Ran ran = Execute({TIERCTL_BINARY, "retier", "--policy", Base("policy" + std::to_string(i % std::size(policies))), ConfigFile()});
    EXPECT_TRUE(ran.code == 0 || ran.code == 1) << ran.out << ran.err;
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_FALSE(HasFailure());
  for (Worker& worker : workers) {
    EXPECT_GT(worker.steps(), 10);
    worker.ExpectAll();
  }
  ASSERT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
  Settled();
  EXPECT_EQ(Execute({TIERCTL_BINARY, "check", ConfigFile()}).out, "test: nothing found\n");
  ExpectNoWorkFiles();
  for (Worker& worker : workers) worker.ExpectAll();
}

// Once with the kernel's caches, and once with every lookup reaching the daemon.
INSTANTIATE_TEST_SUITE_P(Of, Crowd, ::testing::Values("cache_timeout = 60", "cache_timeout = 0"),
                         [](const auto& timeout) { return std::string(timeout.index == 0 ? "cached" : "uncached"); });

}  // namespace
}  // namespace tierfs::test
