// Errors are values: every call that can fail returns Result<T>. The errno is captured on the line
// after the system call.
#pragma once

#include <cerrno>
#include <tl/expected.hpp>

namespace tierfs {

// A failed system call, or a refusal by tierfs: the errno for the user, and the failed step for the
// log.
struct Error {
  int code;          // errno, never 0
  const char* step;  // a string literal that names the failed step
};

template <typename T>
using Result = tl::expected<T, Error>;

// Success or failure without a value.
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> Fail(int code, const char* step) { return tl::unexpected(Error{code, step}); }

// Returns the errno of the system call on the line before.
[[nodiscard]] inline tl::unexpected<Error> FailErrno(const char* step) { return Fail(errno, step); }

}  // namespace tierfs

// Returns the error of `expression` to the caller, or continues.
#define TIERFS_TRY(expression)                                        \
  do {                                                                \
    auto tierfs_status = (expression);                                \
    if (!tierfs_status) return tl::unexpected(tierfs_status.error()); \
  } while (false)

#define TIERFS_CONCAT_INNER(a, b) a##b
#define TIERFS_CONCAT(a, b) TIERFS_CONCAT_INNER(a, b)

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration must not stand in parentheses.
//
// `TIERFS_ASSIGN(auto fd, Open(...))` declares or assigns the value, or returns the error to the
// caller.
#define TIERFS_ASSIGN(target, expression) TIERFS_ASSIGN_AS(TIERFS_CONCAT(tierfs_result_, __LINE__), target, expression)
#define TIERFS_ASSIGN_AS(result, target, expression)  \
  auto result = (expression);                         \
  if (!result) return tl::unexpected(result.error()); \
  target = std::move(*result)
// NOLINTEND(bugprone-macro-parentheses)
