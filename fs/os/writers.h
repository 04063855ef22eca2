// Finds out whether a file's content can still be changed through an open file or a mapping.
#pragma once

namespace tierfs {

// Whether the file is open or mapped for writing; returns `unknown` if that cannot be determined.
// `file` must be open for reading only. The call takes a lease on the file for an instant. From the
// first call on the process ignores SIGIO, which reports that a lease is being broken.
[[nodiscard]] bool HasWriters(int file, bool unknown);

// Whether a store into a shared mapping changes the file's times once its pages have been written
// out. False if that cannot be determined.
[[nodiscard]] bool StoresMoveTimes(int file);

}  // namespace tierfs
