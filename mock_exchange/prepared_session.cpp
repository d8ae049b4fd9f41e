#include "mock_exchange/prepared_session.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "transports/split_mix.hpp"

namespace feedbench::mock_exchange {

std::size_t PreparedSession::frame_at(std::uint64_t offset) const noexcept {
  const auto after = std::upper_bound(
      frames_.begin(), frames_.end(), offset,
      [](std::uint64_t wanted, const PreparedFrame& frame) { return wanted < frame.offset; });
  return static_cast<std::size_t>(after - frames_.begin()) - 1;
}

std::uint64_t PreparedSession::frames_before(std::uint64_t position) const noexcept {
  if (arena_.empty()) return 0;
  return position / arena_.size() * frames_.size() + frame_at(position % arena_.size());
}

std::size_t write_server_header(std::span<std::byte, 10> out, std::uint64_t payload_bytes,
                                std::uint8_t opcode) noexcept {
  constexpr unsigned kFin = 0x80;
  out[0] = static_cast<std::byte>(kFin | opcode);
  if (payload_bytes < 126) {
    out[1] = static_cast<std::byte>(payload_bytes);
    return 2;
  }
  const bool wide = payload_bytes > 0xffff;
  out[1] = static_cast<std::byte>(wide ? 127 : 126);
  const std::size_t length_bytes = wide ? 8 : 2;
  for (std::size_t i = 0; i < length_bytes; ++i) {
    out[2 + i] = static_cast<std::byte>(payload_bytes >> (8 * (length_bytes - 1 - i)));
  }
  return 2 + length_bytes;
}

SessionBuilder::SessionBuilder() : session_(std::make_shared<PreparedSession>()) {
  session_->topics_.emplace_back();
}

std::uint32_t SessionBuilder::topic(std::string_view name) {
  if (name.empty()) return kNoTopic;
  const auto [at, is_new] = topic_index_.try_emplace(
      std::string(name), static_cast<std::uint32_t>(session_->topics_.size()));
  if (is_new) session_->topics_.emplace_back(name);
  return at->second;
}

PreparedFrame& SessionBuilder::append(std::string_view payload, std::int64_t t_ns, bool binary) {
  auto& session = *session_;
  PreparedFrame frame;
  frame.offset = session.arena_.size();
  if (session.frames_.empty()) {
    first_t_ns_ = t_ns;
  } else {
    frame.t_ns = std::max(t_ns - first_t_ns_, session.frames_.back().t_ns);
  }
  std::array<std::byte, 10> header;
  const std::size_t header_bytes = write_server_header(header, payload.size(), binary ? 2 : 1);
  frame.header_bytes = static_cast<std::uint8_t>(header_bytes);
  frame.length = static_cast<std::uint32_t>(header_bytes + payload.size());
  frame.binary = binary;
  const auto* text = reinterpret_cast<const std::byte*>(payload.data());
  session.arena_.insert(session.arena_.end(), header.data(), header.data() + header_bytes);
  session.arena_.insert(session.arena_.end(), text, text + payload.size());
  return session.frames_.emplace_back(frame);
}

void SessionBuilder::add(std::string_view payload, std::int64_t t_ns, std::uint32_t topic,
                         bool binary) {
  append(payload, t_ns, binary).topic = topic;
}

void SessionBuilder::add(std::string_view payload, std::int64_t t_ns,
                         std::span<const PreparedElement> elements) {
  assert(elements.size() <= UINT16_MAX);
  PreparedFrame& frame = append(payload, t_ns, false);
  frame.topic = kManyTopics;
  frame.first_element = static_cast<std::uint32_t>(session_->elements_.size());
  frame.element_count = static_cast<std::uint16_t>(elements.size());
  session_->elements_.insert(session_->elements_.end(), elements.begin(), elements.end());
}

std::shared_ptr<const PreparedSession> SessionBuilder::finish() {
  session_->arena_.shrink_to_fit();
  auto done = std::exchange(session_, std::make_shared<PreparedSession>());
  *this = SessionBuilder();
  return done;
}

std::shared_ptr<const PreparedSession> synthetic_session(std::size_t payload_bytes,
                                                         std::size_t count, std::uint64_t seed) {
  assert(payload_bytes >= 40);
  constexpr std::string_view kAlphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-.";
  static_assert(kAlphabet.size() == 64);
  constexpr std::string_view kHead = R"({"n":000000000000,"d":")";
  constexpr std::string_view kTail = R"("})";
  constexpr std::size_t kNumberEnd = 17;  // one past the last digit of n in kHead

  SessionBuilder builder;
  std::uint64_t random = seed;
  const std::uint32_t topic = builder.topic("synthetic");
  std::string text(payload_bytes, ' ');
  text.replace(0, kHead.size(), kHead);
  text.replace(payload_bytes - kTail.size(), kTail.size(), kTail);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t digit = kNumberEnd;
    for (std::size_t rest = i; rest != 0; rest /= 10) {
      text[--digit] = static_cast<char>('0' + rest % 10);
    }
    std::uint64_t bits = 0;
    for (std::size_t at = kHead.size(), used = 0; at < payload_bytes - kTail.size(); ++at, ++used) {
      if (used % 10 == 0) bits = split_mix(random);
      text[at] = kAlphabet[bits & 63U];
      bits >>= 6U;
    }
    builder.add(text, static_cast<std::int64_t>(i) * 1'000'000, topic);
  }
  return builder.finish();
}

}  // namespace feedbench::mock_exchange
