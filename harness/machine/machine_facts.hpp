#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/measure/clock_agreement.hpp"
#include "harness/measure/core_costs.hpp"
#include "harness/measure/environment.hpp"
#include "harness/measure/floors.hpp"
#include "transports/available.hpp"
#include "transports/kernel_feature.hpp"
#include "transports/network_interfaces.hpp"

/// What `feedbench probe` finds out, before it is put into words. Absent is absent (std::nullopt), never 0.
namespace feedbench::machine {

/// What the transports can use.
struct TransportFacts {
  std::vector<transports::TransportInfo> transports;
  std::vector<transports::KernelFeature> io_uring;
  std::vector<transports::KernelFeature> epoll;
  std::vector<transports::KernelFeature> sockets;  ///< receive stamps, SO_BUSY_POLL
  std::vector<transports::KernelFeature> xdp;
  transports::KernelFeature kernel_tls;
  std::vector<transports::NetworkInterface> interfaces;
  std::optional<std::uint64_t> busy_poll_us;  ///< net.core.busy_poll
  std::optional<std::uint64_t> busy_read_us;  ///< net.core.busy_read
};

/// A limit of this process. Absent: none.
using Limit = std::optional<std::uint64_t>;

struct MemoryFacts {
  std::optional<std::uint64_t> huge_pages;       ///< of 2 MiB, reserved
  std::optional<std::uint64_t> huge_pages_free;  ///< of these, not in use
  transports::KernelFeature huge_page;           ///< a memfd of one such page, tried
  std::optional<std::string> transparent_huge_pages;
  Limit locked_bytes;  ///< RLIMIT_MEMLOCK, soft
  transports::KernelFeature
      lock_beyond;                     ///< more than that, tried: does the limit bind this process?
  Limit descriptors, descriptors_max;  ///< RLIMIT_NOFILE, soft and hard
};

/// Two logical cores that are one physical core.
using Siblings = std::pair<int, int>;

/// How much CPU time the control groups of this process leave it.
struct CpuQuota {
  std::optional<double> cores;  ///< the tightest quota, as cores; absent: none, or not known
  std::string file;             ///< which sets it
  std::string unknown_reason;   ///< empty unless it could not be read
};

struct CoreFacts {
  int online = 0;
  std::vector<int> allowed;  ///< affinity mask of this process, ascending
  std::optional<std::string>
      isolated;  ///< a list of cores; "" none; absent: the kernel does not say
  std::optional<std::string> nohz_full;
  CpuQuota quota;
  std::vector<Siblings> siblings;  ///< pairs within `allowed`
  std::optional<std::string> governor;
  std::optional<std::string> idle_driver;
  std::optional<std::uint64_t> guest_halt_poll_ns;
  std::optional<std::string> hypervisor;
  bool hypervisor_flag = false;
  std::optional<double> stolen_share;  ///< of the time of all cores, while probing
  std::optional<double> others_cores;  ///< what all other programs used meanwhile, in cores
  double watched_seconds = 0;          ///< how long the two were watched
  transports::KernelFeature real_time;
  transports::KernelFeature cycle_counter;
  std::vector<measure::CoreJitter> jitter;  ///< a core each
};

struct ClockFacts {
  std::optional<std::string> source;
  std::vector<std::string> sources;  ///< the kernel could use
  bool tsc_invariant = false;
  std::optional<double> tsc_hz;
  double calibration_error_ns = 0;        ///< when tsc_hz is there
  double calibration_slope_ppb = 0;       ///< likewise
  std::string calibration_absent_reason;  ///< when it is not
  measure::CallCosts costs;
  std::vector<measure::ClockAgreement> agreement;  ///< of the first core with others
};

/// What a message pays between two cores.
struct CostFacts {
  std::optional<measure::CoreBounce> bounce;
  std::optional<measure::CoreWake> wake;
};

struct MachineFacts {
  measure::Environment environment;
  TransportFacts transport;
  MemoryFacts memory;
  CoreFacts cores;
  ClockFacts clock;
  CostFacts costs;
  double seconds = 0;  ///< that the probe took
};

/// The feature with this id; nothing when there is none.
inline const transports::KernelFeature* find(const std::vector<transports::KernelFeature>& features,
                                             const std::string& id) {
  for (const transports::KernelFeature& feature : features) {
    if (feature.id == id) return &feature;
  }
  return nullptr;
}

}  // namespace feedbench::machine
