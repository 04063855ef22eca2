// The parts of a request that every callback uses.
#pragma once

#include <fuse_lowlevel.h>

#include "fs/fuse/mount.h"
#include "fs/os/caller.h"

namespace tierfs {

[[nodiscard]] inline Mount& MountOf(fuse_req_t request) { return *static_cast<Mount*>(fuse_req_userdata(request)); }
[[nodiscard]] inline Tree& TreeOf(fuse_req_t request) { return MountOf(request).tree(); }
[[nodiscard]] inline Caller CallerOf(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return Caller{context->uid, context->gid, context->pid, context->umask};
}
[[nodiscard]] inline HandleId HandleOf(const fuse_file_info* info) { return info == nullptr ? HandleId{} : HandleId{info->fh}; }

}  // namespace tierfs
