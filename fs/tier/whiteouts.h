// The marks that hide lower entries, as the kernel's overlayfs knows them
// (Documentation/filesystems/overlayfs.rst).
#pragma once

#include "fs/os/result.h"

namespace tierfs {

// Puts a whiteout at `name`; one that stands there already will do. EEXIST when something else
// does.
[[nodiscard]] Status MakeWhiteout(int dir, const char* name);

// rmdir of a directory that holds nothing but whiteouts; ENOTEMPTY if it holds more. On failure the
// directory keeps its whiteouts.
[[nodiscard]] Status RemoveEmptyPart(int dir, const char* name);

// An opaque directory shows nothing of the layers beneath it. Tools that unpack images as root
// write the trusted mark, others the user mark.
[[nodiscard]] bool IsOpaque(int dir, const char* name);

}  // namespace tierfs
