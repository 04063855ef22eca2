// The attributes in a commit: what is written is read back, and what is not understood is said.
#include "fs/jobs/history/mtree.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace tierfs::history {
namespace {

Attributes Of(mode_t mode, uid_t uid = 0, gid_t gid = 0) {
  Attributes attributes;
  attributes.mode = mode;
  attributes.uid = uid;
  attributes.gid = gid;
  return attributes;
}

Items Root() { return {{"", Item{Of(S_IFDIR | 0755), ""}}}; }

// What git alone has of the items.
Items OfGit(const Items& items) {
  Items left;
  for (const auto& [path, item] : items) {
    if (item.IsFile() || item.IsLink()) left[path] = Item{DefaultAttributes(item.attributes.mode), item.blob};
  }
  return left;
}

void ComesBack(const Items& items) {
  const std::string text = RenderMeta(items);
  Items back = OfGit(items);
  const auto applied = ApplyMeta(text, back);
  ASSERT_TRUE(applied) << applied.error();
  EXPECT_EQ(back, items) << text;
  EXPECT_EQ(RenderMeta(back), text);
}

TEST(Mtree, WhatGitHoldsNeedsNoLine) {
  Items items = Root();
  items["a"] = Item{Of(S_IFDIR | 0755), ""};
  items["a/plain"] = Item{Of(S_IFREG | 0644), "1"};
  items["a/program"] = Item{Of(S_IFREG | 0755), "2"};
  items["a/link"] = Item{Of(S_IFLNK | 0777), "3"};
  EXPECT_EQ(RenderMeta(items), "#mtree\n");
  ComesBack(items);
}

TEST(Mtree, AttributesEmptyDirectoriesAndSpecialFilesComeBack) {
  Items items = Root();
  items[""].attributes = Of(S_IFDIR | 0750, 1, 2);
  items["empty"] = Item{Of(S_IFDIR | 0755), ""};
  items["empty-not"] = Item{Of(S_IFDIR | 01777, 0, 7), ""};
  items["empty-not/file"] = Item{Of(S_IFREG | 04640, 1000, 112), "1"};
  items["empty-not/program"] = Item{Of(S_IFREG | 0700), "1"};
  items["owned-link"] = Item{Of(S_IFLNK | 0777, 5, 6), "1"};
  items["pipe"] = Item{Of(S_IFIFO | 0600), ""};
  items["removed"] = Item{Of(S_IFCHR), ""};
  items["socket"] = Item{Of(S_IFSOCK | 0755), ""};
  items["deep"] = Item{Of(S_IFDIR | 0755), ""};
  items["deep/disk"] = Item{Of(S_IFBLK | 0660), ""};
  items["deep/disk"].attributes.device = makedev(259, 70000);
  items["empty-not/file"].attributes.xattrs = {{"user.empty", ""}, {"user.any bytes=#\\", std::string("\0\xFF\n", 3)}};
  EXPECT_NE(RenderMeta(items).find("./removed type=char uid=0 gid=0 mode=0000 device=linux,0,0\n"), std::string::npos);
  EXPECT_NE(RenderMeta(items).find("\n./empty type=dir"), std::string::npos);
  ComesBack(items);
}

TEST(Mtree, EveryByteOfANameComesBack) {
  Items items = Root();
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const std::string name = std::string("n") + static_cast<char>(byte);
    items[name] = Item{Of(S_IFREG | 0600), "1"};
    items[name].attributes.xattrs["user." + name] = name;
    items[std::string(1, static_cast<char>(byte)) + "x"] = Item{Of(S_IFDIR | 0700), ""};
  }
  const std::string text = RenderMeta(items);
  for (const char c : text) EXPECT_TRUE((c >= 0x20 && c < 0x7F) || c == '\n');
  ComesBack(items);
}

TEST(Mtree, LongValuesComeBack) {
  Items items = Root();
  for (std::size_t size = 0; size < 70; ++size) {
    items["f" + std::to_string(size)] = Item{Of(S_IFREG | 0644), "1"};
    items["f" + std::to_string(size)].attributes.xattrs["user.x"] = std::string(size, '\xFE');
  }
  items["f1"].attributes.xattrs["user.long"] = std::string(65536, '\x01');
  ComesBack(items);
}

TEST(Mtree, BadLinesAreNamed) {
  const auto error = [](const std::string& line) {
    Items items;
    const auto applied = ApplyMeta("#mtree\n\n" + line + "\n", items);
    return applied ? "none" : applied.error();
  };
  EXPECT_EQ(error("./a type=dir"), "none");
  for (const char* line : {"a type=dir",
                           "./../a type=dir",
                           "./a/../b type=dir",
                           "./a//b type=dir",
                           "/etc type=dir",
                           "./ type=dir",
                           "./a\\057b/.. type=dir",
                           "./a\\000 type=dir",
                           "./a\\9 type=dir",
                           "./a\\4 type=dir",
                           "./a\\777 type=dir",
                           "./a",
                           "./a type=door",
                           "./a type=dir uid=x",
                           "./a type=dir uid=-1",
                           "./a type=dir uid=99999999999",
                           "./a type=dir gid=",
                           "./a type=dir mode=99",
                           "./a type=dir mode=10000",
                           "./a type=dir word",
                           "./a type=dir flags=uchg",
                           "./a type=char device=0,0",
                           "./a type=char device=linux,0",
                           "./a type=dir xattr.=",
                           "./a type=dir xattr.user.a=x",
                           "./a type=dir xattr.user.a=YQ",
                           "./a type=dir xattr.user.a=YR=="}) {
    EXPECT_EQ(error(line).substr(0, 8), "line 3: ") << line << " " << error(line);
  }
}

TEST(Mtree, WhatGitHasOutranksALineThatWasLeftBehind) {
  Items items;
  items["now-a-file"] = Item{Of(S_IFREG | 0644), "1"};
  items["now-a-link"] = Item{Of(S_IFLNK | 0777), "2"};
  const auto applied = ApplyMeta(
      "./now-a-file type=dir uid=3 gid=3 mode=0700\n./now-a-file/beneath type=fifo uid=0 gid=0 mode=0600\n"
      "./now-a-link type=file uid=3 gid=3 mode=0600\n./gone type=file uid=3 gid=3 mode=0600\n",
      items);
  ASSERT_TRUE(applied) << applied.error();
  Items expected = Root();
  expected["now-a-file"] = Item{Of(S_IFREG | 0644), "1"};
  expected["now-a-link"] = Item{Of(S_IFLNK | 0777), "2"};
  EXPECT_EQ(items, expected);
}

}  // namespace
}  // namespace tierfs::history
