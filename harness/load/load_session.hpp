#pragma once

#include <memory>

#include "harness/load/load_config.hpp"
#include "mock_exchange/prepared_session.hpp"
#include "transports/transport.hpp"

namespace feedbench::load {

/// The session that a configuration names. errors: one sentence (missing file, corrupt recording, no frame).
transports::Expected<std::shared_ptr<const mock_exchange::PreparedSession>> make_session(
    const LoadConfig& config);

/// Path and query by which a client of the exchange asks for everything the session has: "/" for raw, the combined
/// stream path for binance, a feed for alpaca (where one subscribes after login).
std::string upstream_target(const mock_exchange::PreparedSession& session,
                            const std::string& venue);

/// The session's topics, comma separated.
std::string topic_list(const mock_exchange::PreparedSession& session);

}  // namespace feedbench::load
