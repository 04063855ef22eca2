// The rule of which layer shows, over every stack of three lower layers, against the kernel's
// overlayfs; and what the tiers add to it.
#include "fs/tier/merge_rule.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace tierfs {
namespace {

namespace fs = std::filesystem;

constexpr std::array kKinds{Held::kNothing, Held::kWhiteout, Held::kDirectory, Held::kOpaqueDirectory, Held::kOther};
constexpr LayerIndex kLower = static_cast<LayerIndex>(kTierCount);

MergeRule RuleFor(const std::vector<std::pair<LayerIndex, Held>>& stack, LayerIndex home = kNoLayer) {
  LayerMask layers;
  for (const auto& [layer, held] : stack) layers = layers.With(layer);
  const auto rule = Merge(layers, home, [&stack = stack](LayerIndex layer) -> Result<Held> {
    for (const auto& [at, held] : stack) {
      if (at == layer) return held;
    }
    return Held::kNothing;
  });
  return *rule;
}

void Make(const std::string& path, Held held) {
  switch (held) {
    case Held::kNothing:
      break;
    case Held::kWhiteout:
      ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, 0), 0) << std::strerror(errno);
      break;
    case Held::kDirectory:
    case Held::kOpaqueDirectory:
      fs::create_directory(path);
      if (held == Held::kOpaqueDirectory) {
        ASSERT_EQ(::lsetxattr(path.c_str(), "trusted.overlay.opaque", "y", 1, 0), 0) << std::strerror(errno);
      }
      break;
    case Held::kOther:
      std::ofstream(path) << path;
      break;
  }
}

// A directory that goes at the end, with what is mounted at its "view".
class Overlay {
 public:
  Overlay() {
    const char* above = std::getenv("TIERFS_TEST_DIR");
    base_ = std::string(above == nullptr || *above == '\0' ? "/var/tmp" : above) + "/tierfs-rule-XXXXXX";
    if (::mkdtemp(base_.data()) == nullptr) throw std::runtime_error("no directory for tests: " + base_);
    for (const char* directory : {"0", "1", "2", "view"}) fs::create_directory(Path(directory));
  }
  ~Overlay() {
    ::umount2(Path("view").c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove_all(base_, ignored);
  }
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  [[nodiscard]] std::string Path(const std::string& below) const { return base_ + "/" + below; }
  void Mount() {
    const std::string options = "lowerdir=" + Path("0") + ":" + Path("1") + ":" + Path("2");
    ASSERT_EQ(::mount("overlay", Path("view").c_str(), "overlay", MS_RDONLY, options.c_str()), 0) << std::strerror(errno);
  }

 private:
  std::string base_;
};

// The layers whose entry shows at the name in the overlay.
LayerMask Shown(const Overlay& overlay, const std::string& name) {
  LayerMask shown;
  const std::string path = overlay.Path("view/" + name);
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return shown;
  if (!S_ISDIR(st.st_mode)) {
    std::string content;
    std::ifstream(path) >> content;
    for (int layer = 0; layer < 3; ++layer) {
      if (content == overlay.Path(std::to_string(layer) + "/" + name)) shown = shown.With(static_cast<LayerIndex>(kLower + layer));
    }
    return shown;
  }
  for (const auto& entry : fs::directory_iterator(path)) {
    shown = shown.With(static_cast<LayerIndex>(kLower + std::stoi(entry.path().filename())));
  }
  return shown;
}

TEST(MergeRule, LowerLayersShowAsInTheKernelsOverlayfs) {
  Overlay overlay;
  std::vector<std::array<Held, 3>> stacks;
  for (const Held first : kKinds) {
    for (const Held second : kKinds) {
      for (const Held third : kKinds) stacks.push_back({first, second, third});
    }
  }
  for (std::size_t n = 0; n < stacks.size(); ++n) {
    for (int layer = 0; layer < 3; ++layer) {
      const Held held = stacks[n][static_cast<std::size_t>(layer)];
      const std::string path = overlay.Path(std::to_string(layer) + "/" + std::to_string(n));
      Make(path, held);
      // Which directories merge shows by their entries.
      if (held == Held::kDirectory || held == Held::kOpaqueDirectory) std::ofstream(path + "/" + std::to_string(layer)) << "x";
    }
  }
  overlay.Mount();
  for (std::size_t n = 0; n < stacks.size(); ++n) {
    std::vector<std::pair<LayerIndex, Held>> stack;
    std::string text;
    for (int layer = 0; layer < 3; ++layer) {
      const Held held = stacks[n][static_cast<std::size_t>(layer)];
      stack.emplace_back(static_cast<LayerIndex>(kLower + layer), held);
      text += std::to_string(static_cast<int>(held)) + " ";
    }
    EXPECT_EQ(RuleFor(stack).parts().bits(), Shown(overlay, std::to_string(n)).bits()) << text;
  }
}

TEST(MergeRule, AWhiteoutInAnyTierHidesEveryLowerLayer) {
  for (LayerIndex tier = 0; tier < kLower; ++tier) {
    const MergeRule rule = RuleFor({{tier, Held::kWhiteout}, {kLower, Held::kOther}});
    EXPECT_FALSE(rule.Shows());
    EXPECT_EQ(rule.whiteouts().bits(), LayerMask::Only(tier).bits());
  }
  const MergeRule beside = RuleFor({{1, Held::kDirectory}, {3, Held::kWhiteout}, {kLower, Held::kDirectory}});
  EXPECT_EQ(beside.parts().bits(), LayerMask::Only(1).bits());
}

TEST(MergeRule, TheClassTierComesFirst) {
  EXPECT_EQ(RuleFor({{0, Held::kOther}, {2, Held::kOther}}, 2).parts().bits(), LayerMask::Only(2).bits());
  EXPECT_EQ(RuleFor({{0, Held::kOther}, {2, Held::kOther}}, 3).parts().bits(), LayerMask::Only(0).bits());
}

TEST(MergeRule, DirectoriesOfAllTiersMergeAroundAFile) {
  const MergeRule rule = RuleFor({{0, Held::kDirectory}, {1, Held::kOther}, {2, Held::kDirectory}, {kLower, Held::kDirectory}}, 0);
  EXPECT_TRUE(rule.ShowsDirectory());
  EXPECT_TRUE(rule.parts().Has(0));
  EXPECT_FALSE(rule.parts().Has(1));
  EXPECT_TRUE(rule.parts().Has(2));
}

TEST(MergeRule, AFileInATierHidesEveryLayerBeneath) {
  const MergeRule rule = RuleFor({{1, Held::kOther}, {kLower, Held::kDirectory}});
  EXPECT_EQ(rule.parts().bits(), LayerMask::Only(1).bits());
  EXPECT_FALSE(rule.ShowsDirectory());
}

}  // namespace
}  // namespace tierfs
