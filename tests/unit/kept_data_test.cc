// The former content of a file, put together from the file and from what was kept.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "fs/jobs/snapshot/kept_data.h"
#include "fs/os/entries.h"
#include "fs/os/transfer.h"

namespace tierfs::snapshot {
namespace {

constexpr std::size_t kPart = 65536;

class KeptDataTest : public ::testing::Test {
 protected:
  KeptDataTest() {
    directory_ = *OpenDirectory("/var/tmp", O_RDONLY);
    file_ = UniqueFd(::openat(directory_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    store_ = *Store::Make(directory_.get(), budget_);
  }
  void Fill(const std::string& content) {
    before_ = content;
    ASSERT_TRUE(WriteAt(file_.get(), content.data(), content.size(), 0));
    data_ = std::make_unique<KeptData>(*store_, static_cast<off_t>(content.size()));
  }
  // Announces the change and makes it.
  void Write(off_t offset, const std::string& bytes) {
    ASSERT_TRUE(data_->Keep(file_.get(), offset, static_cast<off_t>(bytes.size())));
    ASSERT_TRUE(WriteAt(file_.get(), bytes.data(), bytes.size(), offset));
  }
  [[nodiscard]] std::string Shown(off_t offset, std::size_t size) const {
    std::string shown(size, '\0');
    EXPECT_TRUE(ReadAt(file_.get(), shown.data(), size, offset));
    EXPECT_TRUE(data_->Overlay(shown.data(), size, offset));
    return shown;
  }

  Budget budget_{1 << 20};
  UniqueFd directory_;
  UniqueFd file_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<KeptData> data_;
  std::string before_;
};

TEST_F(KeptDataTest, ShowsTheFormerBytesWhateverIsWritten) {
  std::mt19937 random(1);
  std::string content(5 * kPart + 1234, '\0');
  for (char& byte : content) byte = static_cast<char>('a' + random() % 26);
  Fill(content);
  for (int i = 0; i < 40; ++i) {
    const auto offset = static_cast<off_t>(random() % content.size());
    Write(offset, std::string(1 + random() % 9000, '#'));
    const std::size_t from = random() % content.size();
    const std::size_t size = std::min<std::size_t>(1 + random() % 200'000, content.size() - from);
    ASSERT_EQ(Shown(static_cast<off_t>(from), size), content.substr(from, size)) << "write " << i;
  }
}

TEST_F(KeptDataTest, IsCompleteOnceAllIsKept) {
  Fill(std::string(2 * kPart + 10, 'o'));
  EXPECT_FALSE(data_->Complete());
  ASSERT_TRUE(data_->Keep(file_.get(), 0, static_cast<off_t>(before_.size())));
  EXPECT_TRUE(data_->Complete());
  ASSERT_EQ(::ftruncate(file_.get(), 0), 0);
  EXPECT_EQ(Shown(0, before_.size()), before_);
}

TEST_F(KeptDataTest, NeedsNothingForWhatComesAfterTheEnd) {
  Fill("short");
  ASSERT_TRUE(data_->Keep(file_.get(), 5, 1000));
  EXPECT_EQ(budget_.used(), 0U);
}

TEST_F(KeptDataTest, FailsWhenTheBudgetIsUsedUpAndTakesNoMore) {
  Fill(std::string(40 * kPart, 'o'));  // 2.5 MiB, and 1 MiB is allowed
  const Status kept = data_->Keep(file_.get(), 0, static_cast<off_t>(before_.size()));
  // A file system that shares blocks needs no budget.
  if (!kept) {
    EXPECT_EQ(kept.error().code, EDQUOT);
  }
  EXPECT_LE(budget_.used(), std::uint64_t{1 << 20});
}

TEST_F(KeptDataTest, KnowsTheHoles) {
  Fill("");
  ASSERT_EQ(::ftruncate(file_.get(), static_cast<off_t>(1) << 40), 0);
  ASSERT_TRUE(WriteAt(file_.get(), "data", 4, 10 * kPart));
  data_ = std::make_unique<KeptData>(*store_, static_cast<off_t>(1) << 40);
  ASSERT_TRUE(data_->Keep(file_.get(), 0, 1));
  ASSERT_TRUE(WriteAt(file_.get(), "new", 3, 0));
  const auto data = data_->Seek(file_.get(), 0, SEEK_DATA);
  ASSERT_TRUE(data);
  EXPECT_EQ(*data, off_t{10 * kPart});
  EXPECT_EQ(data_->Seek(file_.get(), 0, SEEK_HOLE).value_or(-1), 0);
  const auto hole = data_->Seek(file_.get(), *data, SEEK_HOLE);
  ASSERT_TRUE(hole);
  EXPECT_GT(*hole, *data);
  EXPECT_EQ(data_->Seek(file_.get(), *hole, SEEK_DATA).error().code, ENXIO);
}

}  // namespace
}  // namespace tierfs::snapshot
