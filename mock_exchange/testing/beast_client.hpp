#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transports/transport.hpp"

namespace boost::asio {
class io_context;
}

/// A WebSocket client made of Boost.Beast, the oracle of these tests: it knows nothing of our codec.
namespace feedbench::mock_exchange::testing {

struct BeastClientOptions {
  std::string target = "/";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string authority_file;      ///< Not empty: wss://, verified against this.
  bool reading = true;             ///< false: connects, but reads nothing until read() is called.
  std::size_t fragment_bytes = 0;  ///< Not 0: messages are sent in fragments of this size.
  int receive_buffer_bytes = 0;    ///< SO_RCVBUF; 0: the kernel's default.
};

/// Runs on the io_context it is given; its state is looked at between calls of poll().
class BeastClient {
 public:
  BeastClient(boost::asio::io_context& io, const transports::Endpoint& endpoint,
              BeastClientOptions options = {});
  ~BeastClient();

  [[nodiscard]] bool open() const;
  [[nodiscard]] bool ended() const;
  /// Whole messages in order, text and binary.
  [[nodiscard]] const std::vector<std::string>& messages() const;
  [[nodiscard]] std::size_t payload_bytes() const;
  [[nodiscard]] const std::vector<std::string>& pings() const;
  [[nodiscard]] const std::vector<std::string>& pongs() const;
  [[nodiscard]] std::uint16_t close_code() const;
  [[nodiscard]] std::string close_reason() const;
  [[nodiscard]] unsigned http_status() const;  ///< Of the answer to the upgrade; 0: none yet.
  [[nodiscard]] std::string error() const;     ///< Why it ended.

  void send(std::string text);
  void ping(std::string_view payload);
  void close(std::uint16_t code);
  void read();
  void disconnect();  ///< Closes the socket without a word.

 private:
  struct State;
  template <class Next>
  struct Client;
  std::shared_ptr<State> state_;
};

}  // namespace feedbench::mock_exchange::testing
