#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {
namespace {

Line quota_line(const CpuQuota& quota) {
  constexpr char kId[] = "cores.quota";
  constexpr char kName[] = "CPU quota (cgroup)";
  if (!quota.unknown_reason.empty())
    return line_without_value(kId, kName, "unknown", quota.unknown_reason);
  if (!quota.cores)
    return line_without_value(kId, kName, "none", "no control group limits the CPU time");
  return number_line(kId, kName, *quota.cores, "cores", fmt::format("{:.3g} cores", *quota.cores),
                     "of CPU time; then everything stops until the next period: " + quota.file);
}

Line siblings_line(const CoreFacts& facts) {
  constexpr char kNote[] = "logical cores that share one physical core slow each other";
  if (facts.siblings.empty()) return line_without_value("cores.smt", "SMT siblings", "none", kNote);
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
        line_without_value("cores.stolen", "stolen time", "unknown", "/proc/stat is not readable"));
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
    return line_without_value(kId, kName, "absent",
                              "a setting of some virtual machines (haltpoll)");
  }
  return number_line(kId, kName, static_cast<double>(*facts.guest_halt_poll_ns), "ns",
                     fmt::format("{} ns", *facts.guest_halt_poll_ns), kNote);
}

/// A setting that this machine may not have at all.
Line setting_line(const char* id, const char* name, const std::optional<std::string>& value,
                  const char* meaning, const char* why_absent) {
  if (!value) return line_without_value(id, name, "absent", why_absent);
  return value_or_none(id, name, value, meaning);
}

Line hypervisor_line(const CoreFacts& facts) {
  constexpr char kId[] = "cores.hypervisor";
  if (!facts.hypervisor && !facts.hypervisor_flag) {
    return line_without_value(kId, "hypervisor", "none", "no virtual machine");
  }
  return value_or_none(kId, "hypervisor", facts.hypervisor,
                       "a virtual machine: its host may take cores away");
}

}  // namespace

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
  group.lines.push_back(value_or_none("cores.isolated", "isolated (isolcpus)", facts.isolated,
                                      "cores on which only pinned programs run"));
  group.lines.push_back(setting_line("cores.nohz_full", "without tick (nohz_full)", facts.nohz_full,
                                     "cores that the timer does not interrupt",
                                     "the kernel cannot stop the timer on a core"));
  group.lines.push_back(quota_line(facts.quota));
  group.lines.push_back(siblings_line(facts));
  group.lines.push_back(setting_line("cores.governor", "frequency governor", facts.governor,
                                     "decides how fast a core runs",
                                     "the kernel does not set the frequency (usual for a guest)"));
  group.lines.push_back(setting_line("cores.idle_driver", "idle driver", facts.idle_driver,
                                     "decides how deep an idle core sleeps",
                                     "an idle core simply halts"));
  group.lines.push_back(halt_poll_line(facts));
  group.lines.push_back(hypervisor_line(facts));
  add_watched(facts, group);
  group.lines.push_back(feature_line(facts.real_time));
  group.lines.push_back(feature_line(facts.cycle_counter));
  add_gaps(facts.jitter, group);
  return group;
}

}  // namespace feedbench::machine
