#include "harness/runner/comparisons.hpp"

#include <fmt/format.h>

#include "harness/report/metrics.hpp"

namespace feedbench::runner {
namespace {

const report::Case* selected(const scenario::Selector& selector,
                             const scenario::Expansion& expansion, const report::Result& result) {
  for (const scenario::Case& c : expansion.all) {
    if (matches(c, selector)) return report::find_case(result, c.name());
  }
  return nullptr;
}

// A metric held against a bound by itself: its median over the valid repeats.
report::Comparison by_itself(const scenario::Ratio& ratio, const report::Case& measured) {
  report::Comparison out;
  out.name = ratio.name;
  out.metric = ratio.metric;
  out.numerator = measured.name;
  if (const auto found = report::band(measured, ratio.metric)) {
    out.ratio = found->median;
    out.low = found->low;
    out.high = found->high;
    out.pairs = found->repetitions;
    out.words = "the value itself: median, smallest and largest of the repeats";
  } else {
    out.words = "no valid repeat has this number";
  }
  return out;
}

}  // namespace

std::vector<report::Comparison> compare_all(const scenario::Scenario& scenario,
                                            const scenario::Expansion& expansion,
                                            const report::Result& result) {
  std::vector<report::Comparison> out;
  for (const scenario::Ratio& ratio : scenario.ratios) {
    const report::Case* numerator = selected(ratio.numerator, expansion, result);
    const report::Case* denominator = selected(ratio.denominator, expansion, result);
    if (numerator == nullptr || (denominator == nullptr && !ratio.denominator.empty())) continue;
    report::Comparison comparison;
    if (ratio.denominator.empty()) {
      comparison = by_itself(ratio, *numerator);
      if (ratio.bound) {
        comparison.bound = ratio.bound->value;
        comparison.bound_is_upper = ratio.bound->at_most;
        if (comparison.ratio) {
          comparison.met = ratio.bound->at_most ? *comparison.ratio <= ratio.bound->value
                                                : *comparison.ratio >= ratio.bound->value;
        }
      }
    } else {
      report::ComparisonRequest request;
      request.name = ratio.name;
      request.metric = ratio.metric;
      if (ratio.bound) {
        request.bound = ratio.bound->value;
        request.bound_is_upper = ratio.bound->at_most;
      }
      comparison = report::compare(request, *numerator, *denominator, scenario.seed);
    }
    if (const auto group = ratio.numerator.find("group"); group != ratio.numerator.end())
      comparison.group = group->second;
    if (comparison.group.empty() && scenario.groups.size() == 1)
      comparison.group = scenario.groups.front().name;
    out.push_back(std::move(comparison));
  }
  return out;
}

}  // namespace feedbench::runner
