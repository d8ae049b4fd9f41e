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
  auto session = mock_exchange::load_session(config.session_file, *venue,
                                             {.conn = {}, .venue_key = "venue: "});
  // All streams come over one connection: in combined form.
  if (session && *venue == venues::Venue::binance)
    return mock_exchange::in_binance_form(*session, true);
  return session;
}

namespace {

std::string joined_topics(const mock_exchange::PreparedSession& session, char separator) {
  std::string out;
  for (const std::string& topic : session.topics().subspan(1)) {
    if (!out.empty()) out += separator;
    out += topic;
  }
  return out;
}

}  // namespace

std::string upstream_target(const mock_exchange::PreparedSession& session,
                            const std::string& venue) {
  if (venue == "binance") return "/stream?streams=" + joined_topics(session, '/');
  if (venue != "alpaca") return "/";
  // Symbols of crypto pairs have a slash (BTC/USD); stocks come from another path.
  const bool crypto = joined_topics(session, ' ').find('/') != std::string::npos;
  return crypto ? "/v1beta3/crypto/us" : "/v2/sip";
}

std::string topic_list(const mock_exchange::PreparedSession& session) {
  return joined_topics(session, ',');
}

}  // namespace feedbench::load
