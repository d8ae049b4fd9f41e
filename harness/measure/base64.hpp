#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace feedbench::measure {

/// Base64 with padding. source: RFC 4648 §4.
[[nodiscard]] std::string base64_encode(std::span<const std::byte> bytes);
/// Padding may be left out. Nothing if any other character stands in the text.
[[nodiscard]] std::optional<std::vector<std::byte>> base64_decode(std::string_view text);

}  // namespace feedbench::measure
