// Files that are moving from one layer to another.
#pragma once

#include <atomic>
#include <cstdint>

namespace tierfs {

// A lookup goes through the layers one by one. It may miss a file that moves meanwhile to a layer
// that was searched already. Moves are therefore counted, and a lookup that missed a file is
// repeated. A move that lasts the whole time costs at most one repeat, because a file disappears
// from a layer once. Thread-safe.
class Relocations {
 public:
  // Lives from before a file disappears from a layer until the node table has its new place. The
  // mutex of the file must be held.
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

  // Grows at the beginning and at the end of every move.
  [[nodiscard]] std::uint64_t Count() const { return count_.load(); }
  // Whether no move has been under way since Count() returned `count`.
  [[nodiscard]] bool NoneSince(std::uint64_t count) const { return under_way_.load() == 0 && count_.load() == count; }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint32_t> under_way_{0};
};

}  // namespace tierfs
