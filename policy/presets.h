// Rule sets that come with the program, for `include <NAME>`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tierfs::policy {

[[nodiscard]] std::optional<std::string_view> PresetNamed(std::string_view name);
// Returns "<debian>, <docker>, ...", for messages.
[[nodiscard]] std::string PresetNames();
[[nodiscard]] std::vector<std::string_view> AllPresets();

}  // namespace tierfs::policy
