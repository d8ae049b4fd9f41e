#pragma once

#include <optional>

#include "harness/report/json_fields.hpp"

namespace feedbench::report {

/// A distribution as the result file carries it: counts and extremes, the percentiles that have enough samples, and the
/// whole of it as HdrHistogram V2 in base64. `null` if absent.
void put_histogram(Json& json, const char* key, const std::optional<measure::Histogram>& histogram);
[[nodiscard]] std::optional<measure::Histogram> get_histogram(const Fields& fields,
                                                              const char* key);

/// Stage name -> distribution with its absent and saturated counts.
void put_stages(Json& json, const char* key, const std::optional<measure::StageHistograms>& stages);
[[nodiscard]] std::optional<measure::StageHistograms> get_stages(const Fields& fields,
                                                                 const char* key);

}  // namespace feedbench::report
