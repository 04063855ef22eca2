// The bounded cache of open directories, and the tables of open files.
#include "fs/tree/dir_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "fs/tree/handle_table.h"

namespace tierfs {
namespace {

using std::chrono::milliseconds;

class Dir : public Node {
 public:
  explicit Dir(std::uint64_t number, std::uint32_t of_generation = 1) : Node(NodeId{number}, S_IFDIR, number) {
    generation = of_generation;
  }
};

DirFd Open() { return std::make_shared<const UniqueFd>(::open("/", O_PATH | O_CLOEXEC)); }

TEST(DirCache, DropsTheLeastRecentlyUsedPastItsBound) {
  DirCache cache(3, std::chrono::hours(1));
  for (std::uint64_t node = 1; node <= 3; ++node) cache.Put(Dir(node), 0, Open());
  EXPECT_TRUE(cache.Get(Dir(1), 0));
  cache.Put(Dir(4), 0, Open());
  EXPECT_TRUE(cache.Get(Dir(1), 0));
  EXPECT_FALSE(cache.Get(Dir(2), 0));
  EXPECT_FALSE(cache.Get(Dir(1), 1)) << "another layer is another directory";
  EXPECT_FALSE(cache.Get(Dir(1 + (std::uint64_t{1} << 58)), 0)) << "another file system";
  EXPECT_FALSE(cache.Get(Dir(1, 2), 0)) << "a later directory on the same backing inode";
}

TEST(DirCache, ADescriptorStaysOpenWhileItIsInUse) {
  DirCache cache(1, std::chrono::hours(1));
  cache.Put(Dir(1), 0, Open());
  const DirFd used = cache.Get(Dir(1), 0);
  cache.Put(Dir(2), 0, Open());
  EXPECT_GE(::fcntl((*used).get(), F_GETFD), 0);
  const int number = (*cache.Get(Dir(2), 0)).get();
  cache.Clear();
  EXPECT_LT(::fcntl(number, F_GETFD), 0);
}

TEST(DirCache, AnExpiredDescriptorIsNotUsed) {
  DirCache cache(3, milliseconds(30));
  cache.Put(Dir(1), 0, Open());
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_FALSE(cache.Get(Dir(1), 0));
  // A busy machine may take too long between Put and Get; then the entry may have expired as well.
  for (bool asked_in_time = false; !asked_in_time;) {
    const auto put = std::chrono::steady_clock::now();
    cache.Put(Dir(1), 0, Open());
    const bool found = cache.Get(Dir(1), 0) != nullptr;
    asked_in_time = std::chrono::steady_clock::now() - put < milliseconds(30);
    EXPECT_TRUE(found || !asked_in_time);
  }
}

TEST(DirCache, DropTakesADirectoryOutOfEveryLayer) {
  DirCache cache(9, std::chrono::hours(1));
  for (const LayerIndex layer : {0, 3, 63}) cache.Put(Dir(1), layer, Open());
  cache.Put(Dir(2), 0, Open());
  cache.Drop(Dir(1));
  for (const LayerIndex layer : {0, 3, 63}) EXPECT_FALSE(cache.Get(Dir(1), layer));
  EXPECT_TRUE(cache.Get(Dir(2), 0));
}

TEST(HandleTable, NumbersAreNeverReused) {
  HandleTable table;
  const HandleId first = table.Add(std::make_shared<OpenFile>(nullptr, UniqueFd(), O_RDONLY));
  EXPECT_NE(first.value, 0U) << "0 is no handle";
  EXPECT_TRUE(table.Get(first));
  EXPECT_TRUE(table.Remove(first));
  EXPECT_FALSE(table.Remove(first));
  EXPECT_FALSE(table.Get(first));
  EXPECT_NE(table.Add(std::make_shared<OpenFile>(nullptr, UniqueFd(), O_RDONLY)).value, first.value);
  EXPECT_EQ(table.All().size(), 1U);
}

}  // namespace
}  // namespace tierfs
