#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transports/transport.hpp"

/// What the project knows about each venue: names, message flow, where the stream or symbol stands
/// in a frame. Everything here is sans I/O: text in, text out, time given.
namespace feedbench::venues {

using transports::Error;
using transports::Expected;

enum class Venue : std::uint8_t {
  raw,      ///< Any WebSocket: ready once open, no subscription, frames have no known topic.
  binance,  ///< Binance spot market streams, combined and raw.
  alpaca,   ///< Alpaca market data v2 (stocks, crypto, test).
};

std::string_view to_string(Venue venue) noexcept;

/// errors: the name is none of raw, binance, alpaca.
Expected<Venue> venue_from_name(std::string_view name);

/// The venue of that name; of an empty one, what the host's name says, else raw.
/// errors: as venue_from_name().
Expected<Venue> venue_for(std::string_view name, std::string_view host);

/// Splits a list as a command line or configuration gives it ("btcusdt@trade,ethusdt@depth@100ms"
/// or "trades:AAPL,quotes:*") into its items; empty items are dropped.
std::vector<std::string> split_subscriptions(std::string_view list);

}  // namespace feedbench::venues
