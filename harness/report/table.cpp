#include "harness/report/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "harness/report/metrics.hpp"

namespace feedbench::report {
namespace {

constexpr std::string_view kNone = "-";

/// Characters that take room on a terminal: all but colour sequences.
std::size_t visible(std::string_view text) {
  std::size_t count = 0;
  bool escaped = false;
  for (const char letter : text) {
    if (letter == '\x1b') escaped = true;
    if (!escaped) ++count;
    if (letter == 'm') escaped = false;
  }
  return count;
}

/// Columns that widen to their longest cell; the first `left_columns` are flush left, the others flush right.
class TextTable {
 public:
  explicit TextTable(std::size_t left_columns) : left_columns_(left_columns) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  [[nodiscard]] std::string text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], visible(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line = " ";
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string gap(widths[i] - visible(row[i]), ' ');
        const bool flush_left = i < left_columns_ || i + 1 == row.size();
        line += ' ' + (flush_left ? row[i] + gap : gap + row[i]) + ' ';
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + '\n';
    }
    return out;
  }

 private:
  std::size_t left_columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Three significant digits, as people read them: 0.0231, 8.91, 123, 31.2 M.
std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 1e9) return fmt::format("{:.3g} G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.3g} k", value / 1e3);
  if (size >= 100 || size == 0) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  if (size >= 1) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3g}", value);
}

std::string ratio_text(double ratio) {
  if (ratio < 0.1) return fmt::format("{:.3g}", ratio);
  if (ratio >= 100) return fmt::format("{:.0f}", ratio);
  return ratio >= 10 ? fmt::format("{:.1f}", ratio) : fmt::format("{:.3f}", ratio);
}

std::string cell_of(const Case& measured, std::string_view metric) {
  const auto found = band(measured, metric);
  if (!found) return std::string(kNone);
  const double value = found->median * find_metric(metric)->scale;
  // A latency keeps its unit of us and its decimal point, so that a column can be read down.
  if (metric.starts_with("latency")) return fmt::format("{:.1f}", value);
  return short_number(value);
}

std::string verdict_of(const Case& measured) {
  const auto valid = std::ranges::count_if(measured.repetitions,
                                           [](const auto& one) { return one.verdict.valid; });
  const auto all = static_cast<std::ptrdiff_t>(measured.repetitions.size());
  if (all == 0) return "not run";
  if (valid == all) return fmt::format("valid {}/{}", valid, all);
  return fmt::format("{} {}/{}", valid == 0 ? "INVALID" : "valid", valid, all);
}

/// The reasons of a group's repetitions, alike ones together: those that differ in their figures alone are one line with
/// the first's figures.
class Notes {
 public:
  void add(const Case& measured) {
    for (const Repetition& repetition : measured.repetitions)
      for (const std::string& reason : repetition.verdict.reasons) add(measured.name, reason);
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const Note& note : notes_) {
      out += fmt::format("  note: {}: {}", note.first_case, note.first_reason);
      if (note.cases > 1) {
        out += fmt::format(" (so in {} repetitions of {} cases)", note.repetitions, note.cases);
      } else if (note.repetitions > 1) {
        out += fmt::format(" ({} repetitions)", note.repetitions);
      }
      out += '\n';
    }
    return out;
  }

 private:
  struct Note {
    std::string kind;  // the reason without its figures
    std::string first_case;
    std::string first_reason;
    std::string last_case;
    int cases = 1;
    int repetitions = 1;
  };

  void add(const std::string& name, const std::string& reason) {
    std::string kind = reason;
    std::erase_if(kind,
                  [](char letter) { return (letter >= '0' && letter <= '9') || letter == '.'; });
    const auto found = std::ranges::find(notes_, kind, &Note::kind);
    if (found == notes_.end()) {
      notes_.push_back({kind, name, reason, name});
      return;
    }
    ++found->repetitions;
    found->cases += found->last_case != name;
    found->last_case = name;
  }

  std::vector<Note> notes_;
};

std::string group_table(const Group& group) {
  TextTable table(2);
  table.add({"system", "wait", "pace", "clients", "frame", "p50", "p99", "p99.9", "delivered",
             "bytes", "CPU s per", "KiB per", "verdict"});
  table.add({"", "", "", "", "B", "us", "us", "us", "1/s", "MB/s", "million", "client", ""});
  std::string skips;
  Notes notes;
  for (const Case& measured : group.cases) {
    const Parameters& parameters = measured.parameters;
    if (measured.skipped) {
      skips += fmt::format("  skipped: {}: {}\n", measured.name, *measured.skipped);
      continue;
    }
    std::string system = parameters.system;
    if (parameters.transport != "asio" && !parameters.transport.empty())
      system += " " + parameters.transport;
    if (parameters.ring)
      system += " " + *parameters.ring;
    else if (parameters.via != "websocket")
      system += " " + parameters.via;
    if (parameters.network != "loopback") system += " " + parameters.network;
    if (parameters.tls) system += " wss";
    if (!parameters.stamps && parameters.system == "feedproxy") system += " (stamps off)";
    table.add(
        {system, parameters.wait, parameters.pace, fmt::format("{}", parameters.clients),
         parameters.payload_bytes ? fmt::format("{}", *parameters.payload_bytes) : "as recorded",
         cell_of(measured, "latency_p50_ns"), cell_of(measured, "latency_p99_ns"),
         cell_of(measured, "latency_p999_ns"), cell_of(measured, "frames_per_second"),
         cell_of(measured, "bytes_per_second"), cell_of(measured, "cpu_seconds_per_million"),
         cell_of(measured, "rss_bytes_per_client"), verdict_of(measured)});
    notes.add(measured);
  }
  return table.text() + skips + notes.text();
}

