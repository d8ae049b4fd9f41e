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

std::string duration_text(double ns) {
  if (ns >= 1e6) return fmt::format("{:.1f} ms", ns / 1e6);
  if (ns >= 1e4) return fmt::format("{:.0f} us", ns / 1e3);
  if (ns >= 1e3) return fmt::format("{:.1f} us", ns / 1e3);
  return ns >= 100 ? fmt::format("{:.0f} ns", ns) : fmt::format("{:.1f} ns", ns);
}

Line limit_line(const char* id, const char* name, const Limit& limit, bool as_bytes,
                std::string note) {
  if (!limit) return text_line(id, name, "no limit", std::move(note));
  return number_line(id, name, static_cast<double>(*limit), as_bytes ? "bytes" : "",
                     as_bytes ? bytes_text(*limit) : fmt::format("{}", *limit), std::move(note));
}

Line optional_text(const char* id, const char* name, const std::optional<std::string>& value,
                   const char* none, std::string note) {
  if (!value) return unknown_line(id, name, std::move(note));
  return text_line(id, name, value->empty() ? none : *value, std::move(note));
}

Line quota_line(const CpuQuota& quota) {
  constexpr char kId[] = "cores.quota";
  constexpr char kName[] = "CPU quota (cgroup)";
  if (!quota.unknown_reason.empty()) return unknown_line(kId, kName, quota.unknown_reason);
  if (!quota.cores) return text_line(kId, kName, "none", "no control group limits the CPU time");
  return number_line(kId, kName, *quota.cores, "cores", fmt::format("{:.3g} cores", *quota.cores),
                     "of CPU time; then everything stops until the next period: " + quota.file);
}

Line siblings_line(const CoreFacts& facts) {
  constexpr char kNote[] = "logical cores that share one physical core slow each other";
  if (facts.siblings.empty()) return text_line("cores.smt", "SMT siblings", "none", kNote);
  std::string pairs;
  for (const Siblings& pair : facts.siblings) {
    if (!pairs.empty()) pairs += ", ";
    pairs += fmt::format("{}+{}", pair.first, pair.second);
    if (pairs.size() > 24) return text_line("cores.smt", "SMT siblings", pairs + ", ...", kNote);
  }
  return text_line("cores.smt", "SMT siblings", pairs, kNote);
}

/// Each core, or when they are many the worst and the middle one.
void add_gaps(const std::vector<measure::CoreJitter>& jitter, Group& group) {
  constexpr std::size_t kShownMax = 8;
  const auto gap_line = [](const std::string& id, const std::string& name,
                           const measure::CoreJitter& one) {
    const auto ns = static_cast<double>(one.longest_gap_ns);
    return number_line(
        id, name, ns, "ns", duration_text(ns),
        fmt::format("taken from a thread that spun for {:.1f} s; {} gaps over 0.1 ms", one.seconds,
                    one.gaps_over_100us));
  };
  if (jitter.size() <= kShownMax) {
    for (const auto& one : jitter) {
      group.lines.push_back(gap_line(fmt::format("cores.longest_gap.{}", one.cpu),
                                     fmt::format("longest gap, core {}", one.cpu), one));
    }
    return;
  }
  auto sorted = jitter;
  std::ranges::sort(sorted, {}, &measure::CoreJitter::longest_gap_ns);
  group.lines.push_back(gap_line("cores.longest_gap.median",
                                 fmt::format("longest gap, middle of {} cores", jitter.size()),
                                 sorted[sorted.size() / 2]));
  group.lines.push_back(gap_line("cores.longest_gap.worst",
                                 fmt::format("longest gap, core {}", sorted.back().cpu),
                                 sorted.back()));
}

void add_watched(const CoreFacts& facts, Group& group) {
  const std::string watched = fmt::format("over {:.1f} s of probing", facts.watched_seconds);
  if (facts.stolen_share) {
    group.lines.push_back(
        number_line("cores.stolen", "stolen time", *facts.stolen_share, "share",
                    fmt::format("{:.1f} %", *facts.stolen_share * 100),
                    "of all cores' time went to other guests of the hypervisor, " + watched));
  } else {
    group.lines.push_back(
        unknown_line("cores.stolen", "stolen time", "/proc/stat is not readable"));
  }
  if (facts.others_cores) {
    group.lines.push_back(number_line("cores.others", "other programs", *facts.others_cores,
                                      "cores", fmt::format("{:.2f} cores", *facts.others_cores),
                                      "used by everything but this probe, " + watched));
  }
}

