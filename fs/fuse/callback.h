// The functions that libfuse calls. Each counts the request and runs its handler: on the same
// thread or, if it may take long, on a thread of its own.
#pragma once

#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <optional>
#include <tuple>
#include <type_traits>

#include "fs/fuse/request.h"

namespace tierfs {

// Keeps an argument valid after libfuse's callback has returned. Names and values are part of the
// request, which lives until it is answered. The structures copied here are on libfuse's stack.
template <typename T>
class Kept {
 public:
  explicit Kept(T value) : value_(value) {}
  T Get() { return value_; }

 private:
  T value_;
};
template <typename T>
class KeptCopy {
 public:
  explicit KeptCopy(T* value) : value_(value == nullptr ? std::nullopt : std::optional<T>(*value)) {}
  T* Get() { return value_ ? &*value_ : nullptr; }

 private:
  std::optional<T> value_;
};
template <>
class Kept<fuse_file_info*> : public KeptCopy<fuse_file_info> {
  using KeptCopy::KeptCopy;
};
template <>
class Kept<struct stat*> : public KeptCopy<struct stat> {
  using KeptCopy::KeptCopy;
};

// Whether a request may take so long that others should not wait for it. Fixed, or a function of
// the handler's arguments.
enum class Takes { kShort, kLong };

template <Opcode opcode, auto handler, auto takes_long>
struct CountedCallback;
template <Opcode opcode, typename... Arguments, void (*handler)(fuse_req_t, Arguments...), auto takes_long>
struct CountedCallback<opcode, handler, takes_long> {
  static void Call(fuse_req_t request, Arguments... arguments) {
    Mount& mount = MountOf(request);
    mount.counters().Add(opcode);
    if (Workers* workers = mount.WorkersFor(request)) {
      bool aside = false;
      if constexpr (std::is_same_v<decltype(takes_long), Takes>) {
        aside = takes_long == Takes::kLong;
      } else {
        aside = takes_long(request, arguments...);
      }
      if (aside) {
        workers->Run([request, kept = std::tuple(Kept<Arguments>(arguments)...)]() mutable {
          const Serving serving(CallerOf(request));
          std::apply([request](auto&... each) { handler(request, each.Get()...); }, kept);
        });
        return;
      }
    }
    const Serving serving(CallerOf(request));
    handler(request, arguments...);
  }
};
template <Opcode opcode, auto handler, auto takes_long = Takes::kShort>
inline constexpr auto Callback = &CountedCallback<opcode, handler, takes_long>::Call;

}  // namespace tierfs
