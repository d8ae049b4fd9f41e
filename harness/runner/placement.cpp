#include "harness/runner/placement.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace feedbench::runner {

transports::Expected<Cores> choose_cores(const scenario::Placement& wanted,
                                         std::span<const int> allowed) {
  if (allowed.empty())
    return tl::unexpected(transports::Error{"placement: no core is allowed to this process"});
  for (const auto& cpu : {wanted.system_cpu, wanted.load_cpu}) {
    if (cpu && std::find(allowed.begin(), allowed.end(), *cpu) == allowed.end()) {
      return tl::unexpected(transports::Error{
          fmt::format("placement: core {} is not allowed to this process (allowed: {})", *cpu,
                      fmt::join(allowed, ", "))});
    }
  }
  const auto other_than = [&](std::optional<int> taken) {
    for (const int cpu : allowed) {
      if (!taken || cpu != *taken) return cpu;
    }
    return allowed.front();
  };
  Cores cores;
  cores.load = wanted.load_cpu ? *wanted.load_cpu : other_than(wanted.system_cpu);
  cores.system = wanted.system_cpu ? *wanted.system_cpu : other_than(cores.load);
  return cores;
}

report::Placement describe_placement(const Cores& cores, bool system_spins) {
  report::Placement out;
  out.threads.push_back({"system", cores.system, system_spins});
  out.threads.push_back({"exchange+swarm", cores.load, true});
  out.oversubscribed = system_spins && cores.system == cores.load;
  if (cores.system == cores.load) {
    out.note = fmt::format("the system and the load share core {}", cores.load);
  } else {
    out.note = fmt::format("the system has core {}, exchange and swarm share one thread on core {}",
                           cores.system, cores.load);
  }
  return out;
}

}  // namespace feedbench::runner
