#include "tests/tree/fixture.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "fs/os/beneath.h"
#include "fs/recovery/recovery.h"
#include "fs/tier/entry.h"

namespace tierfs::test {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLayers[] = {"tier1", "tier2", "tier3", "tier4", "lower"};

std::string Read(int fd) {
  std::string content(4096, '\0');
  const ssize_t got = ::pread(fd, content.data(), content.size(), 0);
  content.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return content;
}

}  // namespace

TreeTest::TreeTest() {
  const char* above = std::getenv("TIERFS_TEST_DIR");
  base_ = std::string(above == nullptr || *above == '\0' ? "/var/tmp" : above) + "/tierfs-tree-XXXXXX";
  if (::mkdtemp(base_.data()) == nullptr) throw std::runtime_error("no directory for tests: " + base_);
  for (const char* directory : {"tier1", "tier2", "tier4", "lower", "state", "disk3"}) fs::create_directory(Base(directory));
}

TreeTest::~TreeTest() {
  Close();
  if (two_disks_) ::umount2(Base("disk3").c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(base_, ignored);
}

void TreeTest::UseTwoDisks() {
  ASSERT_EQ(::mount("none", Base("disk3").c_str(), "tmpfs", 0, "size=16m"), 0) << std::strerror(errno);
  two_disks_ = true;
}

std::string TreeTest::TierPath(int number) const { return number == 3 ? Base("disk3/tier3") : Base("tier" + std::to_string(number)); }

void TreeTest::Clear() {
  Close();
  fs::create_directory(TierPath(3));
  for (const char* layer : kLayers) {
    const std::string directory = std::string(layer) == "tier3" ? TierPath(3) : Base(layer);
    for (const auto& entry : fs::directory_iterator(directory)) fs::remove_all(entry.path());
  }
  journal_.Clear();
}

void TreeTest::Put(const std::string& place, const std::string& content) {
  const std::string layer = place.substr(0, place.find('/'));
  const std::string path = (layer == "tier3" ? TierPath(3) : Base(layer)) + place.substr(layer.size());
  if (path.back() == '/') {
    fs::create_directories(path);
    return;
  }
  fs::create_directories(fs::path(path).parent_path());
  if (content == "whiteout") {
    ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, 0), 0) << std::strerror(errno);
  } else {
    std::ofstream(path, std::ios::binary) << content;
  }
}

void TreeTest::PutLink(const std::string& place, const std::string& other) {
  fs::create_directories(fs::path(Base(other)).parent_path());
  fs::create_hard_link(Base(place), Base(other));
}

void TreeTest::Open() {
  Close();
  fs::create_directory(TierPath(3));
  auto layers = LayerSet::Open({TierPath(1), TierPath(2), TierPath(3), TierPath(4)}, {Base("lower")}, {});
  ASSERT_TRUE(layers) << std::strerror(layers.error().code);
  HealTrees(*layers);
  ASSERT_TRUE(PrepareWorkDirectories(*layers, Base("state")));
  auto interrupted = FinishIntents(*layers, journal_);
  TreeOptions options;
  options.journal = &journal_;
  options.feed = &feed_;
  options.passthrough = passthrough_;
  const auto policy = policy::Parse(kRules, "test", {});
  tree_ = std::make_unique<Tree>(std::move(*layers), policy.policy, options);
  kernel_ = std::make_unique<FakeKernel>(passthrough_);
  tree_->Attach(kernel_.get());
  tree_->settle_queue().Resume(std::move(interrupted));
}

void TreeTest::Close() { tree_.reset(); }

NodeId TreeTest::Node(const std::string& path) {
  NodeId at = kRootNode;
  for (const fs::path& part : fs::path(path)) {
    const auto entry = tree_->Lookup(at, part.c_str());
    EXPECT_TRUE(entry && entry->id.value != 0) << path;
    at = entry ? entry->id : NodeId{};
  }
  return at;
}

TreeTest::Name TreeTest::NameAt(const std::string& path) {
  const fs::path whole(path);
  return {Node(whole.parent_path()), whole.filename()};
}

View TreeTest::Look() {
  View view;
  LookInto(kRootNode, "", view);
  return view;
}

void TreeTest::LookInto(NodeId directory, const std::string& path, View& view) {
  const auto entries = tree_->List(directory);
  ASSERT_TRUE(entries) << path << ": " << std::strerror(entries.error().code);
  for (const DirectoryEntry& each : *entries) {
    if (each.name == "." || each.name == "..") continue;
    const std::string beneath = path.empty() ? each.name : path + "/" + each.name;
    const auto entry = tree_->Lookup(directory, each.name.c_str());
    ASSERT_TRUE(entry && entry->id.value != 0) << beneath << " is listed but not found";
    const mode_t mode = entry->attributes.st.st_mode;
    char number[16];
    std::snprintf(number, sizeof number, " %o ", mode & 07777U);
    const nlink_t links = S_ISDIR(mode) ? 1 : entry->attributes.st.st_nlink;
    EXPECT_TRUE(view.emplace(beneath, (S_ISDIR(mode)   ? "directory"
                                       : S_ISREG(mode) ? "file"
                                                       : "other") +
                                          std::string(number) + (links > 1 ? std::to_string(links) + " links " : ""))
                    .second)
        << beneath << " is listed twice";
    if (S_ISDIR(mode)) LookInto(entry->id, beneath, view);
    if (S_ISREG(mode)) {
      const auto opened = tree_->Open(Caller{}, entry->id, O_RDONLY);
      ASSERT_TRUE(opened) << beneath << ": " << std::strerror(opened.error().code);
      view[beneath] += Read(tree_->FileOf(opened->handle)->Data()->get());
      tree_->Release(opened->handle);
    }
    tree_->Forget(entry->id, 1);
  }
}

std::string TreeTest::TiersWith(const std::string& path) const {
  std::string tiers;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    struct stat st {};
    if (::lstat((TierPath(tier) + "/" + path).c_str(), &st) != 0) continue;
    tiers += (tiers.empty() ? "" : " ") + std::string(IsWhiteout(st) ? "w" : "") + std::to_string(tier);
  }
  return tiers;
}

std::vector<std::string> TreeTest::Litter() const {
  std::vector<std::string> litter;
  std::error_code ignored;
  for (const std::string& directory : {Base("state/work"), Base("disk3/.tier3.tierfs-work")}) {
    for (const auto& entry : fs::directory_iterator(directory, ignored)) litter.push_back(entry.path());
  }
  return litter;
}

}  // namespace tierfs::test
