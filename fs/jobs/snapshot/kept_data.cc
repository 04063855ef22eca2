#include "fs/jobs/snapshot/kept_data.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "fs/os/change_observer.h"

namespace tierfs::snapshot {
namespace {

constexpr off_t kBlock = 4096;

bool HasData(int file, off_t begin, off_t end) {
  const off_t data = ::lseek(file, begin, SEEK_DATA);
  if (data < 0) return errno != ENXIO;
  return data < end;
}

}  // namespace

Status KeptData::Keep(int file, off_t offset, off_t length) {
  if (offset >= size_) return {};
  const off_t end = length > size_ - offset ? size_ : offset + length;
  const Lock lock(mutex_);
  if (offset >= shared_end_ || shared_ == kNotShared) {
    if (share_ && parts_.empty() && size_ >= kBlock) {
      const off_t whole = size_ / kBlock * kBlock;
      const auto clone = store_.Clone(file, whole);
      if (!clone && clone.error().code != EOPNOTSUPP) return tl::unexpected(clone.error());
      share_ = clone.has_value();
      if (clone) {
        shared_ = *clone;
        shared_end_ = whole;
        // The rest of the last block, so that the file is complete.
        return KeepPart(file, static_cast<std::uint64_t>((size_ - 1) / kPart));
      }
    }
  } else if (end <= shared_end_) {
    return {};
  }
  // Not half of it, only to find the store full.
  if (!store_.HasRoomFor(static_cast<std::uint64_t>(end - offset) / kPart * kPart) && parts_.empty())
    return Fail(EDQUOT, "the store is full");
  const auto last = static_cast<std::uint64_t>((end - 1) / kPart);
  for (auto part = static_cast<std::uint64_t>(offset / kPart); part <= last; ++part) TIERFS_TRY(KeepPart(file, part));
  return {};
}

Status KeptData::KeepPart(int file, std::uint64_t part) {
  if (parts_.contains(part)) return {};
  const off_t begin = static_cast<off_t>(part) * kPart;
  const off_t end = EndOf(part);
  if (shared_ != kNotShared && end <= shared_end_) return {};
  off_t place = kHole;
  if (HasData(file, begin, end)) {
    TIERFS_ASSIGN(place, store_.Copy(file, begin, static_cast<std::size_t>(end - begin)));
  }
  parts_[part] = place;
  return {};
}

bool KeptData::Complete() const {
  const Lock lock(mutex_);
  if (size_ == 0 || parts_.size() == CountParts()) return true;
  return shared_ != kNotShared && (shared_end_ == size_ || parts_.contains(CountParts() - 1));
}

KeptData::Extent KeptData::At(off_t offset) const {
  const auto part = static_cast<std::uint64_t>(offset / kPart);
  const auto next = parts_.lower_bound(part);
  if (next != parts_.end() && next->first == part) return {true, next->second != kHole, EndOf(part)};
  const off_t end = next == parts_.end() ? size_ : static_cast<off_t>(next->first) * kPart;
  if (shared_ != kNotShared && offset < shared_end_) return {true, true, std::min(shared_end_, end)};
  return {false, true, end};
}

Status KeptData::Overlay(char* buffer, std::size_t size, off_t offset) const {
  const off_t end = std::min(size_, offset + static_cast<off_t>(size));
  const Lock lock(mutex_);
  while (offset < end) {
    const Extent extent = At(offset);
    const off_t stop = std::min(extent.end, end);
    const auto length = static_cast<std::size_t>(stop - offset);
    if (extent.kept && !extent.data) {
      std::memset(buffer, 0, length);
    } else if (extent.kept) {
      const auto part = static_cast<std::uint64_t>(offset / kPart);
      const auto kept = parts_.find(part);
      const off_t place = kept != parts_.end() ? kept->second + offset % kPart : shared_ + offset;
      TIERFS_TRY(store_.Read(buffer, length, place));
    }
    buffer += length;
    offset = stop;
  }
  return {};
}

Result<off_t> KeptData::Seek(int file, off_t offset, int whence) const {
  if (offset >= size_) return Fail(ENXIO, "lseek");
  const Lock lock(mutex_);
  while (offset < size_) {
    const Extent extent = At(offset);
    bool data = extent.data;
    off_t end = extent.end;
    const auto part = static_cast<std::uint64_t>(offset / kPart);
    const bool in_clone = extent.kept && !parts_.contains(part);
    if (!extent.kept || in_clone) {
      // The file itself, or its clone, knows the holes.
      const int source = in_clone ? store_.file() : file;
      const off_t shift = in_clone ? shared_ : 0;
      const off_t next = ::lseek(source, offset + shift, SEEK_DATA);
      if (next < 0 && errno != ENXIO) return FailErrno("lseek");
      data = next == offset + shift;
      const off_t change = data ? ::lseek(source, offset + shift, SEEK_HOLE) : next;
      // A store that was made larger since, or a file that was cut, may end before.
      if (change >= 0) end = std::clamp(change - shift, offset + 1, end);
    }
    if (data == (whence == SEEK_DATA)) return offset;
    offset = end;
  }
  if (whence == SEEK_HOLE) return size_;
  return Fail(ENXIO, "lseek");
}

}  // namespace tierfs::snapshot
