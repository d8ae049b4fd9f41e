#pragma once

#include <cstdint>
#include <string>

#include "harness/report/result.hpp"

/// Made-up results for tests of tables and plots. Nothing in them was measured, and they say so in their name,
/// description and every note; they are never shipped as results.
namespace feedbench::report::testing {

enum class SyntheticKind : std::uint8_t {
  full,  ///< latency and fan-out groups over 1 to 128 clients, one case skipped, one repetition invalid
  one_count,     ///< one client count only
  all_skipped,   ///< no case could run
  invalid_only,  ///< every repetition is invalid
};

/// The kind of that name. errors: std::invalid_argument.
[[nodiscard]] SyntheticKind synthetic_kind(const std::string& name);

/// Deterministic for one kind and seed.
[[nodiscard]] Result synthetic_result(SyntheticKind kind, std::uint64_t seed = 1);

}  // namespace feedbench::report::testing
