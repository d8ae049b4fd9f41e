#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {
namespace {

std::string bytes_text(std::uint64_t bytes) {
  if (bytes >= 1ULL << 30) return fmt::format("{:.4g} GiB", static_cast<double>(bytes) / (1 << 30));
  if (bytes >= 1ULL << 20) return fmt::format("{:.4g} MiB", static_cast<double>(bytes) / (1 << 20));
  return fmt::format("{:.4g} KiB", static_cast<double>(bytes) / 1024);
}

Line limit_line(const char* id, const char* name, const Limit& limit, bool as_bytes,
                std::string note) {
  if (!limit) return line_without_value(id, name, "no limit", std::move(note));
  return number_line(id, name, static_cast<double>(*limit), as_bytes ? "bytes" : "",
                     as_bytes ? bytes_text(*limit) : fmt::format("{}", *limit), std::move(note));
}

}  // namespace

Group describe_memory(const MemoryFacts& facts) {
  Group group{"memory", "Memory and limits of this process", {}};
  if (facts.huge_pages) {
    group.lines.push_back(number_line("memory.huge_pages", "2 MiB pages reserved",
                                      static_cast<double>(*facts.huge_pages), "pages",
                                      fmt::format("{}", *facts.huge_pages),
                                      fmt::format("{} free; larger pages spare address look-ups",
                                                  facts.huge_pages_free.value_or(0))));
  } else {
    group.lines.push_back(line_without_value("memory.huge_pages", "2 MiB pages reserved", "unknown",
                                             "this kernel does not list such pages"));
  }
  group.lines.push_back(feature_line(facts.huge_page));
  group.lines.push_back(value_or_none("memory.thp", "transparent huge pages",
                                      facts.transparent_huge_pages,
                                      "whether the kernel makes large pages by itself"));
  group.lines.push_back(limit_line("memory.locked", "locked memory", facts.locked_bytes, true,
                                   "ulimit -l: what io_uring and xdp may pin"));
  group.lines.push_back(feature_line(facts.lock_beyond));
  std::string more = "without limit";
  if (facts.descriptors_max) more = fmt::format("to {}", *facts.descriptors_max);
  if (facts.descriptors == facts.descriptors_max) more = "no further";
  group.lines.push_back(limit_line("memory.descriptors", "open descriptors", facts.descriptors,
                                   false, "ulimit -n: one a connection; it may be raised " + more));
  return group;
}

Group describe_clock(const ClockFacts& facts) {
  Group group{"clock", "Clock", {}};
  std::vector<std::string> others = facts.sources;
  if (facts.source) std::erase(others, *facts.source);
  std::string source_note = "what the kernel tells time by";
  if (!others.empty())
    source_note += fmt::format("; it could also use {}", fmt::join(others, ", "));
  group.lines.push_back(value_or_none("clock.source", "clock source", facts.source, source_note));
  group.lines.push_back(
      yes_or_no("clock.tsc_invariant", "invariant TSC", facts.tsc_invariant,
                "the processor's time stamp counter keeps one rate; all stamps are "
                "made with it"));
  if (facts.tsc_hz) {
    group.lines.push_back(
        number_line("clock.tsc_hz", "TSC rate", *facts.tsc_hz, "hz",
                    fmt::format("{:.3f} MHz", *facts.tsc_hz / 1e6),
                    fmt::format("calibrated in 20 ms, to {:.2f} parts per million",
                                facts.calibration_slope_ppb / 1e3)));
    group.lines.push_back(number_line("clock.calibration_error", "calibration error",
                                      facts.calibration_error_ns, "ns",
                                      duration_text(facts.calibration_error_ns),
                                      "at most, between a stamp and the kernel's time of day"));
  } else {
    group.lines.push_back(
        line_without_value("clock.tsc_hz", "TSC rate", "unknown", facts.calibration_absent_reason));
  }
  group.lines.push_back(number_line("clock.read_tsc", "reading the TSC", facts.costs.read_tsc_ns,
                                    "ns", duration_text(facts.costs.read_tsc_ns),
                                    "what one stamp costs"));
  if (facts.tsc_hz && facts.costs.tsc_step_ticks > 0) {
    const double ns = static_cast<double>(facts.costs.tsc_step_ticks) / *facts.tsc_hz * 1e9;
    group.lines.push_back(number_line("clock.tsc_step", "smallest step of the TSC", ns, "ns",
                                      duration_text(ns), "nothing shorter can be told apart"));
  }
  group.lines.push_back(
      number_line("clock.read_clock", "reading the kernel's clock", facts.costs.read_clock_ns, "ns",
                  duration_text(facts.costs.read_clock_ns), "clock_gettime(CLOCK_MONOTONIC)"));
  for (const auto& one : facts.agreement) {
    if (!facts.tsc_hz) break;
    const double widest = static_cast<double>(
        std::max(std::abs(one.difference_ticks_min), std::abs(one.difference_ticks_max)));
    const double ns = widest / *facts.tsc_hz * 1e9;
    group.lines.push_back(number_line(
        fmt::format("clock.agreement.{}_{}", one.cpu_a, one.cpu_b),
        fmt::format("TSC of cores {} and {}", one.cpu_a, one.cpu_b), ns, "ns",
        fmt::format("{} {}", one.agree() ? "within" : "apart by", duration_text(ns)),
        one.agree() ? "no difference can be seen: it is below the time that a look across takes"
                    : "stamps of two cores cannot be compared more closely than this"));
  }
  return group;
}

Group describe_costs(const MachineFacts& facts) {
  Group group{"costs", "What single steps cost here (measured)", {}};
  const double call_ns = facts.clock.costs.system_call_ns;
  group.lines.push_back(number_line("costs.system_call", "a system call", call_ns, "ns",
                                    duration_text(call_ns), "the cheapest there is"));
  constexpr char kOneCore[] = "needs two cores";
  if (facts.costs.bounce) {
    const auto& bounce = *facts.costs.bounce;
    group.lines.push_back(number_line(
        "costs.cache_line", "a cache line there and back", bounce.round_trip_ns_p50, "ns",
        duration_text(bounce.round_trip_ns_p50),
        fmt::format("between spinning cores {} and {}, median", bounce.cpu_a, bounce.cpu_b)));
  } else {
    group.lines.push_back(
        line_without_value("costs.cache_line", "a cache line there and back", "unknown", kOneCore));
  }
  if (facts.costs.wake) {
    const auto& wake = *facts.costs.wake;
    group.lines.push_back(number_line(
        "costs.wake", "waking an idle core", wake.latency_ns_p50, "ns",
        duration_text(wake.latency_ns_p50),
        fmt::format("median of {}, 99 % under {}; every message pays it with `wait: block`",
                    wake.wakes, duration_text(wake.latency_ns_p99))));
  } else {
    group.lines.push_back(
        line_without_value("costs.wake", "waking an idle core", "unknown", kOneCore));
  }
  return group;
}

}  // namespace feedbench::machine
