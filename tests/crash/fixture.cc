#include "tests/crash/fixture.h"

#include <filesystem>

#include <nlohmann/json.hpp>

namespace tierfs::test {
namespace fs = std::filesystem;
namespace {

constexpr int kTracked[] = {1, 2};

// The records of a listing, by path. `token` is set to the token of the last record.
std::map<std::string, char> Records(const std::string& out, std::string& token) {
  std::map<std::string, char> records;
  std::string last;
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = std::min(out.find('\0', at), out.size());
    last = out.substr(at, end - at);
    at = end + 1;
    if (last[0] != '=') records[last.substr(2) == "." ? "" : last.substr(2)] = last[0];
  }
  EXPECT_EQ(last.substr(0, 2), "= ");
  token = last.substr(std::min<std::size_t>(2, last.size()));
  return records;
}

bool Differs(const Record& a, const Record& b) {
  const auto time = [](const timespec& t) { return std::pair(t.tv_sec, t.tv_nsec); };
  return a.st.st_mode != b.st.st_mode || a.st.st_uid != b.st.st_uid || a.st.st_gid != b.st.st_gid ||
         (!S_ISDIR(a.st.st_mode) && (a.st.st_size != b.st.st_size || a.st.st_nlink != b.st.st_nlink)) ||
         time(a.st.st_mtim) != time(b.st.st_mtim) || a.content_hash != b.content_hash || a.target != b.target || a.xattrs != b.xattrs;
}

}  // namespace

void CrashTest::UseSeveralDisks() {
  several_disks_ = true;
  UseTier(1, MakeFileSystem(FileSystem::kExt4, 64) + "/tree");
  UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
}

void CrashTest::Prepare() {
  if (IsMounted()) Unmount();
  const std::string lower = lowers().empty() ? AddLower("lower") : lowers().front();
  for (int tier = 1; tier <= 4; ++tier) fs::remove_all(Tier(tier));
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((Base("state/catalog.db") + part).c_str());
  model_.clear();
  MakeDirs(lower + "/low");
  for (int i = 0; i < 4; ++i) {
    const std::string name = "low/f" + std::to_string(i);
    WriteFile(lower + "/" + name, ContentOf(i));
    model_[name] = i;
  }
  // Two of them have a second name, which the workload leaves alone.
  MakeDirs(lower + "/linked");
  for (const char* name : {"f0", "f1"}) {
    ::unlink((lower + "/linked/" + name).c_str());
    ASSERT_EQ(::link((lower + "/low/" + name).c_str(), (lower + "/linked/" + name).c_str()), 0);
  }
  ASSERT_TRUE(Mount()) << Refusal();
  for (const std::string& directory : WorkloadDirectories()) MakeDirs(Mnt(directory));
  MakeDirs(Mnt("srv/a/moving"));
  for (const char* name : {"srv/a/moving/f0", "srv/a/moving/f1", "srv/b/f0", "etc/c/f1"}) {
    model_[name] = ++next_version_;
    WriteFile(Mnt(name), ContentOf(next_version_));
  }
}

std::vector<Operation> CrashTest::Continue(int count) {
  auto operations = MakeOperations(model_, next_version_ + 1, count, random_);
  next_version_ += count;
  return operations;
}

void CrashTest::Remember() {
  for (const int tier : kTracked) {
    const Ran ran = Execute({TIERCTL_BINARY, "changes", "-0", "--tier", std::to_string(tier), ConfigFile()});
    ASSERT_EQ(ran.code, 0) << ran.err;
    (void)Records(ran.out, tokens_[tier]);
    trees_[tier] = TakeSnapshot(Tier(tier));
  }
}

Model CrashTest::Found(const std::string& unfinished) {
  Model found;
  for (const auto& entry : fs::recursive_directory_iterator(Mnt())) {
    if (!entry.is_regular_file()) continue;
    const std::string path = entry.path().lexically_relative(Mnt()).string();
    const bool in_tier = Xattr(entry.path().string(), "user.tierfs.layer").rfind("tier", 0) == 0;
    EXPECT_EQ(TreesWith(path).size(), in_tier ? 1U : 0U) << path;
    if (path == unfinished || path.rfind("linked/", 0) == 0) continue;
    const int version = VersionOf(ReadFile(entry.path().string()));
    EXPECT_GE(version, 0) << path << " is torn";
    found[path] = version;
  }
  return found;
}

