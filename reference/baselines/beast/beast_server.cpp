#include "reference/baselines/beast/beast_server.hpp"

#include <chrono>
#include <nlohmann/json.hpp>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>

#include "reference/baselines/beast/beast_sessions.hpp"
#include "reference/baselines/beast/beast_upstream.hpp"
#include "reference/program/exit_codes.hpp"

namespace feedbench::baselines {
namespace {

constexpr std::chrono::seconds kDrainTime{2};

class Server {
 public:
  Server(const BeastOptions& options, const program::StatusLines& status, BeastCounters& counters)
      : options_(options), status_(status), room_(options.queue_messages_max, counters) {}
  // Sessions that are left go with the io_context, and then nobody is to be told.
  ~Server() { room_.tell_nobody(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  BeastEnd run() {
    auto upstream = make_upstream(io_, options_, events());
    if (!upstream) return {program::kExitUsage, upstream.error().message};
    upstream_ = std::move(*upstream);
    const tcp::endpoint at(asio::ip::make_address(options_.listen.address), options_.listen.port);
    try {
      listener_.emplace(io_, at, room_);
    } catch (const boost::system::system_error& error) {
      return {program::kExitCannotStart, "listen on " + to_string(options_.listen) + ": " +
                                             error.code().message() +
                                             " (choose another address with --listen)"};
    }
    const tcp::endpoint bound = listener_->local_endpoint();
    status_.event(
        "listening",
        {{"endpoint", to_string(transports::Endpoint{bound.address().to_string(), bound.port()})}});

    signals_.async_wait([this](beast::error_code error, int) {
      if (!error) end({});
    });
    upstream_->connect();

    if (options_.spin) {
      while (!io_.stopped()) io_.poll();
    } else {
      io_.run();
    }
    return end_;
  }

 private:
  UpstreamEvents events() {
    return {.opened = [this] { status_.event("upstream_open"); },
            .ready = [this] { status_.event("upstream_ready"); },
            .message =
                [this](const Message& message, bool text) {
                  ++room_.counters().messages_received;
                  room_.counters().bytes_received += message->size();
                  room_.broadcast(message, text);
                },
            .failed = [this](BeastEnd why) { end(std::move(why)); },
            .lost =
                [this](const std::string& reason) {
                  if (ending_) return;
                  status_.event("upstream_lost", {{"reason", reason}});
                  end({});
                }};
  }

  // Stops accepting, lets every client have what is queued for it and a close frame, and gives that
  // kDrainTime.
  void end(BeastEnd why) {
    if (ending_) return;
    ending_ = true;
    end_ = std::move(why);
    signals_.clear();  // a second signal ends the process
    listener_->stop();
    upstream_->close();
    drain_timer_.expires_after(kDrainTime);
    drain_timer_.async_wait([this](beast::error_code) { io_.stop(); });
    room_.close_all(ws::close_code::going_away, [this] { drain_timer_.cancel(); });
  }

  const BeastOptions& options_;
  const program::StatusLines& status_;
  Room room_;  // outlives the sessions, which the io_context holds
  asio::io_context io_{1};
  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  asio::steady_timer drain_timer_{io_};
  std::optional<Listener> listener_;
  std::unique_ptr<Upstream> upstream_;
  bool ending_ = false;
  BeastEnd end_;
};

}  // namespace

BeastEnd run_beast_server(const BeastOptions& options, const program::StatusLines& status,
                          BeastCounters& counters) {
  std::signal(SIGPIPE, SIG_IGN);  // a status reader that went away is not an error
  return Server(options, status, counters).run();
}

}  // namespace feedbench::baselines
