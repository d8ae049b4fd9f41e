#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "reference/baselines/beast/beast_server.hpp"
#include "reference/baselines/beast/beast_sessions.hpp"

/// The client side, after Beast's asynchronous client examples. Private to the beast_*.cpp files.
namespace feedbench::baselines {

/// What the server does about its upstream. Called from completion handlers.
struct UpstreamEvents {
  std::function<void()> opened;  ///< TCP (and TLS) is up.
  std::function<void()> ready;   ///< The WebSocket handshake is done.
  std::function<void(const Message&, bool text)> message;
  std::function<void(BeastEnd)> failed;                 ///< Before ready; nothing follows.
  std::function<void(const std::string& reason)> lost;  ///< After ready; nothing follows.
};

class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual void connect() = 0;
  /// Starts the closing handshake, or cancels what was under way.
  virtual void close() = 0;
};

/// Errors: a URL that is none, authorities that cannot be read.
transports::Expected<std::unique_ptr<Upstream>> make_upstream(asio::io_context& io,
                                                              const BeastOptions& options,
                                                              UpstreamEvents events);

}  // namespace feedbench::baselines