void CrashTest::ExpectChangesListed(int tier) {
  const Ran ran = Execute({TIERCTL_BINARY, "changes", "-0", "--tier", std::to_string(tier), "--since", tokens_[tier], ConfigFile()});
  EXPECT_EQ(ran.code, 0) << ran.err;
  const auto records = Records(ran.out, tokens_[tier]);
  const Snapshot now = TakeSnapshot(Tier(tier));
  const Snapshot& before = trees_[tier];
  for (const auto& [path, record] : now) {
    const auto old = before.find(path);
    if (old != before.end() && !Differs(old->second, record)) continue;
    const auto listed = records.find(path);
    EXPECT_TRUE(listed != records.end() && listed->second != 'D') << "tier " << tier << ": not listed as changed: " << path;
  }
  for (const auto& [path, record] : before) {
    if (now.count(path) != 0) continue;
    const auto listed = records.find(path);
    EXPECT_TRUE(listed != records.end() && listed->second == 'D') << "tier " << tier << ": not listed as deleted: " << path;
  }
}

void CrashTest::ExpectNothingToMend(const std::string& story) const {
  const Ran check = Execute({TIERCTL_BINARY, "check", "--json", ConfigFile()});
  const auto report = nlohmann::json::parse(check.out, nullptr, false);
  ASSERT_TRUE(report.is_object()) << story << check.out << check.err;
  for (const auto& finding : report["findings"]) {
    // A file of several names does not move to another file system.
    const bool stays = several_disks_ && finding["code"] == "misplaced" && Stat(Mnt(finding["path"])).st_nlink > 1;
    EXPECT_TRUE(stays) << story << finding.dump();
  }
}

void CrashTest::ExpectLinksCounted() const {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(VersionOf(ReadFile(Mnt("linked/f" + std::to_string(i)))), i);
  std::map<ino_t, std::vector<std::string>> names;
  std::map<ino_t, nlink_t> links;
  for (const auto& entry : fs::recursive_directory_iterator(Mnt())) {
    const struct stat st = Stat(entry.path());
    if (S_ISDIR(st.st_mode)) continue;
    names[st.st_ino].push_back(entry.path());
    links[st.st_ino] = st.st_nlink;
  }
  for (const auto& [inode, all] : names) EXPECT_EQ(links[inode], all.size()) << all.front();
}

void CrashTest::ExpectRecovered(const std::vector<Operation>& operations, int finished, int started) {
  for (int i = 0; i < finished; ++i) operations[static_cast<std::size_t>(i)].ApplyTo(model_);
  Model after = model_;
  std::string unfinished;
  std::string description = "none";
  if (started > finished) {
    const Operation& last = operations[static_cast<std::size_t>(finished)];
    last.ApplyTo(after);
    description = std::to_string(static_cast<int>(last.kind)) + " " + last.path + " " + last.to;
    if (last.kind == Operation::Kind::kReplace) unfinished = last.path + ".tmp";
  }
  // This daemon moves the files that its predecessor left to the background. A renamed directory
  // may be settled only in part: the remaining files stay in their old tier until `settle` runs.
  const Ran settled = Execute({TIERCTL_BINARY, "settle", "--wait", ConfigFile()});
  EXPECT_EQ(settled.code, 0) << settled.out << settled.err;
  const Model found = Found(unfinished);
  EXPECT_TRUE(found == model_ || found == after) << "after " << finished << " operations; under way: " << description;
  if (found != model_ && found != after) {
    for (const auto& [path, version] : found) ADD_FAILURE() << "found " << path << " " << version;
    for (const auto& [path, version] : model_) ADD_FAILURE() << "expected " << path << " " << version;
  }
  ExpectNothingToMend("under way: " + description + "\n" + settled.out);
  ExpectLinksCounted();
  for (const int tier : kTracked) ExpectChangesListed(tier);
  if (!unfinished.empty()) ::unlink(Mnt(unfinished).c_str());
  model_ = found;
}

}  // namespace tierfs::test
