#include "reference/websocket/testing/beast_peer.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>

namespace feedbench::websocket::testing {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = boost::beast::websocket;
using boost::system::error_code;

struct BeastPeer::State {
  explicit State(Role its_role) : role(its_role), stream(context), wire(context) {
    stream.next_layer().connect(wire);
  }

  void run() {
    context.restart();
    context.poll();
  }

  void start(const Options& options) {
    record = options.record;
    if (options.read_chop_bytes > 0) stream.next_layer().read_size(options.read_chop_bytes);
    stream.auto_fragment(options.fragment_bytes > 0);
    if (options.fragment_bytes > 0)
      stream.write_buffer_bytes(std::max<std::size_t>(options.fragment_bytes, 8));
    stream.read_message_max(64U << 20U);
    stream.control_callback([this](ws::frame_type kind, beast::string_view payload) {
      const std::string text(payload);
      if (kind == ws::frame_type::ping) events.push_back("ping:" + text);
      if (kind == ws::frame_type::pong) events.push_back("pong:" + text);
      if (kind == ws::frame_type::close) {
        // Beast says 0 where RFC 6455 says 1005: the Close had no payload.
        const unsigned code = stream.reason().code == 0 ? 1005 : stream.reason().code;
        events.push_back("close:" + std::to_string(code) + ":" + text);
      }
    });
    const std::string subprotocol = options.subprotocol;
    const auto opened = [this](error_code failure) {
      if (failure) return end(failure);
      handshake_done = true;
      read();
    };
    if (role == Role::server) {
      stream.set_option(ws::stream_base::decorator([subprotocol](ws::response_type& response) {
        if (!subprotocol.empty())
          response.set(beast::http::field::sec_websocket_protocol, subprotocol);
      }));
      stream.async_accept(opened);
    } else {
      stream.set_option(ws::stream_base::decorator([subprotocol](ws::request_type& request) {
        if (!subprotocol.empty())
          request.set(beast::http::field::sec_websocket_protocol, subprotocol);
      }));
      stream.async_handshake("beast.example", "/target?x=1", opened);
    }
    run();
  }

  void read() {
    stream.async_read(buffer, [this](error_code failure, std::size_t) {
      if (failure) return end(failure);
      ++messages;
      if (record) {
        events.push_back((stream.got_text() ? "T:" : "B:") +
                         beast::buffers_to_string(buffer.data()));
      }
      buffer.consume(buffer.size());
      read();
    });
  }

  void end(error_code failure) {
    ended = true;
    error = failure;
  }

  Role role;
  asio::io_context context;
  ws::stream<beast::test::stream> stream;
  beast::test::stream wire;
  beast::flat_buffer buffer;
  std::deque<std::string> sending;  // stable addresses until the write is done
  std::vector<std::string> events;
  error_code error;
  std::size_t messages = 0;
  bool record = true;
  bool handshake_done = false;
  bool ended = false;
  bool close_completed = false;
};

BeastPeer::BeastPeer(Role role, Options options) : state_(std::make_unique<State>(role)) {
  state_->start(options);
}
BeastPeer::~BeastPeer() {
  state_->wire.close();
  state_->run();
}

void BeastPeer::feed(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  error_code closed;  // Beast may have ended the connection; then nobody reads this
  state_->wire.write_some(asio::buffer(bytes.data(), bytes.size()), closed);
  state_->run();
}

std::string BeastPeer::take_output() {
  const auto written = state_->wire.str();
  std::string output(written.data(), written.size());
  state_->wire.clear();
  return output;
}

void BeastPeer::send(bool is_text, std::string_view payload) {
  State& state = *state_;
  state.sending.emplace_back(payload);
  state.stream.text(is_text);
  state.stream.async_write(asio::buffer(state.sending.back()),
                           [&state](error_code failure, std::size_t) {
                             if (failure)
                               state.events.push_back("write failed: " + failure.message());
                           });
  state.run();
}

void BeastPeer::send_ping(std::string_view payload) {
  state_->stream.async_ping({payload.data(), payload.size()}, [](error_code) {});
  state_->run();
}
void BeastPeer::send_pong(std::string_view payload) {
  state_->stream.async_pong({payload.data(), payload.size()}, [](error_code) {});
  state_->run();
}

void BeastPeer::close(unsigned code, std::string_view reason) {
  State& state = *state_;
  ws::close_reason why(static_cast<std::uint16_t>(code));
  why.reason.assign(reason.data(), reason.size());
  state.stream.async_close(why, [&state](error_code failure) {
    state.close_completed = !failure;
    if (failure) state.error = failure;
  });
  state.run();
}

const std::vector<std::string>& BeastPeer::events() const { return state_->events; }
std::size_t BeastPeer::messages() const { return state_->messages; }
bool BeastPeer::handshake_done() const { return state_->handshake_done; }
bool BeastPeer::ended() const { return state_->ended; }
bool BeastPeer::ended_by_close() const {
  return state_->ended && state_->error == ws::error::closed;
}
std::string BeastPeer::error() const {
  return state_->error ? state_->error.message() : std::string();
}
bool BeastPeer::close_completed() const { return state_->close_completed; }

}  // namespace feedbench::websocket::testing
