#include "harness/report/histogram_json.hpp"

#include <array>
#include <utility>

#include "harness/measure/histogram_codec.hpp"

namespace feedbench::report {
namespace {

constexpr std::array<std::pair<const char*, double>, 6> kPercentiles = {{{"p50", 50},
                                                                         {"p90", 90},
                                                                         {"p99", 99},
                                                                         {"p99.9", 99.9},
                                                                         {"p99.99", 99.99},
                                                                         {"p99.999", 99.999}}};

Json histogram_json(const measure::Histogram& histogram) {
  const bool some = !histogram.empty();
  Json json;
  json["unit"] = "ns";
  json["count"] = histogram.count();
  json["overflow"] = histogram.overflow_count();
  json["negative"] = histogram.negative_count();
  json["min"] = some ? Json(histogram.min()) : Json(nullptr);
  json["max"] = some ? Json(histogram.max()) : Json(nullptr);
  json["mean"] = histogram.bucket_count() > 0 ? Json(histogram.mean()) : Json(nullptr);
  json["stddev"] = histogram.bucket_count() > 0 ? Json(histogram.stddev()) : Json(nullptr);
  json["percentiles"] = Json::object();
  for (const auto& [name, percentile] : kPercentiles) {
    put(json["percentiles"], name, histogram.supported_percentile(percentile));
  }
  json["v2"] = measure::encode_v2_base64(histogram);
  return json;
}

measure::Histogram histogram_from(const Fields& fields) {
  std::string encoded;
  fields.get("v2", encoded);
  measure::Histogram histogram;
  try {
    histogram = measure::decode_v2_base64(encoded);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", fields.path("v2"), error.what()));
  }
  std::uint64_t overflow = 0;
  std::uint64_t negative = 0;
  std::optional<std::int64_t> min;
  std::optional<std::int64_t> max;
  fields.get("overflow", overflow);
  fields.get("negative", negative);
  fields.get("min", min);
  fields.get("max", max);
  histogram.add_overflow(overflow, max.value_or(0));
  histogram.add_negative(negative);
  if (min && max) histogram.restore_extremes(*min, *max);
  return histogram;
}

}  // namespace

void put_histogram(Json& json, const char* key,
                   const std::optional<measure::Histogram>& histogram) {
  json[key] = histogram ? histogram_json(*histogram) : Json(nullptr);
}

std::optional<measure::Histogram> get_histogram(const Fields& fields, const char* key) {
  if (fields.absent(key)) return std::nullopt;
  return histogram_from(fields.object(key));
}

void put_stages(Json& json, const char* key,
                const std::optional<measure::StageHistograms>& stages) {
  if (!stages) {
    json[key] = nullptr;
    return;
  }
  Json all = Json::object();
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    const measure::StageHistogram& stage = stages->at(static_cast<measure::Stage>(i));
    Json one = histogram_json(stage.histogram);
    one["absent"] = stage.absent;
    one["saturated"] = stage.saturated;
    all[std::string(measure::kStageNames[i])] = std::move(one);
  }
  json[key] = std::move(all);
}

std::optional<measure::StageHistograms> get_stages(const Fields& fields, const char* key) {
  if (fields.absent(key)) return std::nullopt;
  const Fields all = fields.object(key);
  measure::StageHistograms stages;
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    const Fields one = all.object(std::string(measure::kStageNames[i]).c_str());
    measure::StageHistogram& stage = stages.at(static_cast<measure::Stage>(i));
    stage.histogram = histogram_from(one);
    one.get("absent", stage.absent);
    one.get("saturated", stage.saturated);
  }
  return stages;
}

}  // namespace feedbench::report
