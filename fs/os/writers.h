// Who may still change a file's content.
#pragma once

namespace tierfs {

// Whether somebody has the file open, or mapped, for writing; `unknown` when it cannot be told.
// `file` must be open for reading alone. For an instant there is a lease on the file. SIGIO, which
// tells that somebody breaks it, is ignored from the first call on.
[[nodiscard]] bool HasWriters(int file, bool unknown);

// Whether a store into a shared mapping moves the file's times once its pages have been written
// out. False when it cannot be told.
[[nodiscard]] bool StoresMoveTimes(int file);

}  // namespace tierfs
