#pragma once

#include <vector>

#include "harness/report/json_fields.hpp"

namespace feedbench::report {

[[nodiscard]] Json build_json(const measure::BuildInfo& build);
[[nodiscard]] measure::BuildInfo build_from(const Fields& fields);
[[nodiscard]] Json environment_json(const measure::Environment& environment);
[[nodiscard]] measure::Environment environment_from(const Fields& fields);
[[nodiscard]] Json floors_json(const std::vector<measure::Floors>& floors);
/// fields: the object that has the member `floors`.
[[nodiscard]] std::vector<measure::Floors> floors_from(const Fields& fields);

}  // namespace feedbench::report
