#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reference/client/feed_reader.hpp"
#include "reference/client/protocol.hpp"

/// What a user of the client says to it, and hears from it beside messages.
namespace feedproxy {

using control::LogLevel;
using RequestId = std::uint32_t;

struct ClientOptions {
  /// The proxy's socket: a path, or a name (see socket_path()); empty: the name "default".
  std::string path = {};
  /// What to start when no proxy is there: the program, then its arguments ("--config", "x.yaml"). Empty: nothing.
  std::vector<std::string> spawn = {};
  /// Presented to the proxy, if it asks for one.
  std::string token = {};
  /// For finding or starting the proxy, and for each blocking call.
  std::chrono::milliseconds timeout{10'000};
  /// Come back to a proxy that was restarted (and start it, if spawn says what), open again what was open and subscribe
  /// again to what was subscribed. It is tried in poll() and wait(), every 100 ms.
  bool reconnect = false;
  /// wait() spins this long before it sleeps in the kernel.
  std::chrono::nanoseconds spin{20'000};
  /// Map every page of a log when it is opened, instead of when it is first read.
  bool pre_fault = true;
  /// Only look on: open() joins what others have open, is answered at once and keeps nothing open; wait() is not woken
  /// by messages. See feedproxy::control::kHelloMonitor.
  bool monitor = false;
};

struct OpenOptions {
  std::string url = {};  ///< Empty: the upstream of the proxy's own configuration.
  std::string credentials =
      {};  ///< NAME: the proxy's environment has NAME_KEY and NAME_SECRET. Never the secret.
  std::string headers = {};  ///< "Name: value" lines of the handshake.
  std::string subprotocol = {};
  std::string venue = {};  ///< raw, binance, alpaca; empty: what the host's name says, else raw.
  /// Begin with the newest message of each topic the proxy still knows (Message::last_value), then go on with the log,
  /// without a gap or a duplicate.
  bool last_values = false;
  bool now = false;  ///< Be answered at once, whatever state the upstream is in.
  std::uint32_t feed =
      0;  ///< Not 0: join the feed of this number (see status()), whatever its URL.
};

struct Opened {
  FeedId feed = 0;
  bool is_new = false;  ///< This call made the upstream; nobody else had it.
};

/// What happened beside the messages, in the order it happened.
struct Notice {
  enum class Kind : std::uint8_t {
    opened,  ///< feed; flag: is_new. The answer to request.
    done,    ///< The answer to request: sent, subscribed (flag: existing), unsubscribed, closed...
    failed,  ///< The answer to request: error and text.
    upstream_ready,  ///< feed
    upstream_lost,   ///< feed; text: why. The proxy tries again by itself.
    closed,      ///< feed; text: why. For good: after what is left in the log, next() says closed.
    proxy_lost,  ///< text
    proxy_back,  ///< The feeds are being opened again.
    log,         ///< level, text: a line of the proxy's log.
    proxy_replaced,  ///< text: its version. Another process goes on with everything; nothing is to be done.
  };
  Kind kind = Kind::done;
  RequestId request = 0;
  FeedId feed = 0;
  bool flag = false;
  Errc error = Errc::ok;
  LogLevel level = LogLevel::off;
  std::string text;
};

/// What poll() calls. Derive and hide what you want to hear of; nothing is virtual.
struct Callbacks {
  void on_message(const Message&) {}
  void on_gap(FeedId, const Gap&) {}
  void on_opened(FeedId, RequestId, bool /*is_new*/) {}
  void on_done(RequestId, FeedId, bool /*existing*/) {}
  void on_error(RequestId, FeedId, Errc, std::string_view) {}
  void on_upstream_ready(FeedId) {}
  void on_upstream_lost(FeedId, std::string_view /*why*/) {}
  void on_closed(FeedId, std::string_view /*why*/) {}
  void on_proxy_lost(std::string_view /*why*/) {}
  void on_proxy_back() {}
  void on_log(LogLevel, std::string_view) {}
  void on_proxy_replaced(std::string_view /*version*/) {}
};

}  // namespace feedproxy