Line halt_poll_line(const CoreFacts& facts) {
  constexpr char kId[] = "cores.guest_halt_poll_ns";
  constexpr char kName[] = "guest_halt_poll_ns";
  constexpr char kNote[] =
      "how long an idle core waits before it halts; a halted core wakes slowly";
  if (!facts.guest_halt_poll_ns) {
    return text_line(kId, kName, "absent", "a setting of some virtual machines (haltpoll)");
  }
  return number_line(kId, kName, static_cast<double>(*facts.guest_halt_poll_ns), "ns",
                     fmt::format("{} ns", *facts.guest_halt_poll_ns), kNote);
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
    group.lines.push_back(unknown_line("memory.huge_pages", "2 MiB pages reserved",
                                       "this kernel does not list such pages"));
  }
  group.lines.push_back(feature_line(facts.huge_page));
  group.lines.push_back(optional_text("memory.thp", "transparent huge pages",
                                      facts.transparent_huge_pages, "none",
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

Group describe_cores(const CoreFacts& facts) {
  Group group{"cores", "Cores, and who else has them", {}};
  group.lines.push_back(number_line("cores.online", "cores online", facts.online, "cores",
                                    fmt::format("{}", facts.online), "of this machine"));
  group.lines.push_back(number_line(
      "cores.allowed", "cores allowed", static_cast<double>(facts.allowed.size()), "cores",
      fmt::format("{}", facts.allowed.size()),
      fmt::format(
          "affinity of this process: {}{}; a run spins on two",
          fmt::join(facts.allowed.begin(),
                    facts.allowed.begin() +
                        static_cast<std::ptrdiff_t>(std::min<std::size_t>(facts.allowed.size(), 8)),
                    ", "),
          facts.allowed.size() > 8 ? ", ..." : "")));
  group.lines.push_back(optional_text("cores.isolated", "isolated (isolcpus)", facts.isolated,
                                      "none", "cores on which only pinned programs run"));
  group.lines.push_back(facts.nohz_full
                            ? text_line("cores.nohz_full", "without tick (nohz_full)",
                                        facts.nohz_full->empty() ? "none" : *facts.nohz_full,
                                        "cores that the timer does not interrupt")
                            : text_line("cores.nohz_full", "without tick (nohz_full)", "absent",
                                        "the kernel cannot stop the timer on a core"));
  group.lines.push_back(quota_line(facts.quota));
  group.lines.push_back(siblings_line(facts));
  group.lines.push_back(
      facts.governor ? text_line("cores.governor", "frequency governor", *facts.governor,
                                 "decides how fast a core runs")
                     : text_line("cores.governor", "frequency governor", "absent",
                                 "the kernel does not set the frequency (usual for a guest)"));
  group.lines.push_back(
      facts.idle_driver
          ? text_line("cores.idle_driver", "idle driver", *facts.idle_driver,
                      "decides how deep an idle core sleeps")
          : text_line("cores.idle_driver", "idle driver", "absent", "an idle core simply halts"));
  group.lines.push_back(halt_poll_line(facts));
  group.lines.push_back(text_line("cores.hypervisor", "hypervisor",
                                  facts.hypervisor        ? *facts.hypervisor
                                  : facts.hypervisor_flag ? "unknown"
                                                          : "none",
                                  facts.hypervisor || facts.hypervisor_flag
                                      ? "a virtual machine: its host may take cores away"
                                      : "no virtual machine"));
  add_watched(facts, group);
  group.lines.push_back(feature_line(facts.real_time));
  group.lines.push_back(feature_line(facts.cycle_counter));
  add_gaps(facts.jitter, group);
  return group;
}

Group describe_clock(const ClockFacts& facts) {
  Group group{"clock", "Clock", {}};
  std::vector<std::string> others = facts.sources;
  if (facts.source) std::erase(others, *facts.source);
  std::string source_note = "what the kernel tells time by";
  if (!others.empty())
    source_note += fmt::format("; it could also use {}", fmt::join(others, ", "));
  group.lines.push_back(
      optional_text("clock.source", "clock source", facts.source, "none", source_note));
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
        unknown_line("clock.tsc_hz", "TSC rate", facts.calibration_absent_reason));
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
        unknown_line("costs.cache_line", "a cache line there and back", kOneCore));
  }
  if (facts.costs.wake) {
    const auto& wake = *facts.costs.wake;
    group.lines.push_back(number_line(
        "costs.wake", "waking an idle core", wake.latency_ns_p50, "ns",
        duration_text(wake.latency_ns_p50),
        fmt::format("median of {}, 99 % under {}; every message pays it with `wait: block`",
                    wake.wakes, duration_text(wake.latency_ns_p99))));
  } else {
    group.lines.push_back(unknown_line("costs.wake", "waking an idle core", kOneCore));
  }
  return group;
}

}  // namespace feedbench::machine
