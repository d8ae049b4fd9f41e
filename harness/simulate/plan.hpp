#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/proxy/config.hpp"
#include "transports/sim/network.hpp"
#include "transports/sim/random.hpp"

/// What one seed says: the proxy's configuration, the venue's and each client's character, and the faults of their
/// links. Times in virtual nanoseconds.
namespace feedbench::simulate {

using transports::sim::Faults;
using transports::sim::Random;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;

enum class ClientKind : std::uint8_t {
  reader,       // reads, says nothing
  pinger,       // and sends pings, whose pongs it wants
  talker,       // and sends messages that go nowhere
  pipeliner,    // sends frames right behind its handshake request
  dripper,      // sends its handshake request in pieces
  slow,         // stops reading for a while, again and again
  stuck,        // stops reading for ever
  closer,       // closes as RFC 6455 wants it
  aborter,      // ends with a reset
  vanisher,     // ends with a FIN and no Close
  half_closer,  // shuts its sending half, and reads on
  breaker,      // breaks the protocol
  hesitator,    // never finishes its handshake request
  stranger,     // asks for something that is no WebSocket
};
inline constexpr std::uint64_t kClientKinds = 14;
std::string_view to_string(ClientKind kind);

struct ClientPlan {
  ClientKind kind = ClientKind::reader;
  std::int64_t connect_at_ns = 0;
  std::int64_t acts_after_ns = 0;  ///< After it is open: closes, aborts, pings, first stop, ...
  std::int64_t acts_every_ns = 0;  ///< Again after so long, where the kind repeats itself.
  std::size_t space_bytes = 4096;  ///< Reads at most so much at once.
  Faults faults;

  /// Nothing it does, and nothing about its link, gives the proxy a reason to end it or to lose it.
  [[nodiscard]] bool faultless() const;
  /// It may fall behind.
  [[nodiscard]] bool may_be_slow() const;
  /// Its link may break, or fall silent for good.
  [[nodiscard]] bool link_may_break() const;
};

struct VenuePlan {
  std::int64_t burst_every_ns = 0;  ///< Mean time between bursts.
  std::uint64_t burst_messages_max = 1;
  std::size_t payload_bytes_max = 4096;
  std::uint64_t fragment_one_in = 0;  ///< Of the messages; 0: none.
  std::uint64_t ping_one_in = 0;      ///< Pings before messages, or between fragments.
  std::uint64_t trouble_one_in = 0;   ///< Connections that do not end well.
  std::uint64_t no_welcome_one_in =
      0;          ///< Connections that are refused, ignored, or answered with rubbish.
  Faults faults;  ///< Of its links while the session runs; cuts and silence are drawn for each.
  std::uint64_t bad_link_one_in = 0;
};

struct Plan {
  std::uint64_t seed = 0;
  proxy::ProxyConfig config;
  VenuePlan venue;
  std::vector<ClientPlan> clients;
  std::int64_t session_ns = 0;  ///< How long faults and messages go on; then all heals.
  std::uint32_t messages_max = 0;
  bool crowded = false;  ///< More clients than the proxy takes.
};

/// The venue holds back at most so much, and so does its link.
inline constexpr std::size_t kVenueBacklogBytes = 64 * 1024;

Plan make_plan(std::uint64_t seed);
/// The faults of one more link to the venue.
Faults venue_link(const VenuePlan& venue, Random& random);

}  // namespace feedbench::simulate
