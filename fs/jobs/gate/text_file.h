// The small text files of the gate, which several processes change.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace tierfs::gate {

// Returns the text; "" if there is no such file. The error is one line that names the file.
[[nodiscard]] tl::expected<std::string, std::string> ReadText(const std::string& path);

// Replaces the text by what `edit` makes of it, as a whole and durably: after a crash the file has
// the old text or the new one. Nothing is written if `edit` returns none or an error. A new file
// can be read by its owner only; an existing one keeps its owner and mode.
//
// Others who call this with the same `lock`, a file that is made if necessary, wait.
using Edit = std::function<tl::expected<std::optional<std::string>, std::string>(const std::string& text)>;
[[nodiscard]] tl::expected<void, std::string> EditText(const std::string& path, const std::string& lock, const Edit& edit);

// Takes the first line off `text` and returns it, without its end.
[[nodiscard]] std::string_view TakeLine(std::string_view& text);

}  // namespace tierfs::gate
