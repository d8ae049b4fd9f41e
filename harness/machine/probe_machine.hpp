#pragma once

#include "harness/machine/machine_facts.hpp"

namespace feedbench::machine {

/// Finds everything out, without privileges as far as it goes; as root it leaves nothing changed.
/// Cost: 1 to 2 s, of which half a second spins on every core allowed (at most 64). thread: any; works on threads of its
/// own for what needs a core, a privilege taken off, or a namespace. errors: none; what cannot be found out is absent.
[[nodiscard]] MachineFacts probe_machine();

/// The parts. root: where /proc and /sys stand; a test gives a folder of its own.
[[nodiscard]] MemoryFacts probe_memory(const std::string& root = "");
/// Without jitter, stolen_share and others_cores, which take time. environment: read from the same root.
[[nodiscard]] CoreFacts probe_cores(const measure::Environment& environment,
                                    const std::string& root = "");
/// Without agreement and costs.
[[nodiscard]] ClockFacts probe_clock(const measure::Environment& environment,
                                     const std::string& root = "");
/// The tightest CPU quota on the way from this process's control group to the root, v1 and v2.
[[nodiscard]] CpuQuota read_cpu_quota(const std::string& root = "");

}  // namespace feedbench::machine
