// The repository of tier 1's history, with the real git.
#include "fs/jobs/history/repository.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "fs/jobs/history/materialise.h"
#include "fs/jobs/history/mtree.h"
#include "fs/jobs/history/remote.h"
#include "tests/unit/support.h"

namespace tierfs::history {
namespace {

namespace fs = std::filesystem;

NewCommit CommitOf(std::vector<NewCommit::Change> changed, std::vector<std::string> removed = {}) {
  NewCommit commit;
  commit.author_name = "root";
  commit.author_mail = "root@test";
  commit.time = 1'700'000'000;
  commit.message = "A change\n\nTierfs-Token: db/7\n";
  commit.changed = std::move(changed);
  commit.removed = std::move(removed);
  return commit;
}

NewCommit::Change File(const std::string& path, const std::string& content) { return {path, false, false, content}; }

class RepositoryTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto made = repository_.Create();
    ASSERT_TRUE(made) << made.error();
  }
  std::string Add(const std::string& parent, const std::vector<NewCommit>& commits) {
    const auto ids = repository_.Append(parent, commits);
    EXPECT_TRUE(ids) << ids.error();
    return ids ? ids->back() : "";
  }
  std::map<std::string, std::string> Contents(const std::string& commit) {
    std::map<std::string, std::string> contents;
    const auto items = repository_.Read(commit);
    EXPECT_TRUE(items) << items.error();
    if (!items) return contents;
    std::vector<std::string> ids;
    std::vector<std::string> paths;
    for (const auto& [path, item] : *items) {
      if (item.blob.empty()) continue;
      ids.push_back(item.blob);
      paths.push_back(path);
    }
    const auto read = repository_.ReadBlobs(ids, [&](std::size_t at, std::string content) -> Outcome<void> {
      contents[paths[at]] = std::move(content);
      return {};
    });
    EXPECT_TRUE(read) << read.error();
    return contents;
  }
  std::string HeadId() {
    const auto head = repository_.Head();
    EXPECT_TRUE(head) << head.error();
    return head && *head ? (*head)->id : "";
  }

  test::TempDir dir_;
  Repository repository_{dir_ / "above/tier1.git"};
};

using Files = std::map<std::string, std::string>;

