#include "harness/load/load_session.hpp"

#include "mock_exchange/load_session.hpp"
#include "reference/venues/venue.hpp"

namespace feedbench::load {

transports::Expected<std::shared_ptr<const mock_exchange::PreparedSession>> make_session(
    const LoadConfig& config) {
  if (config.session_file.empty()) {
    return mock_exchange::synthetic_session(config.payload_bytes, config.frames, config.seed);
  }
  const auto venue = venues::venue_from_name(config.venue);
  if (!venue) return tl::unexpected(venue.error());
  return mock_exchange::load_session(config.session_file, *venue);
}

std::string upstream_target(const mock_exchange::PreparedSession& session,
                            const std::string& venue) {
  if (venue != "binance") return "/";
  std::string target = "/stream?streams=";
  bool first = true;
  for (const std::string& topic : session.topics().subspan(1)) {
    if (!first) target += '/';
    target += topic;
    first = false;
  }
  return target;
}

}  // namespace feedbench::load
