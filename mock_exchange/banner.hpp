#pragma once

#include <cstdint>
#include <string>

#include "mock_exchange/prepared_session.hpp"
#include "mock_exchange/schedule.hpp"
#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"

namespace feedbench::mock_exchange {

/// A few lines for a person: what is replayed, where, and a command that connects to it and asks for streams that the
/// session has. credentials: those it takes; empty: any. url: "ws://127.0.0.1:9443".
std::string banner(const PreparedSession& session, venues::Venue venue, const Pace& pace,
                   std::uint64_t loops, const venues::Credentials& credentials,
                   const std::string& url);

}  // namespace feedbench::mock_exchange
