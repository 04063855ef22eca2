// The marks that hide lower entries, in the format of the kernel's overlayfs
// (Documentation/filesystems/overlayfs.rst).
#pragma once

#include "fs/os/result.h"

namespace tierfs {

// Puts a whiteout at `name`. Succeeds if a whiteout is already there. EEXIST if another entry is.
[[nodiscard]] Status MakeWhiteout(int dir, const char* name);

// rmdir of a directory that holds nothing but whiteouts; ENOTEMPTY if it holds more. On failure the
// directory keeps its whiteouts.
[[nodiscard]] Status RemoveEmptyPart(int dir, const char* name);

// Whether the directory `name` is opaque: it hides the layers beneath it. Tools that unpack images
// as root write the trusted mark; other tools write the user mark.
[[nodiscard]] Result<bool> IsOpaque(int dir, const char* name);

}  // namespace tierfs
