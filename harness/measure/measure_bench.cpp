#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "harness/measure/bootstrap.hpp"
#include "harness/measure/histogram.hpp"
#include "harness/measure/histogram_codec.hpp"

namespace feedbench::measure {
namespace {

/// Latencies as they come: most near 20 us, a tail of milliseconds. Enough of them that the branch predictor cannot
/// learn them by heart.
std::vector<std::int64_t> latencies() {
  SplitMix64 random(1);
  std::vector<std::int64_t> values(1 << 16);
  for (std::int64_t& value : values) {
    value = static_cast<std::int64_t>(18'000 / std::pow(1 - random.unit(), 0.35));
  }
  return values;
}

Histogram recorded(const std::vector<std::int64_t>& values) {
  Histogram histogram;
  for (const std::int64_t value : values) histogram.record(value);
  return histogram;
}

/// Empty where the histogram answers as the sorted values do; else what is wrong. A wrong answer is not timed.
std::string fault_of(const Histogram& histogram, std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  if (histogram.count() != values.size()) return "the histogram lost values";
  for (const double percentile : {50.0, 99.0, 99.9}) {
    const auto rank =
        static_cast<std::size_t>(std::ceil(percentile / 100 * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1]);
    const auto shown = static_cast<double>(histogram.value_at_percentile(percentile));
    if (shown < exact || shown > exact * 1.001 + 1) return "a percentile is off by more than 0.1 %";
  }
  if (decode_v2_base64(encode_v2_base64(histogram)) != histogram)
    return "the encoding does not read back";
  return "";
}

bool refused(benchmark::State& state, const std::vector<std::int64_t>& values) {
  const std::string fault = fault_of(recorded(values), values);
  if (fault.empty()) return false;
  state.SkipWithError(fault.c_str());
  return true;
}

void record(benchmark::State& state) {
  const std::vector<std::int64_t> values = latencies();
  if (refused(state, values)) return;
  Histogram histogram;
  std::size_t at = 0;
  for (auto _ : state) {
    histogram.record(values[at++ & (values.size() - 1)]);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record)->Name("BM_histogram/record/latencies");

void record_same(benchmark::State& state) {
  if (refused(state, latencies())) return;
  Histogram histogram;
  for (auto _ : state) {
    histogram.record(20'000);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record_same)->Name("BM_histogram/record/same_bucket");

void percentile(benchmark::State& state) {
  const std::vector<std::int64_t> values = latencies();
  if (refused(state, values)) return;
  const Histogram histogram = recorded(values);
  for (auto _ : state) benchmark::DoNotOptimize(histogram.value_at_percentile(99));
}
BENCHMARK(percentile)->Name("BM_histogram/percentile/p99");

void merge(benchmark::State& state) {
  const std::vector<std::int64_t> values = latencies();
  if (refused(state, values)) return;
  const Histogram histogram = recorded(values);
  Histogram sum;
  for (auto _ : state) sum.merge(histogram);
  benchmark::DoNotOptimize(sum.count());
}
BENCHMARK(merge)->Name("BM_histogram/merge/same_range");

void encode(benchmark::State& state) {
  const std::vector<std::int64_t> values = latencies();
  if (refused(state, values)) return;
  const Histogram histogram = recorded(values);
  for (auto _ : state) benchmark::DoNotOptimize(encode_v2_base64(histogram));
}
BENCHMARK(encode)->Name("BM_histogram/encode/v2_base64");

void decode(benchmark::State& state) {
  const std::vector<std::int64_t> values = latencies();
  if (refused(state, values)) return;
  const std::string text = encode_v2_base64(recorded(values));
  for (auto _ : state) benchmark::DoNotOptimize(decode_v2_base64(text));
}
BENCHMARK(decode)->Name("BM_histogram/decode/v2_base64");

}  // namespace
}  // namespace feedbench::measure