TEST_F(RepositoryTest, IsPrivateAndEmptyWhenNew) {
  EXPECT_TRUE(repository_.Check());
  EXPECT_EQ(HeadId(), "");
  struct stat st;
  ASSERT_EQ(::stat(repository_.directory().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700U | (st.st_mode & S_ISGID));
  EXPECT_EQ(repository_.Resolve("HEAD").error(), "there is no commit yet");
  EXPECT_NE(repository_.Create().error().find("is not empty"), std::string::npos);
}

TEST_F(RepositoryTest, CommitsComeBack) {
  NewCommit second = CommitOf({{"bin/run", false, true, "#!"}, {"link", true, false, "../to"}, File("etc/x", "two")}, {"gone"});
  second.meta = "#mtree\n./etc/x type=file uid=1 gid=2 mode=0640\n./empty type=dir uid=0 gid=0 mode=0755\n";
  const auto ids = repository_.Append("", {CommitOf({File("etc/x", "one"), File("gone", "")}), second});
  ASSERT_TRUE(ids) << ids.error();
  ASSERT_EQ(ids->size(), 2U);
  EXPECT_EQ(HeadId(), ids->back());
  const auto head = repository_.Head();
  EXPECT_EQ((*head)->token, "db/7");
  EXPECT_EQ((*head)->time, 1'700'000'000);
  EXPECT_EQ(Contents(ids->front()), (Files{{"etc/x", "one"}, {"gone", ""}}));
  EXPECT_EQ(Contents(ids->back()), (Files{{"bin/run", "#!"}, {"etc/x", "two"}, {"link", "../to"}}));
  const auto items = repository_.Read(ids->back());
  ASSERT_TRUE(items);
  EXPECT_EQ(items->at("etc/x").attributes.mode, S_IFREG | 0640U);
  EXPECT_EQ(items->at("etc/x").attributes.gid, 2U);
  EXPECT_EQ(items->at("etc/x").blob, BlobId("two"));
  EXPECT_EQ(items->at("bin/run").attributes.mode, S_IFREG | 0755U);
  EXPECT_TRUE(items->at("empty").IsDir());
  EXPECT_TRUE(items->at("").IsDir());
  EXPECT_FALSE(items->contains(kMetaDirectory));
  EXPECT_TRUE(repository_.Check());
  EXPECT_TRUE(repository_.Run({"fsck", "--strict"}));
}

TEST_F(RepositoryTest, RevisionsAndTimes) {
  NewCommit old = CommitOf({File("a", "1")});
  old.time = ::time(nullptr) - 3 * 86400;
  const std::string first = Add("", {old});
  const std::string second = Add(first, {CommitOf({File("a", "2")})});
  EXPECT_EQ(repository_.Resolve("HEAD~1").value(), first);
  EXPECT_EQ(repository_.Resolve(first.substr(0, 9)).value(), first);
  EXPECT_EQ(repository_.Resolve("@{1}").value(), first);
  EXPECT_EQ(repository_.Resolve("@{now}").value(), second);
  // The branch's record begins with the test, so the commits' own times count.
  EXPECT_EQ(repository_.Resolve("@{2023-11-15 00:00:00}").value(), second);
  EXPECT_EQ(repository_.Resolve("@{2 days ago}~1").value_or("none"), first);
  EXPECT_EQ(repository_.Resolve("@{1990-01-01}").error(), "the history begins after @{1990-01-01}");
  for (const char* wrong : {"nothing", "", "--all", "@{rubbish}", "HEAD~9", "HEAD:a"}) EXPECT_FALSE(repository_.Resolve(wrong)) << wrong;
}

TEST_F(RepositoryTest, TenThousandFilesInOneCommit) {
  std::vector<NewCommit::Change> changes;
  Files files;
  for (int i = 0; i < 10'000; ++i) {
    const std::string path = "d" + std::to_string(i % 100) + "/f" + std::to_string(i);
    changes.push_back(File(path, std::to_string(i)));
    files[path] = std::to_string(i);
  }
  EXPECT_EQ(Contents(Add("", {CommitOf(std::move(changes))})), files);
  EXPECT_TRUE(repository_.Check());
}

TEST_F(RepositoryTest, StrangeNamesComeBack) {
  Files files{{"-leading", "1"},    {"#hash", "2"},       {"with\nnewline", "3"}, {"\"quote\"", "4"}, {"back\\slash", "5"},
              {"\xFF\xFEraw", "6"}, {" space ", "7"},     {"tab\there", "8"},     {"ü/ö", "9"},       {std::string(255, '\x80'), "10"},
              {"...", "11"},        {".gitignore", "12"}, {"D a", "13"},          {"~", "14"}};
  std::vector<NewCommit::Change> changes;
  for (const auto& [path, content] : files) changes.push_back(File(path, content));
  const std::string first = Add("", {CommitOf(changes)});
  EXPECT_EQ(Contents(first), files);
  std::vector<std::string> removed;
  for (const auto& [path, content] : files) {
    if (path != "~") removed.push_back(path);
  }
  EXPECT_EQ(Contents(Add(first, {CommitOf({}, removed)})), (Files{{"~", "14"}}));
}

TEST_F(RepositoryTest, AFileBecomesADirectoryAndBack) {
  const std::string file = Add("", {CommitOf({File("a", "file"), File("b", "")})});
  const std::string directory = Add(file, {CommitOf({File("a/one", "1"), File("a/two/three", "3")}, {"a"})});
  EXPECT_EQ(Contents(directory), (Files{{"a/one", "1"}, {"a/two/three", "3"}, {"b", ""}}));
  EXPECT_EQ(Contents(Add(directory, {CommitOf({File("a", "again")}, {"a/one", "a/two/three"})})), (Files{{"a", "again"}, {"b", ""}}));
}

TEST_F(RepositoryTest, NamesThatGitCannotHoldAreRefused) {
  for (const std::string& path :
       std::vector<std::string>{"../x", "a/../x", ".", "a/./b", "", "a//b", "/a", ".git/config", "a/.GIT", "git~1/x", ".git ", ".git.",
                                ".git:x", ".g\u200cit", ".tierfs/meta.mtree", ".tierfs"}) {
    EXPECT_NE(WhyGitCannotHold(path), nullptr) << path;
    EXPECT_FALSE(repository_.Append("", {CommitOf({File("good", ""), File(path, "")})})) << path;
    EXPECT_FALSE(repository_.Append("", {CommitOf({}, {path})})) << path;
  }
  for (const char* path : {".gitx", "git", "a.git", ".gitignore", "a/.tierfs", "git~2", "..."})
    EXPECT_EQ(WhyGitCannotHold(path), nullptr) << path;
  EXPECT_EQ(HeadId(), "");
}

TEST_F(RepositoryTest, AMovedBranchIsLeftAsItIs) {
  const std::string first = Add("", {CommitOf({File("a", "1")})});
  const std::string second = Add(first, {CommitOf({File("a", "2")})});
  for (const std::string& parent : {std::string(), first, std::string(40, '1')}) {
    const auto appended = repository_.Append(parent, {CommitOf({File("a", "3")})});
    ASSERT_FALSE(appended);
    EXPECT_NE(appended.error().find("was moved by somebody else"), std::string::npos) << appended.error();
  }
  EXPECT_EQ(HeadId(), second);
  // A branch that was rewound is not wound on.
  ASSERT_TRUE(repository_.Run({"update-ref", Repository::kRef, first}));
  EXPECT_FALSE(repository_.Append(second, {CommitOf({File("a", "3")})}));
  EXPECT_EQ(HeadId(), first);
}

TEST_F(RepositoryTest, StaleLocksAreRemovedAndYoungOnesAreNot) {
  const std::string lock = repository_.directory() + "/refs/heads/main.lock";
  std::ofstream(lock).close();
  EXPECT_TRUE(repository_.RemoveStaleLocks().empty());
  EXPECT_FALSE(repository_.Append("", {CommitOf({File("a", "")})}));
  EXPECT_EQ(HeadId(), "");
  for (const auto& entry : fs::directory_iterator(repository_.directory())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("fast_import_crash_"));
  }
  const timespec old[2] = {{::time(nullptr) - 120, 0}, {::time(nullptr) - 120, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, lock.c_str(), old, 0), 0);
  EXPECT_EQ(repository_.RemoveStaleLocks(), std::vector<std::string>{"removed " + lock + ", which a killed git had left"});
  Add("", {CommitOf({File("a", "")})});
  // The lock of a push, from before the clock was set back.
  const std::string pushed = repository_.directory() + "/refs/tierfs/pushed/0123.lock";
  fs::create_directories(fs::path(pushed).parent_path());
  std::ofstream(pushed).close();
  EXPECT_TRUE(repository_.RemoveStaleLocks().empty());
  const timespec future[2] = {{::time(nullptr) + 86400, 0}, {::time(nullptr) + 86400, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, pushed.c_str(), future, 0), 0);
  EXPECT_EQ(repository_.RemoveStaleLocks().size(), 1U);
  EXPECT_FALSE(fs::exists(pushed));
}

TEST_F(RepositoryTest, BrokenRepositoriesAreNamed) {
  const auto says = [](const Repository& repository) {
    const auto good = repository.Check();
    return good ? "good" : good.error();
  };
  EXPECT_NE(says(Repository(dir_ / "absent")).find("no repository at"), std::string::npos);
  fs::create_directory(dir_ / "plain");
  EXPECT_NE(says(Repository(dir_ / "plain")).find("is not a git repository"), std::string::npos);
  ASSERT_TRUE(repository_.Run({"init", "-q", dir_ / "tree"}));
  ASSERT_EQ(
      ::system(
          ("git init -q '" + (dir_ / "worktree") + "' && git init -q --bare --object-format=sha256 '" + (dir_ / "sha256") + "'").c_str()),
      0);
  EXPECT_NE(says(Repository(dir_ / "worktree/.git")).find("is not a bare repository"), std::string::npos);
  EXPECT_NE(says(Repository(dir_ / "sha256")).find("SHA-1"), std::string::npos);

  Add("", {CommitOf({File("a", "content")})});
  const std::string blob = BlobId("content");
  const std::string object = repository_.directory() + "/objects/" + blob.substr(0, 2) + "/" + blob.substr(2);
  fs::rename(object, dir_ / "kept");
  EXPECT_NE(says(repository_).find("objects of the newest commit are missing"), std::string::npos);
  EXPECT_NE(repository_.ReadBlobs({blob}, [](std::size_t, const std::string&) -> Outcome<void> { return {}; }).error().find("missing"),
            std::string::npos);
  fs::rename(dir_ / "kept", object);
  EXPECT_EQ(says(repository_), "good");
  std::ofstream(repository_.directory() + "/refs/heads/main") << "rubbish\n";
  EXPECT_NE(says(repository_).find("cannot be read"), std::string::npos);
  EXPECT_FALSE(repository_.Append("", {CommitOf({File("a", "")})}));
}

TEST_F(RepositoryTest, AReadOnlyDiskIsNamed) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const std::string& path = repository_.directory();
  ASSERT_EQ(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount(nullptr, path.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
  const auto checked = repository_.Check();
  const auto appended = repository_.Append("", {CommitOf({File("a", "")})});
  ASSERT_EQ(::umount2(path.c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().find("cannot be written: Read-only file system"), std::string::npos) << checked.error();
  EXPECT_FALSE(appended);
}

TEST_F(RepositoryTest, ACommitMadeByHandIsReadable) {
  const std::string work = dir_ / "work";
  const std::string git = "git -c user.name=x -c user.email=x -c protocol.file.allow=always -C '" + work + "' ";
  const std::string script = "git init -q -b main '" + work + "' && cd '" + work + "' && mkdir -p d && echo a > d/a && ln -s d/a l && " +
                             git + "add . && " + git + "update-index --add --cacheinfo 160000," + std::string(40, '1') + ",sub && " + git +
                             "commit -qm hand && " + git + "push -q '" + repository_.directory() + "' main";
  ASSERT_EQ(::system(script.c_str()), 0);
  const auto head = repository_.Head();
  ASSERT_TRUE(head && *head);
  EXPECT_EQ((*head)->token, "");
  EXPECT_EQ(Contents((*head)->id), (Files{{"d/a", "a\n"}, {"l", "d/a"}}));
  EXPECT_TRUE(repository_.Check());
}

TEST_F(RepositoryTest, AnotherConfigurationOfGitDoesNotMatter) {
  std::ofstream(dir_ / "config")
      << "[core]\n\thooksPath = /nowhere\n[commit]\n\tgpgSign = true\n[user]\n\tname = other\n[init]\n\tdefaultBranch = x\n";
  ::setenv("GIT_CONFIG_GLOBAL", (dir_ / "config").c_str(), 1);
  ::setenv("GIT_DIR", "/nowhere", 1);
  ::setenv("GIT_OBJECT_DIRECTORY", "/nowhere", 1);
  const Repository other(dir_ / "other.git");
  EXPECT_TRUE(other.Create());
  EXPECT_TRUE(other.Append("", {CommitOf({File("a", "")})}));
  EXPECT_TRUE(other.Check());
  for (const char* name : {"GIT_CONFIG_GLOBAL", "GIT_DIR", "GIT_OBJECT_DIRECTORY"}) ::unsetenv(name);
}

TEST_F(RepositoryTest, PushesAndKnowsWhatIsNotPushed) {
  const Repository remote(dir_ / "remote.git");
  ASSERT_TRUE(remote.Create());
  std::atomic<bool> never = false;
  const std::string first = Add("", {CommitOf({File("a", "1")})});
  EXPECT_EQ(repository_.NotPushed(remote.directory())->commits, 1U);
  EXPECT_EQ(repository_.NotPushed(remote.directory())->since, 1'700'000'000);
  const auto pushed = repository_.Push(remote.directory(), never);
  ASSERT_TRUE(pushed) << pushed.error();
  EXPECT_EQ(repository_.NotPushed(remote.directory())->commits, 0U);
  EXPECT_EQ((*remote.Head())->id, first);
  Add(first, {CommitOf({File("a", "2")}), CommitOf({File("a", "3")})});
  EXPECT_EQ(repository_.NotPushed(remote.directory())->commits, 2U);
  ASSERT_TRUE(remote.Append(first, {CommitOf({File("a", "other")})}));
  EXPECT_NE(repository_.Push(remote.directory(), never).error().find("somebody else has pushed"), std::string::npos);
  EXPECT_NE(repository_.Push(dir_ / "nowhere", never).error().find("does not appear to be a git repository"), std::string::npos);
  std::atomic<bool> now = true;
  EXPECT_FALSE(repository_.Push("ext::sleep 100", now));
}

TEST_F(RepositoryTest, ThePasswordOfTheRemoteIsNotShown) {
  EXPECT_EQ(Remote("https://me:geheim@host/x.git").address(), "https://host/x.git");
  EXPECT_EQ(Remote("ssh://me:geheim@host/x").address(), "ssh://me@host/x");
  for (const char* plain : {"me@host:x.git", "ssh://me@host/x", "/srv/x@y:z.git", "https://host/a:b@c"})
    EXPECT_EQ(Remote(plain).address(), plain);
  Add("", {CommitOf({File("a", "1")})});
  // A server that asks for a login. It looks for the password among the arguments of all processes.
  const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(server.get(), 8), 0);
  ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  std::string requests;
  std::string elsewhere;  // to the same server by another name
  bool seen = false;
  std::thread serving([&] {
    for (;;) {
      const UniqueFd client(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      char buffer[8192];
      std::string request;
      for (ssize_t got = 0; !request.ends_with("\r\n\r\n") && (got = ::read(client.get(), buffer, sizeof buffer)) > 0;)
        request.append(buffer, static_cast<std::size_t>(got));
      (request.find("Host: localhost") == std::string::npos ? requests : elsewhere) += request;
      seen = seen || ::system("cat /proc/[0-9]*/cmdline 2>/dev/null | grep -aq 'gehe[i]m'") == 0;
      std::string answer = request.find("Authorization: ") == std::string::npos
                               ? "HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
                               : "HTTP/1.0 403 No\r\nContent-Length: 0\r\n\r\n";
      if (request.starts_with("GET /moved.git")) {
        answer = "HTTP/1.0 302 Found\r\nLocation: http://localhost:" + port +
                 "/x.git/info/refs?service=git-receive-pack\r\nContent-Length: 0\r\n\r\n";
      }
      (void)::write(client.get(), answer.data(), answer.size());
    }
  });
  std::atomic<bool> never = false;
  const auto pushed = repository_.Push("http://me:geheim%21@127.0.0.1:" + port + "/x.git", never);
  EXPECT_FALSE(repository_.Push("http://me:geheim%21@127.0.0.1:" + port + "/moved.git", never));
  ::shutdown(server.get(), SHUT_RDWR);
  serving.join();
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().find("geheim"), std::string::npos) << pushed.error();
  EXPECT_FALSE(seen);
  EXPECT_NE(requests.find("Authorization: Basic bWU6Z2VoZWltIQ=="), std::string::npos) << requests;  // me:geheim!
  EXPECT_NE(elsewhere.find("GET /x.git"), std::string::npos) << "git did not follow";
  EXPECT_EQ(elsewhere.find("Authorization: "), std::string::npos) << "another host got the password";
}

TEST_F(RepositoryTest, ARepositoryMayHaveAnotherHead) {
  const std::string first = Add("", {CommitOf({File("a", "1")})});
  const std::string second = Add(first, {CommitOf({File("a", "2")})});
  ASSERT_TRUE(repository_.Run({"symbolic-ref", "HEAD", "refs/heads/master"}));
  EXPECT_TRUE(repository_.Check());
  for (const char* name : {"HEAD", "@", "main", "@{0}", "HEAD@{0}", "@{now}"})
    EXPECT_EQ(repository_.Resolve(name).value_or("none"), second) << name;
  for (const char* name : {"HEAD~1", "@~1", "HEAD^", "@{1}", "main@{1}"})
    EXPECT_EQ(repository_.Resolve(name).value_or("none"), first) << name;
}

TEST_F(RepositoryTest, WithoutARecordOfTheBranchTheCommitsTimesCount) {
  NewCommit old = CommitOf({File("a", "1")});
  old.time = ::time(nullptr) - 3 * 86400;
  const std::string first = Add("", {old});
  NewCommit recent = CommitOf({File("a", "2")});
  recent.time = ::time(nullptr) - 3600;
  const std::string second = Add(first, {recent});
  fs::remove_all(repository_.directory() + "/logs");
  EXPECT_EQ(repository_.Resolve("@{50 hours ago}").value_or("none"), first);
  EXPECT_EQ(repository_.Resolve("HEAD@{now}").value_or("none"), second);
  EXPECT_EQ(repository_.Resolve("@{10 days ago}").error(), "the history begins after @{10 days ago}");
  for (const char* wrong : {"@{rubbish}", "@{1}", "@{-1}", "nothing"}) EXPECT_FALSE(repository_.Resolve(wrong)) << wrong;
}

TEST_F(RepositoryTest, AGitThatHangsIsEnded) {
  Add("", {CommitOf({File("a", "1")})});
  std::atomic<bool> cancelled = false;
  const Repository repository(repository_.directory(), &cancelled);
  ASSERT_EQ(::mkfifo((repository_.directory() + "/packed-refs").c_str(), 0600), 0);
  std::thread caller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    cancelled = true;
  });
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(repository.Run({"for-each-ref"}));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  caller.join();
}

TEST_F(RepositoryTest, LargeContentIsCommitted) {
  std::string large;
  for (int i = 0; i < 700'000; ++i) large += std::to_string(i);
  const std::string id = Add("", {CommitOf({File("a", "small"), File("b", large), File("c", "after")})});
  EXPECT_EQ(Contents(id), (Files{{"a", "small"}, {"b", large}, {"c", "after"}}));
}

// The other repository may be hostile: its configuration names a command for objects that it lacks.
TEST_F(RepositoryTest, ATakeoverRunsNoCommandOfTheOtherRepository) {
  const std::string work = dir_ / "work";
  const std::string git = "git -c user.name=x -c user.email=x -C '" + work + "' ";
  ASSERT_EQ(::system(("git init -q -b trunk '" + work + "' && cd '" + work + "' && echo 1 > a && " + git + "add . && " + git +
                      "commit -qm one && " + git + "pack-refs --all")
                         .c_str()),
            0);
  const auto take = [&](const std::string& name) {
    const auto made = Repository(dir_ / name).CreateFrom(work);
    EXPECT_FALSE(fs::exists(dir_ / (name + ".borrowed")));
    return made ? "" : made.error();
  };
  const auto configure = [&](const std::string& settings) { std::ofstream(work + "/.git/config", std::ios::app) << settings; };
  configure("[core]\n\tsshCommand = touch '" + (dir_ / "ran") + "' #\n\tfsmonitor = touch '" + (dir_ / "ran") + "'\n");
  EXPECT_EQ(take("good"), "");
  EXPECT_EQ(Repository(dir_ / "good").Resolve("HEAD").value_or("none").size(), 40U);

  const std::string plain = test::ReadFile(work + "/.git/config");
  configure("[remote \"o\"]\n\turl = ssh://nowhere/x\n\tpromisor = true\n");
  EXPECT_NE(take("promisor").find("is a partial clone"), std::string::npos);
  std::ofstream(work + "/.git/config") << plain << "[extensions]\n\tpartialClone = o\n[remote \"o\"]\n\turl = ssh://nowhere/x\n";
  EXPECT_NE(take("partial").find("is a partial clone"), std::string::npos);
  // What an included file says is not read at all: a missing object is an error.
  std::ofstream(dir_ / "included") << "[extensions]\n\tpartialClone = o\n[remote \"o\"]\n\turl = ssh://nowhere/x\n\tpromisor = true\n";
  std::ofstream(work + "/.git/config") << plain << "[include]\n\tpath = " + (dir_ / "included") + "\n";
  const std::string blob = BlobId("1\n");
  fs::remove(work + "/.git/objects/" + blob.substr(0, 2) + "/" + blob.substr(2));
  EXPECT_NE(take("missing"), "");
  std::ofstream(work + "/.git/objects/info/alternates") << repository_.directory() << "/objects\n";
  EXPECT_NE(take("alternates").find("borrows objects"), std::string::npos);
  EXPECT_FALSE(fs::exists(dir_ / "ran"));
}

// git is killed while it takes the commits: the branch is at the old commit or at the new one, and
// the next try succeeds.
TEST_F(RepositoryTest, AKilledGitLeavesTheBranchWhole) {
  std::string head = Add("", {CommitOf({File("a", "0")})});
  for (int round = 0; round < 12; ++round) {
    std::vector<NewCommit::Change> changes;
    for (int i = 0; i < 3000; ++i) changes.push_back(File("d/" + std::to_string(i), std::to_string(round) + std::string(2000, 'x')));
    std::atomic<bool> done = false;
    std::thread killer([&] {
      ::usleep(static_cast<useconds_t>(round * 9000));
      for (int wait = 0; wait < 2000 && !done; ++wait) {
        for (const auto& entry : fs::directory_iterator("/proc/self/task")) {
          std::ifstream children(entry.path() / "children");
          for (pid_t child = 0; children >> child;) {
            std::ifstream line("/proc/" + std::to_string(child) + "/cmdline");
            std::string command;
            std::getline(line, command);
            if (command.find("fast-import") == std::string::npos) continue;
            ::kill(child, SIGKILL);
            return;
          }
        }
      }
    });
    const auto ids = repository_.Append(head, {CommitOf(changes), CommitOf({File("b", std::to_string(round))})});
    done = true;
    killer.join();
    (void)repository_.Run({"fsck", "--strict"}).map_error([](const std::string& error) { ADD_FAILURE() << error; });
    if (ids) {
      EXPECT_EQ(HeadId(), ids->back());
    }
    ASSERT_TRUE(repository_.Check());
    // git holds both while it moves the branch.
    const timespec old[2] = {{::time(nullptr) - 120, 0}, {::time(nullptr) - 120, 0}};
    for (const char* lock : {"/refs/heads/main.lock", "/HEAD.lock"}) {
      (void)::utimensat(AT_FDCWD, (repository_.directory() + lock).c_str(), old, 0);
    }
    (void)repository_.RemoveStaleLocks();
    if (HeadId() != head) {
      EXPECT_EQ(Contents(HeadId())["b"], std::to_string(round));
      head = HeadId();
    }
  }
  Add(head, {CommitOf({File("after", "")})});
}

TEST_F(RepositoryTest, AHistoryIsMaterialised) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  NewCommit commit = CommitOf({File("closed/secret", "s"), {"closed/run", false, true, "r"}, {"link", true, false, "/etc/passwd"}});
  commit.meta =
      "#mtree\n. type=dir uid=3 gid=4 mode=0711\n./closed type=dir uid=1000 gid=1000 mode=0555\n"
      "./closed/secret type=file uid=1000 gid=112 mode=4640 xattr.user.origin=dGVzdA==\n./closed/run type=file uid=0 gid=0 mode=0755\n"
      "./empty type=dir uid=0 gid=0 mode=1777\n./link type=link uid=7 gid=7 mode=0777\n./pipe type=fifo uid=1 gid=1 mode=0640\n"
      "./removed type=char uid=0 gid=0 mode=0000 device=linux,0,0\n";
  const auto items = repository_.Read(Add("", {commit}));
  ASSERT_TRUE(items) << items.error();
  fs::create_directory(dir_ / "out");
  const UniqueFd out(::open((dir_ / "out").c_str(), O_RDONLY | O_DIRECTORY));
  const auto written = Materialise(repository_, *items, out.get());
  ASSERT_TRUE(written) << written.error();
  for (const auto& [path, item] : *items) {
    struct stat st;
    ASSERT_EQ(::lstat((dir_ / "out/" + path).c_str(), &st), 0) << path;
    EXPECT_EQ(st.st_mode, item.attributes.mode) << path;
    EXPECT_EQ(st.st_uid, item.attributes.uid) << path;
    EXPECT_EQ(st.st_gid, item.attributes.gid) << path;
    if (S_ISCHR(st.st_mode)) {
      EXPECT_EQ(st.st_rdev, 0U);
    }
  }
  char value[16] = "";
  EXPECT_EQ(::getxattr((dir_ / "out/closed/secret").c_str(), "user.origin", value, sizeof value), 4);
  EXPECT_STREQ(value, "test");
  EXPECT_EQ(fs::read_symlink(dir_ / "out/link"), "/etc/passwd");
}

}  // namespace
}  // namespace tierfs::history