std::string comparison_lines(const std::vector<const Comparison*>& comparisons,
                             const TableOptions& options) {
  if (comparisons.empty()) return "";
  TextTable table(1);
  table.add({"comparison", "ratio", "95 % interval", "pairs", "bound", "", "", ""});
  for (const Comparison* comparison : comparisons) {
    const std::string bound =
        comparison->bound
            ? fmt::format("{} {:.4g}", comparison->bound_is_upper ? "<=" : ">=", *comparison->bound)
            : "";
    std::string met;
    if (comparison->met) met = *comparison->met ? "met" : "NOT MET";
    if (options.colour && !met.empty())
      met = fmt::format("\x1b[{}m{}\x1b[0m", *comparison->met ? 32 : 31, met);
    if (!comparison->ratio) {
      table.add({comparison->name, std::string(kNone), std::string(kNone), "0", bound, met, "",
                 comparison->words});
      continue;
    }
    const std::string interval =
        comparison->low && comparison->high
            ? ratio_text(*comparison->low) + " to " + ratio_text(*comparison->high)
            : std::string(kNone);
    table.add({comparison->name, ratio_text(*comparison->ratio), interval,
               fmt::format("{}", comparison->pairs), bound, met, "", comparison->words});
  }
  return table.text();
}

std::string floors_text(const std::vector<measure::Floors>& floors) {
  std::string out;
  for (const measure::Floors& one : floors) {
    std::string line;
    for (const measure::CoreBounce& bounce : one.core_bounce) {
      line += fmt::format("  cache line {}-{} and back {:.0f} ns (p99 {:.0f})", bounce.cpu_a,
                          bounce.cpu_b, bounce.round_trip_ns_p50, bounce.round_trip_ns_p99);
    }
    for (const measure::MemcpyFloor& copy : one.memory_copy) {
      line += fmt::format("  memcpy {} B {:.1f} GB/s", copy.bytes, copy.gigabytes_per_second);
    }
    for (const measure::CoreJitter& jitter : one.jitter) {
      line += fmt::format("  longest gap on core {} {:.0f} us", jitter.cpu,
                          static_cast<double>(jitter.longest_gap_ns) * 1e-3);
    }
    out += fmt::format("floors {} the run:{}\n", one.moment, line);
  }
  return out;
}

std::string machine_text(const Result& result) {
  const measure::Environment& environment = result.environment;
  std::string out = fmt::format("{}: {}\n", result.name, result.description);
  out += fmt::format(
      "{} · {} cores{} · {} · Linux {}\n", environment.cpu_model, environment.logical_cores,
      environment.hypervisor ? " · " + *environment.hypervisor : "", environment.operating_system,
      environment.kernel.substr(0, environment.kernel.find(' ')));
  out += fmt::format(
      "guest_halt_poll_ns {} · clock source {} · feedbench {} {} {} {} · {}\n",
      environment.guest_halt_poll_ns ? fmt::format("{}", *environment.guest_halt_poll_ns)
                                     : "absent",
      environment.clocksource.value_or("unknown"), result.build.tool_version,
      result.build.git_revision ? result.build.git_revision->substr(0, 10) : "(no revision)",
      result.build.git_dirty.value_or(false) ? "(changed)" : "", result.build.build_type,
      result.created);
  return out;
}

}  // namespace

std::string format_table(const Result& result, const TableOptions& options) {
  std::string out = machine_text(result) + '\n';
  std::set<const Comparison*> printed;
  for (const Group& group : result.groups) {
    if (group.cases.empty()) continue;  // left out with --only
    out += group.title.empty() ? group.name : fmt::format("{}: {}", group.name, group.title);
    out += '\n' + group_table(group);
    std::vector<const Comparison*> own;
    for (const Comparison& comparison : result.comparisons) {
      if (comparison.group == group.name && printed.insert(&comparison).second)
        own.push_back(&comparison);
    }
    if (!own.empty()) out += '\n' + comparison_lines(own, options);
    out += '\n';
  }
  std::vector<const Comparison*> others;
  for (const Comparison& comparison : result.comparisons) {
    if (!printed.contains(&comparison)) others.push_back(&comparison);
  }
  if (!others.empty()) out += "across groups\n" + comparison_lines(others, options) + '\n';
  out += floors_text(result.floors);
  if (const std::string cut = interruption_of(result); !cut.empty()) out += cut + '\n';
  out +=
      "Latency: from intended send to delivery. Columns: medians over valid repetitions; - where "
      "absent, or too few "
      "samples.\n";
  return out;
}

}  // namespace feedbench::report
