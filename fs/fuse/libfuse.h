// The differences between versions of libfuse (include/fuse_common.h, fuse_lowlevel.h and
// ChangeLog.rst of each). Only this file checks the version.
#pragma once

#include <fuse_lowlevel.h>

#include <cstdint>

namespace tierfs {

// Passthrough came with 3.17, and with it backing_id, parallel_direct_writes and the feature
// functions.
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
inline constexpr bool kHasPassthrough = true;
inline constexpr std::uint64_t kPassthroughFeature = FUSE_CAP_PASSTHROUGH;

inline bool WantFeature(fuse_conn_info& connection, std::uint64_t feature) { return fuse_set_feature_flag(&connection, feature); }
inline void RefuseFeature(fuse_conn_info& connection, std::uint64_t feature) { fuse_unset_feature_flag(&connection, feature); }
inline void SetStackDepth(fuse_conn_info& connection, unsigned depth) { connection.max_backing_stack_depth = depth; }
inline void SetBacking(fuse_file_info& info, std::int32_t id) { info.backing_id = id; }
inline void SetParallelWrites(fuse_file_info& info, bool allowed) { info.parallel_direct_writes = allowed ? 1 : 0; }
inline void SetTmpFile(fuse_lowlevel_ops& table, void (*callback)(fuse_req_t, fuse_ino_t, mode_t, fuse_file_info*)) {
  table.tmpfile = callback;
}
#else
inline constexpr bool kHasPassthrough = false;
inline constexpr std::uint64_t kPassthroughFeature = 0;

inline bool WantFeature(fuse_conn_info& connection, std::uint64_t feature) {
  const auto flag = static_cast<unsigned>(feature);
  if ((connection.capable & flag) == 0) return false;
  connection.want |= flag;
  return true;
}
inline void RefuseFeature(fuse_conn_info& connection, std::uint64_t feature) { connection.want &= ~static_cast<unsigned>(feature); }
inline void SetStackDepth(fuse_conn_info&, unsigned) {}
inline void SetBacking(fuse_file_info&, std::int32_t) {}
inline void SetParallelWrites(fuse_file_info&, bool) {}
inline void SetTmpFile(fuse_lowlevel_ops&, void (*)(fuse_req_t, fuse_ino_t, mode_t, fuse_file_info*)) {}
#endif

// The second variant of this capability asks less of the daemon. Only one may be chosen.
inline void WantKillPriv(fuse_conn_info& connection) {
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
  RefuseFeature(connection, FUSE_CAP_HANDLE_KILLPRIV);
  WantFeature(connection, FUSE_CAP_HANDLE_KILLPRIV_V2);
#else
  WantFeature(connection, FUSE_CAP_HANDLE_KILLPRIV);
#endif
}

// io_uring came with 3.18.
#ifdef FUSE_CAP_OVER_IO_URING
inline constexpr bool kHasUring = true;
inline bool CameOverUring(fuse_req_t request) { return fuse_req_is_uring(request); }
// Answers each FUSE_INTERRUPT with ENOSYS, after which the kernel sends no more, unless requests
// come over io_uring. libfuse does not find such a request by its number, so it would keep every
// interrupt until a FORGET comes, and search through them all.
inline void RefuseInterrupts(fuse_conn_info& connection) { connection.no_interrupt = 1; }
#else
inline constexpr bool kHasUring = false;
inline bool CameOverUring(fuse_req_t) { return false; }
inline void RefuseInterrupts(fuse_conn_info&) {}
#endif

// Each core's queue has one thread. libfuse 3.18 as released accepts replies from no other thread
// (scripts/libfuse-3.18-answers.patch).
#ifdef FUSE_URING_ANSWERS_FROM_ANY_THREAD
inline constexpr bool kAnswersFromAnyThread = true;
#else
inline constexpr bool kAnswersFromAnyThread = false;
#endif

}  // namespace tierfs
