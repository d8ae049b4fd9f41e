#pragma once

#include <vector>

#include "harness/report/result.hpp"
#include "harness/scenario/case_matrix.hpp"

namespace feedbench::runner {

/// The comparisons that a scenario asks for, over what was measured. One whose cases were not run here (skipped, or
/// left out by --only) is left out, unless both were planned: then its words say why there is no ratio.
std::vector<report::Comparison> compare_all(const scenario::Scenario& scenario,
                                            const scenario::Expansion& expansion,
                                            const report::Result& result);

}  // namespace feedbench::runner
