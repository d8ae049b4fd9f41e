#include "mock_exchange/testing/beast_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <deque>

namespace feedbench::mock_exchange::testing {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;

struct BeastClient::State : std::enable_shared_from_this<BeastClient::State> {
  BeastClientOptions options;
  bool open = false;
  bool ended = false;
  bool reading = false;
  bool writing = false;
  std::vector<std::string> messages;
  std::size_t payload_bytes = 0;
  std::vector<std::string> pings, pongs;
  beast::websocket::close_reason reason;
  unsigned http_status = 0;
  std::string error;
  std::deque<std::string> outgoing;
  beast::flat_buffer buffer;
  beast::websocket::response_type response;

  virtual ~State() = default;
  virtual void start(const transports::Endpoint& endpoint) = 0;
  virtual void read_next() = 0;
  virtual void write_next() = 0;
  virtual void ping(std::string_view payload) = 0;
  virtual void close(std::uint16_t code) = 0;
  virtual void disconnect() = 0;

  void end(const error_code& why) {
    if (!ended) error = why.message();
    ended = true;
    open = false;
  }
};

/// Next: tcp::socket, or ssl::stream<tcp::socket>.
template <class Next>
struct BeastClient::Client final : BeastClient::State {
  beast::websocket::stream<Next> ws;

  template <class... Arguments>
  explicit Client(Arguments&&... arguments) : ws(std::forward<Arguments>(arguments)...) {}

  std::shared_ptr<Client> self() { return std::static_pointer_cast<Client>(shared_from_this()); }
  tcp::socket& socket() { return beast::get_lowest_layer(ws); }

  void start(const transports::Endpoint& endpoint) override {
    const tcp::endpoint at(asio::ip::make_address(endpoint.address), endpoint.port);
    socket().open(at.protocol());
    if (options.receive_buffer_bytes > 0) {
      socket().set_option(asio::socket_base::receive_buffer_size(options.receive_buffer_bytes));
    }
    ws.read_message_max(64U << 20U);
    ws.set_option(beast::websocket::stream_base::decorator(
        [headers = options.headers](beast::websocket::request_type& request) {
          for (const auto& [name, value] : headers) request.set(name, value);
        }));
    ws.control_callback([this](beast::websocket::frame_type kind, beast::string_view payload) {
      if (kind == beast::websocket::frame_type::ping) pings.emplace_back(payload);
      if (kind == beast::websocket::frame_type::pong) pongs.emplace_back(payload);
    });
    socket().async_connect(at, [me = self()](const error_code& failed) {
      if (failed) return me->end(failed);
      me->secure();
    });
  }

  void secure() {
    if constexpr (std::is_same_v<Next, tcp::socket>) {
      upgrade();
    } else {
      ws.next_layer().async_handshake(asio::ssl::stream_base::client,
                                      [me = self()](const error_code& failed) {
                                        if (failed) return me->end(failed);
                                        me->upgrade();
                                      });
    }
  }

  void upgrade() {
    ws.async_handshake(
        response, "127.0.0.1", options.target, [me = self()](const error_code& failed) {
          me->http_status = me->response.result_int();
          if (failed) return me->end(failed);
          me->open = true;
          if (me->options.fragment_bytes > 0) {
            me->ws.write_buffer_bytes(std::max<std::size_t>(8, me->options.fragment_bytes));
            me->ws.auto_fragment(true);
          }
          if (me->options.reading) me->read_next();
        });
  }

  void read_next() override {
    reading = true;
    ws.async_read(buffer, [me = self()](const error_code& failed, std::size_t) {
      if (failed) {
        me->reason = me->ws.reason();
        return me->end(failed);
      }
      me->messages.push_back(beast::buffers_to_string(me->buffer.data()));
      me->payload_bytes += me->messages.back().size();
      me->buffer.consume(me->buffer.size());
      me->read_next();
    });
  }

  void write_next() override {
    writing = true;
    ws.async_write(asio::buffer(outgoing.front()),
                   [me = self()](const error_code& failed, std::size_t) {
                     me->writing = false;
                     if (failed) return;
                     me->outgoing.pop_front();
                     if (!me->outgoing.empty()) me->write_next();
                   });
  }

  void ping(std::string_view payload) override {
    beast::websocket::ping_data data;
    data.assign(payload.data(), payload.size());
    ws.async_ping(data, [me = self()](const error_code&) {});
  }

  void close(std::uint16_t code) override {
    ws.async_close(beast::websocket::close_reason(code), [me = self()](const error_code&) {
      me->reason = me->ws.reason();
      me->ended = true;
      me->open = false;
    });
  }

  void disconnect() override {
    error_code ignored;
    socket().close(ignored);
  }
};

BeastClient::BeastClient(asio::io_context& io, const transports::Endpoint& endpoint,
                         BeastClientOptions options) {
  if (options.authority_file.empty()) {
    state_ = std::make_shared<Client<tcp::socket>>(io);
  } else {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.load_verify_file(options.authority_file);
    context.set_verify_mode(asio::ssl::verify_peer);
    auto client = std::make_shared<Client<asio::ssl::stream<tcp::socket>>>(io, context);
    client->ws.next_layer().set_verify_callback(
        asio::ssl::host_name_verification(endpoint.address));
    state_ = client;
  }
  state_->options = std::move(options);
  state_->start(endpoint);
}

BeastClient::~BeastClient() { state_->disconnect(); }

bool BeastClient::open() const { return state_->open; }
bool BeastClient::ended() const { return state_->ended; }
const std::vector<std::string>& BeastClient::messages() const { return state_->messages; }
std::size_t BeastClient::payload_bytes() const { return state_->payload_bytes; }
const std::vector<std::string>& BeastClient::pings() const { return state_->pings; }
const std::vector<std::string>& BeastClient::pongs() const { return state_->pongs; }
std::uint16_t BeastClient::close_code() const { return state_->reason.code; }
std::string BeastClient::close_reason() const {
  return {state_->reason.reason.data(), state_->reason.reason.size()};
}
unsigned BeastClient::http_status() const { return state_->http_status; }
std::string BeastClient::error() const { return state_->error; }

void BeastClient::send(std::string text) {
  state_->outgoing.push_back(std::move(text));
  if (!state_->writing) state_->write_next();
}
void BeastClient::ping(std::string_view payload) { state_->ping(payload); }
void BeastClient::close(std::uint16_t code) { state_->close(code); }
void BeastClient::read() {
  if (!state_->reading) state_->read_next();
}
void BeastClient::disconnect() { state_->disconnect(); }

}  // namespace feedbench::mock_exchange::testing
