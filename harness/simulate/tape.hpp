#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace feedbench::simulate {

/// The truth of one simulation: every message the venue has sent, and which of them the proxy has published, in order.
/// A message's payload follows from its number, so each byte anybody receives can be checked.
class Tape {
 public:
  /// Of any payload: the number in hexadecimal.
  static constexpr std::size_t kPayloadBytesMin = 8;
  static constexpr std::size_t kPayloadBytesMax = 64 * 1024;

  /// A new message on the venue's `connection` (numbered from 0). returns its number.
  std::uint32_t send(std::uint32_t connection, std::size_t payload_bytes);
  [[nodiscard]] std::string payload(std::uint32_t number) const;
  /// The number of the message that has exactly this payload; nothing when no message has.
  [[nodiscard]] std::optional<std::uint32_t> recognise(std::span<const std::byte> payload) const;

  /// The proxy has put a message into its log, as `log_bytes`. returns what is wrong with that; empty: nothing.
  /// The messages of one connection are published from its first on, none left out; connections one after the other.
  std::string publish(std::uint32_t number, std::uint32_t log_bytes);

  [[nodiscard]] std::size_t sent() const noexcept { return messages_.size(); }
  /// By position in the proxy's stream: the message's number.
  [[nodiscard]] const std::vector<std::uint32_t>& published() const noexcept { return published_; }
  [[nodiscard]] const std::vector<std::uint32_t>& published_bytes() const noexcept {
    return published_bytes_;
  }
  /// Where in the proxy's stream a message is; nothing: it is not published.
  [[nodiscard]] std::optional<std::size_t> position(std::uint32_t number) const;
  /// Messages of a connection that are sent.
  [[nodiscard]] std::uint32_t sent_on(std::uint32_t connection) const noexcept;
  [[nodiscard]] std::uint32_t published_on(std::uint32_t connection) const noexcept;

 private:
  static constexpr std::uint32_t kNotPublished = UINT32_MAX;
  struct Message {
    std::uint32_t connection;
    std::uint32_t place;  // on its connection
    std::uint32_t bytes;
    std::uint32_t position = kNotPublished;
  };
  std::vector<Message> messages_;
  std::vector<std::uint32_t> sent_on_;       // by connection
  std::vector<std::uint32_t> published_on_;  // likewise
  std::vector<std::uint32_t> published_;
  std::vector<std::uint32_t> published_bytes_;
};

}  // namespace feedbench::simulate
