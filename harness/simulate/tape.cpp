#include "harness/simulate/tape.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>

#include "transports/sim/random.hpp"

namespace feedbench::simulate {
namespace {

constexpr std::size_t kOffsets = 4096;

/// Printable characters; a payload is a stretch of them that begins where its number says.
const std::string& characters() {
  static const std::string made = [] {
    transports::sim::Random random(20'260'101);
    std::string text(kOffsets + Tape::kPayloadBytesMax, ' ');
    for (char& c : text) c = static_cast<char>('0' + random.below(75));
    return text;
  }();
  return made;
}

const char* filler(std::uint32_t number) {
  return characters().data() + (std::size_t{number} * 2'654'435'761u) % kOffsets;
}

}  // namespace

std::uint32_t Tape::send(std::uint32_t connection, std::size_t payload_bytes) {
  if (sent_on_.size() <= connection) {
    sent_on_.resize(connection + 1);
    published_on_.resize(connection + 1);
  }
  messages_.push_back(
      {connection, sent_on_[connection]++, static_cast<std::uint32_t>(payload_bytes)});
  return static_cast<std::uint32_t>(messages_.size() - 1);
}

std::string Tape::payload(std::uint32_t number) const {
  std::string text = fmt::format("{:08x}", number);
  return text.append(filler(number), messages_[number].bytes - kPayloadBytesMin);
}

std::optional<std::uint32_t> Tape::recognise(std::span<const std::byte> payload) const {
  if (payload.size() < kPayloadBytesMin) return std::nullopt;
  const char* const text = reinterpret_cast<const char*>(payload.data());
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(text, text + kPayloadBytesMin, number, 16);
  if (parsed.ec != std::errc() || parsed.ptr != text + kPayloadBytesMin ||
      number >= messages_.size() || messages_[number].bytes != payload.size())
    return std::nullopt;
  const std::size_t rest = payload.size() - kPayloadBytesMin;
  if (std::memcmp(text + kPayloadBytesMin, filler(number), rest) != 0) return std::nullopt;
  return number;
}

std::string Tape::publish(std::uint32_t number, std::uint32_t log_bytes) {
  Message& message = messages_[number];
  if (message.position != kNotPublished)
    return fmt::format("message {} is published twice", number);
  const std::uint32_t expected = published_on_[message.connection];
  if (message.place != expected)
    return fmt::format("message {} of venue connection {} is published where {} was due",
                       message.place, message.connection, expected);
  if (!published_.empty() && messages_[published_.back()].connection > message.connection)
    return fmt::format("a message of venue connection {} is published after those of {}",
                       message.connection, messages_[published_.back()].connection);
  ++published_on_[message.connection];
  message.position = static_cast<std::uint32_t>(published_.size());
  published_.push_back(number);
  published_bytes_.push_back(log_bytes);
  return {};
}

std::optional<std::size_t> Tape::position(std::uint32_t number) const {
  const std::uint32_t at = messages_[number].position;
  return at == kNotPublished ? std::nullopt : std::optional<std::size_t>(at);
}

std::uint32_t Tape::sent_on(std::uint32_t connection) const noexcept {
  return connection < sent_on_.size() ? sent_on_[connection] : 0;
}
std::uint32_t Tape::published_on(std::uint32_t connection) const noexcept {
  return connection < published_on_.size() ? published_on_[connection] : 0;
}

}  // namespace feedbench::simulate
