#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/venue.hpp"

namespace feedbench::local::testing {

/// A venue over real sockets that does what the test says, with the venues' own sessions (reference/venues) as its
/// protocol. One thread of its own. Its methods may be called from any thread, and take effect before they return.
class ScriptedVenue {
 public:
  struct Options {
    venues::Venue venue = venues::Venue::raw;
    /// Logged-in connections at a time; one more is answered as the venue does (Alpaca: error 406).
    unsigned connections_max = 100;
    std::string key = {};  ///< Alpaca: the only good one; empty: any.
    std::string secret = {};
    std::uint16_t port = 0;             ///< 0: any.
    std::string certificate_file = {};  ///< Given together with the key: wss.
    std::string key_file = {};
    std::string client_ca_file = {};  ///< Clients must show a certificate of this authority.
  };
  explicit ScriptedVenue(Options options);
  ScriptedVenue() : ScriptedVenue(Options{}) {}
  ~ScriptedVenue();
  ScriptedVenue(const ScriptedVenue&) = delete;
  ScriptedVenue& operator=(const ScriptedVenue&) = delete;

  /// ws://127.0.0.1:PORT + target; wss:// with a certificate.
  [[nodiscard]] std::string url(std::string_view target = "/") const;

  /// One text message to every connection that is logged in, whatever it subscribed to.
  void publish(std::string_view text);
  /// The same in fragments of so many bytes.
  void publish_fragmented(std::string_view text, std::size_t fragment_bytes);
  /// `count` messages {"n":N,...} of about `bytes` bytes, N counting from the last, as fast as the connections take them.
  void publish_numbered(std::uint64_t count, std::size_t bytes);
  [[nodiscard]] std::uint64_t numbered() const;
  /// Ends every connection at once (RST).
  void drop_all();
  /// Accepts and answers nothing from here on.
  void stall(bool on);

  [[nodiscard]] std::size_t connections() const;         ///< Open now.
  [[nodiscard]] std::uint64_t connections_ever() const;  ///< Whose handshake was good.
  [[nodiscard]] std::vector<std::string> heard() const;  ///< Texts from clients, in order.
  /// What the last connection is subscribed to: "trades:AAPL", "btcusdt@trade".
  [[nodiscard]] std::vector<std::string> subscriptions() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace feedbench::local::testing
