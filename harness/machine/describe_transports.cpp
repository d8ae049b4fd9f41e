#include <fmt/format.h>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {
namespace {

using transports::NetworkInterface;
using transports::TransportInfo;

constexpr std::size_t kInterfacesShownMax = 8;

std::string meaning_of(const std::string& transport) {
  if (transport == "select") return "any Unix; few connections, to compare with";
  if (transport == "epoll") return "the default";
  if (transport == "io_uring") return "one call for many sends: for fan-out";
  if (transport == "xdp") return "TCP in this process, past the kernel, on a network card";
  return {};
}

Group transport_group(const std::vector<TransportInfo>& transports) {
  Group group{"transports", "Transports (each opened, and a byte moved through it)", {}};
  for (const TransportInfo& transport : transports) {
    std::string note = meaning_of(transport.name);
    if (!transport.reason.empty()) {
      note += transport.available && transport.name == "io_uring" ? "; set up with " : "; ";
      note += transport.reason;
    }
    group.lines.push_back(
        yes_or_no("transport." + transport.name, transport.name, transport.available, note));
  }
  return group;
}

Group feature_group(std::string id, std::string title,
                    const std::vector<transports::KernelFeature>& features) {
  Group group{std::move(id), std::move(title), {}};
  for (const auto& feature : features) group.lines.push_back(feature_line(feature));
  return group;
}

Line busy_poll_line(const char* name, std::optional<std::uint64_t> us, const char* what) {
  const std::string id = std::string("busy_poll.") + name;
  const std::string shown = std::string("net.core.") + name;
  if (!us)
    return line_without_value(
        id, shown, "unknown",
        "not shown: the kernel cannot busy poll, or this is not its first network namespace");
  return number_line(id, shown, static_cast<double>(*us), "us",
                     *us == 0 ? "off" : fmt::format("{} us", *us), what);
}

Group epoll_group(const TransportFacts& facts) {
  Group group = feature_group(
      "polling", "epoll and busy polling (for network cards; loopback has nothing to poll)",
      facts.epoll);
  for (const auto& feature : facts.sockets) {
    if (feature.id.starts_with("busy_poll.")) group.lines.push_back(feature_line(feature));
  }
  group.lines.push_back(busy_poll_line("busy_poll", facts.busy_poll_us,
                                       "how long poll, select and epoll busy poll by themselves"));
  group.lines.push_back(busy_poll_line("busy_read", facts.busy_read_us,
                                       "how long a blocking read busy polls by itself"));
  return group;
}

/// What a driver says of itself: it is asked, because a try would interrupt the interface's traffic.
Line asked_line(std::string id, std::string name, std::optional<bool> answer, std::string note) {
  Line line = yes_or_no(std::move(id), std::move(name), answer, std::move(note));
  line.text = !answer ? "unknown" : *answer ? "offered" : "no";
  return line;
}

std::string native_note(const NetworkInterface& interface) {
  if (!interface.xdp_native) return interface.xdp_absent_reason;
  return *interface.xdp_native ? "its driver runs XDP programs"
                               : "its driver runs no XDP programs; generic, copy is left";
}

/// Interfaces that are down carry nothing, and are left out.
std::vector<const NetworkInterface*> interfaces_up(const TransportFacts& facts, bool loopback) {
  std::vector<const NetworkInterface*> up;
  for (const NetworkInterface& interface : facts.interfaces) {
    if (!interface.up || (interface.loopback && !loopback)) continue;
    if (up.size() < kInterfacesShownMax) up.push_back(&interface);
  }
  return up;
}

std::string named(const NetworkInterface& interface) {
  return interface.driver.empty() ? interface.name
                                  : fmt::format("{} ({})", interface.name, interface.driver);
}

Group xdp_group(const TransportFacts& facts) {
  Group group = feature_group(
      "xdp", "AF_XDP (sockets tried on loopback, in a network namespace of their own)", facts.xdp);
  for (const NetworkInterface* interface : interfaces_up(facts, false)) {
    group.lines.push_back(asked_line("xdp.native." + interface->name,
                                     "native on " + named(*interface), interface->xdp_native,
                                     native_note(*interface)));
    if (interface->xdp_native.value_or(false)) {
      group.lines.push_back(asked_line(
          "xdp.zero_copy." + interface->name, "zero copy on " + interface->name,
          interface->xdp_zero_copy, "the card writes received frames into this process's memory"));
    }
  }
  return group;
}

Group stamp_group(const TransportFacts& facts) {
  Group group{"stamps", "Timestamp sources (for stage 1: when the machine received a message)", {}};
  for (const auto& feature : facts.sockets) {
    if (feature.id.starts_with("stamps.")) group.lines.push_back(feature_line(feature));
  }
  for (const NetworkInterface* interface : interfaces_up(facts, false)) {
    const auto& stamps = interface->hardware_receive_stamps;
    const char* const note = !stamps   ? "the driver does not answer"
                             : *stamps ? "the card itself stamps what it receives"
                                       : "the card has no clock; the kernel's stamps are left";
    group.lines.push_back(asked_line("stamps.hardware." + interface->name,
                                     "hardware stamps, " + interface->name, stamps, note));
  }
  return group;
}

Group tls_group(const TransportFacts& facts) {
  Group group{"tls", "TLS", {feature_line(facts.kernel_tls)}};
  group.lines.back().note += "; feedproxy does without";
  return group;
}

}  // namespace

std::vector<Group> describe_transports(const TransportFacts& facts) {
  return {transport_group(facts.transports),
          feature_group(
              "io_uring",
              "io_uring (each option tried by itself, also those that feedbench does not use)",
              facts.io_uring),
          epoll_group(facts),
          xdp_group(facts),
          stamp_group(facts),
          tls_group(facts)};
}

}  // namespace feedbench::machine
