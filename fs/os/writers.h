// Who may still change a file's content.
#pragma once

namespace tierfs {

// Whether somebody has the file open, or mapped, for writing. `file` must be open for reading alone. True when it cannot be told.
// For an instant there is a lease on the file: SIGIO has to be ignored.
[[nodiscard]] bool HasWriters(int file);

// Whether a store into a shared mapping moves the file's times once its pages have been written out. False when it cannot be told.
[[nodiscard]] bool StoresMoveTimes(int file);

}  // namespace tierfs
