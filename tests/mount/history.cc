#include "tests/mount/history.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>

#include "fs/jobs/history/materialise.h"
#include "fs/os/unique_fd.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

bool WaitUntil(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

// In one line, so that more keys of the config may follow it.
std::string Section(const std::string& name, const std::map<std::string, std::string>& keys) {
  std::string text;
  for (const auto& [key, value] : keys) text.append(text.empty() ? "" : ", ").append(key).append(" = ").append(value);
  return name + " = { " + text + " }\n";
}

// What a commit holds: no link counts, no groups of hard links, no times.
Snapshot AsCommitted(Snapshot snapshot) {
  ino_t number = 0;
  for (auto& [path, record] : snapshot) {
    record.st.st_ino = ++number;
    record.st.st_nlink = 1;
    record.st.st_mtim = {4'000'000'000, 0};
  }
  return snapshot;
}

// A path as JSON holds it: what is not UTF-8 is replaced.
std::string InJson(const std::string& path) { return json::parse(json(path).dump(-1, ' ', false, json::error_handler_t::replace)); }

Snapshot Without(const json& held, Snapshot snapshot) {
  std::erase_if(snapshot, [&](const auto& each) {
    const std::string path = InJson(each.first);
    return std::any_of(held.begin(), held.end(), [&](const json& one) {
      const std::string out = one.at("path");
      return path == out || path.starts_with(out + "/");
    });
  });
  return snapshot;
}

}  // namespace

bool HistoryTest::Begin() {
  version_["repo"] = "\"" + Repo() + "\"";
  AddToConfig(Section("version", version_) + Section("gate", gate_));
  const Ran made = Execute({"git", "init", "-q", "--bare", "-b", "main", Repo()});
  EXPECT_EQ(made.code, 0) << made.err;
  return Mount();
}

Ran HistoryTest::Git(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"git", "--git-dir=" + Repo()});
  return Execute(arguments);
}

Ran HistoryTest::Tierctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), TIERCTL_BINARY);
  return Execute(arguments);
}

int HistoryTest::Commits() const {
  const Ran ran = Git({"rev-list", "--count", "main"});
  return ran.code == 0 ? std::stoi(ran.out) : 0;
}

json HistoryTest::Told() const {
  const Ran ran = Tierctl({"status", "--json", ConfigFile()});
  const json all = json::parse(ran.out, nullptr, false);
  if (!all.is_array() || all.empty() || !all[0].contains("daemon")) return json::object();
  return all[0]["daemon"].value("history", json::object());
}

void HistoryTest::ExpectTrouble(const std::string& words) const {
  EXPECT_TRUE(WaitUntil([&] { return Trouble().find(words) != std::string::npos; })) << "no '" << words << "': " << Told();
}

void HistoryTest::ExpectNoTrouble() const {
  EXPECT_TRUE(WaitUntil([&] { return Trouble().empty(); })) << Told();
}

bool HistoryTest::WaitsToBeMoved(const json& told) const {
  const auto waits = [&](const json& held) {
    if (held.at("reason").get<std::string>().find("waits to be moved") == std::string::npos) return false;
    // A file with other names stays where it is, and so does one that another entry hides.
    const std::string path = held.at("path");
    struct stat st {};
    return ::lstat(Tier(1, path).c_str(), &st) == 0 && st.st_nlink == 1 && TierOf(path) == 1;
  };
  const json held = told.value("held", json::array());
  return std::any_of(held.begin(), held.end(), waits);
}

void HistoryTest::ExpectCalm() const {
  json told;
  const bool calm = WaitUntil([&] {
    told = Told();
    if (told.value("trouble", "no answer") != "" || told.value("waiting", 1) != 0) return false;
    // What changed past the mount's own requests is found by a commit that is asked for.
    if (!AskForCommit()) return false;
    told = Told();
    return told.value("waiting", 1) == 0 && !WaitsToBeMoved(told);
  });
  EXPECT_TRUE(calm) << told;
}

void HistoryTest::ExpectRebuilt() {
  const json held = Told().value("held", json::array());
  const auto committed = [&](const std::string& root) { return AsCommitted(Without(held, TakeSnapshot(root))); };
  const Snapshot expected = committed(Tier(1));

  const std::string own = Base("rebuilt");
  MakeDirs(own);
  const history::Repository repository(Repo());
  const auto head = repository.Head();
  ASSERT_TRUE(head && *head) << "no commit";
  const auto items = repository.Read((*head)->id);
  ASSERT_TRUE(items) << items.error();
  const UniqueFd directory(::open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto made = history::Materialise(repository, *items, directory.get());
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(Differences(expected, committed(own)), "") << "rebuilt by tierfs";

  const std::string other = Base("rebuilt-otherwise");
  MakeDirs(other);
  const Ran rebuilt = Execute({"python3", REBUILD_HISTORY, Repo(), "main", other});
  ASSERT_EQ(rebuilt.code, 0) << rebuilt.err;
  EXPECT_EQ(Differences(expected, committed(other)), "") << "rebuilt from git archive";
  std::filesystem::remove_all(own);
  std::filesystem::remove_all(other);
}

void HistoryTest::ExpectNoObjectHolds(const std::vector<std::string>& secrets) const {
  const Ran objects = Git({"cat-file", "--batch-all-objects", "--batch"});
  ASSERT_EQ(objects.code, 0) << objects.err;
  EXPECT_GT(objects.out.size(), 0U);
  for (const std::string& secret : secrets) EXPECT_EQ(objects.out.find(secret), std::string::npos) << secret;
}

void HistoryTest::ExpectSound() const {
  const Ran checked = Git({"fsck", "--strict", "--no-dangling"});
  EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
  std::istringstream ids(Git({"rev-list", "main"}).out);
  for (std::string id; std::getline(ids, id);) {
    EXPECT_NE(Git({"diff-tree", "--root", "--no-commit-id", "-r", id}).out, "") << "an empty commit: " << id;
  }
}

}  // namespace tierfs::test
