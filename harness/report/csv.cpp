#include <fmt/format.h>

#include "harness/report/metrics.hpp"
#include "harness/report/table.hpp"

namespace feedbench::report {
namespace {

/// RFC 4180: quoted where a comma, a quote or a line break asks for it.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char letter : text) {
    quoted += letter;
    if (letter == '"') quoted += '"';
  }
  return quoted + '"';
}

class Line {
 public:
  Line& text(const std::string& cell) {
    if (!first_) line_ += ',';
    first_ = false;
    line_ += csv_cell(cell);
    return *this;
  }
  template <typename Number>
  Line& number(Number value) {
    return text(fmt::format("{}", value));
  }
  template <typename Number>
  Line& number(const std::optional<Number>& value) {
    return value ? number(*value) : text("");
  }
  [[nodiscard]] std::string end() const { return line_ + "\r\n"; }

 private:
  std::string line_;
  bool first_ = true;
};

std::string header() {
  Line line;
  for (const char* name : {"group",
                           "case",
                           "system",
                           "transport",
                           "network",
                           "wait",
                           "tls",
                           "clients",
                           "pace",
                           "payload_bytes",
                           "stamps",
                           "via",
                           "ring",
                           "repeat",
                           "order_index",
                           "valid",
                           "reasons",
                           "skipped",
                           "seconds",
                           "frames_sent",
                           "frames_delivered",
                           "bytes_delivered",
                           "latency_samples"}) {
    line.text(name);
  }
  for (const Metric& metric : metrics()) line.text(std::string(metric.name));
  for (const std::string_view stage : measure::kStageNames) {
    line.text(fmt::format("{}_p50_ns", stage)).text(fmt::format("{}_mean_ns", stage));
    line.text(fmt::format("{}_absent", stage));
  }
  return line.text("swarm_occupancy").text("evictions").end();
}

void add_case(Line& line, const Group& group, const Case& measured) {
  const Parameters& parameters = measured.parameters;
  line.text(group.name)
      .text(measured.name)
      .text(parameters.system)
      .text(parameters.transport)
      .text(parameters.network)
      .text(parameters.wait);
  line.number(parameters.tls ? 1 : 0).number(parameters.clients).text(parameters.pace);
  line.number(parameters.payload_bytes).number(parameters.stamps ? 1 : 0);
  line.text(parameters.via).text(parameters.ring.value_or(""));
}

void add_stages(Line& line, const std::optional<measure::StageHistograms>& stages) {
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    if (!stages) {
      line.text("").text("").text("");
      continue;
    }
    const measure::StageHistogram& stage = stages->at(static_cast<measure::Stage>(i));
    line.number(stage.histogram.supported_percentile(50));
    line.text(stage.histogram.bucket_count() > 0 ? fmt::format("{:.1f}", stage.histogram.mean())
                                                 : "");
    line.number(stage.absent);
  }
}

std::string repetition_line(const Group& group, const Case& measured,
                            const Repetition& repetition) {
  Line line;
  add_case(line, group, measured);
  line.number(repetition.repeat)
      .number(repetition.order_index)
      .number(repetition.verdict.valid ? 1 : 0);
  line.text(fmt::format("{}", fmt::join(repetition.verdict.reasons, "; "))).text("");
  line.number(repetition.seconds)
      .number(repetition.frames_sent)
      .number(repetition.frames_delivered);
  line.number(repetition.bytes_delivered);
  line.number(repetition.latency ? std::optional(repetition.latency->count()) : std::nullopt);
  for (const Metric& metric : metrics()) line.number(metric_value(repetition, metric.name));
  add_stages(line, repetition.stages);
  return line.number(repetition.swarm_occupancy).number(repetition.evictions).end();
}

/// A case without repetitions still has its line: what could not run is part of the result.
std::string empty_line(const Group& group, const Case& measured) {
  Line line;
  add_case(line, group, measured);
  line.text("").text("").text("").text("").text(measured.skipped.value_or("not run"));
  const std::size_t rest = 5 + metrics().size() + 3 * measure::kStageCount + 2;
  for (std::size_t i = 0; i < rest; ++i) line.text("");
  return line.end();
}

}  // namespace

std::string format_csv(const Result& result) {
  std::string out = header();
  for (const Group& group : result.groups) {
    for (const Case& measured : group.cases) {
      if (measured.repetitions.empty()) out += empty_line(group, measured);
      for (const Repetition& repetition : measured.repetitions)
        out += repetition_line(group, measured, repetition);
    }
  }
  return out;
}

}  // namespace feedbench::report
