#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>

#include "mock_exchange/prepared_session.hpp"
#include "reference/venues/venue.hpp"
#include "transports/transport.hpp"

namespace feedbench::mock_exchange {

/// Which part of a recording to take. Frames that the recorder sent (tx), and the venue's answers
/// to them (logins, subscriptions), are never taken: the exchange gives its own.
struct LoadOptions {
  std::string conn;  ///< Only frames of this connection, as the recording names it. Empty: of all.
  std::size_t frames_max = std::numeric_limits<std::size_t>::max();  ///< Stop after this many.
  std::string venue_key = "--venue ";  ///< What the user writes before a venue's name, for errors.
};

/// Reads a recording and makes its frames ready to be sent, text byte for byte as recorded.
/// venue: decides what a frame's topics are (binance: stream; alpaca: channel and symbol; raw:
/// none). errors: one sentence with file and line (see RecordingReader), or that nothing in it can
/// be replayed, or that a frame is plainly another venue's (raw takes any). Cost: about a microsecond a frame. Memory: the frames and 32 B each.
transports::Expected<std::shared_ptr<const PreparedSession>> load_session(
    const std::filesystem::path& path, venues::Venue venue, const LoadOptions& options = {});

/// The same session as a Binance connection carries it in combined form ({"stream":...,"data":...})
/// or in raw form (the value of "data"). Frames that are in that form already stand byte for byte.
/// Same frames, same topics, other bytes; the session itself if it has that form. A raw frame that
/// names no stream stays raw.
std::shared_ptr<const PreparedSession> in_binance_form(
    const std::shared_ptr<const PreparedSession>& session, bool combined);

}  // namespace feedbench::mock_exchange
