#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/measure/histogram.hpp"

namespace feedbench::measure {

/// The histogram in HdrHistogram's V2 form: 40-byte header, counts as ZigZag LEB128 with runs of
/// zeros. Overflow and negative counts are no part of that form. source: HdrHistogram's documented
/// V2 encoding (cookie 0x1c849303 | 0x10).
[[nodiscard]] std::vector<std::byte> encode_v2(const Histogram& histogram);
/// The same, deflated (cookie 0x1c849304 | 0x10) and in base64: what histogram logs carry.
[[nodiscard]] std::string encode_v2_base64(const Histogram& histogram);

/// Reads either form, V2, plain or deflated. errors: std::runtime_error, one sentence; never reads
/// past the input and never allocates more than the header's own range needs (at most 64 MiB).
[[nodiscard]] Histogram decode_v2(std::span<const std::byte> bytes);
[[nodiscard]] Histogram decode_v2_base64(std::string_view text);

}  // namespace feedbench::measure
