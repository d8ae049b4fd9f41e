#include "mock_exchange/exchange.hpp"

#include <utility>

#include "mock_exchange/server.hpp"

namespace feedbench::mock_exchange {

using transports::Expected;
using transports::TscInstant;

Exchange::Exchange(std::unique_ptr<Server> server) : server_(std::move(server)) {}
Exchange::~Exchange() = default;

Expected<std::unique_ptr<Exchange>> Exchange::create(boost::asio::io_context& io,
                                                     ExchangeOptions options) {
  auto server = Server::create(io, std::move(options));
  if (!server) return tl::unexpected(server.error());
  return std::unique_ptr<Exchange>(new Exchange(std::move(*server)));
}

transports::Endpoint Exchange::endpoint() const { return server_->endpoint(); }

std::string Exchange::url() const {
  return (server_->tls() ? "wss://" : "ws://") + to_string(server_->endpoint());
}

std::size_t Exchange::connections() const noexcept { return server_->connections(); }
std::size_t Exchange::sessions_ready() const noexcept { return server_->sessions_ready(); }
void Exchange::start(TscInstant at) { server_->start(at); }
bool Exchange::started() const noexcept { return server_->started(); }
void Exchange::pump() { server_->pump(); }
TscInstant Exchange::next_due() const noexcept { return server_->next_due(); }
bool Exchange::finished() const noexcept { return server_->finished(); }
void Exchange::shut_down() { server_->shut_down(); }
const ExchangeCounters& Exchange::counters() const noexcept { return server_->counters(); }

}  // namespace feedbench::mock_exchange
