#pragma once

#include <functional>
#include <string>

#include "transports/sim/sim_transport.hpp"
#include "transports/testing/raw_socket.hpp"

namespace feedbench::transports::sim::testing {

/// A SimTransport as the conformance suite wants a transport: made from TransportOptions alone, on a network that its
/// foreign peers share.
class SharedNetworkSim : public SimTransport {
 public:
  explicit SharedNetworkSim(const TransportOptions& options) : SharedNetworkSim(options, {}) {}
  SharedNetworkSim(const TransportOptions& options, const Faults& faults)
      : SimTransport(options, shared(), Clock::moved_by_poll) {
    shared().faults_of_links([faults](const Endpoint&) { return faults; });
  }

  static Network& shared() {
    static Network network(1);
    return network;
  }
  static const std::string& why_not() {
    static const std::string nothing;
    return nothing;
  }
  static transports::testing::RawSocket::Place place(std::function<void()> poll) {
    return {-1, kAddress, std::move(poll), &shared()};
  }
  static constexpr const char* kAddress = "127.0.0.1";
};

/// The same, where everything goes in small pieces.
struct CrampedSim : SharedNetworkSim {
  explicit CrampedSim(TransportOptions options)
      : SharedNetworkSim((options.receive_buffer_bytes = 512, options), cramped()) {}
  static Faults cramped() {
    Faults faults;
    faults.segment_bytes_max = 100;
    faults.write_bytes_max = 5000;
    return faults;
  }
};

}  // namespace feedbench::transports::sim::testing
