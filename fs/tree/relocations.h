// Files that are on their way from one layer to another.
#pragma once

#include <atomic>
#include <cstdint>

namespace tierfs {

// A look through the layers one by one may miss a file that moves meanwhile to one already looked
// at. So movers count, and a look that has missed a file is taken again: at most once more for a
// move that lasts all the time, because a file disappears from a layer once.
class Relocations {
 public:
  // From before a file disappears in a layer until the node table says where it is. With the file's
  // mutex held.
  class UnderWay {
   public:
    explicit UnderWay(Relocations& relocations) : relocations_(relocations) {
      relocations_.under_way_.fetch_add(1);
      relocations_.count_.fetch_add(1);
    }
    ~UnderWay() {
      relocations_.count_.fetch_add(1);
      relocations_.under_way_.fetch_sub(1);
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

   private:
    Relocations& relocations_;
  };

  // Grows with every beginning and every end.
  [[nodiscard]] std::uint64_t Count() const { return count_.load(); }
  // No move was under way at any time since the count was this.
  [[nodiscard]] bool NoneSince(std::uint64_t count) const { return under_way_.load() == 0 && count_.load() == count; }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint32_t> under_way_{0};
};

}  // namespace tierfs
