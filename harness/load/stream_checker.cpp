#include "harness/load/stream_checker.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "reference/websocket/frame_header.hpp"

namespace feedbench::load {
namespace {

using mock_exchange::PreparedFrame;

// What is looked at before a difference is named: enough for two frames that changed places.
constexpr std::size_t kFramesWanted = 2;
constexpr std::size_t kPendingBytesMax = 2U << 20U;
constexpr std::size_t kExcerptBytes = 64;

std::string excerpt(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes.first(std::min(bytes.size(), kExcerptBytes))) {
    const char c = static_cast<char>(b);
    out += c >= 0x20 && c < 0x7f ? std::string(1, c)
                                 : fmt::format("\\x{:02x}", static_cast<unsigned>(b));
  }
  if (bytes.size() > kExcerptBytes) out += "...";
  return fmt::format("{} ({} bytes)", out, bytes.size());
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

std::uint16_t close_code_of(std::span<const std::byte> frame) {
  if (frame.size() < 4) return 0;
  return static_cast<std::uint16_t>((std::to_integer<unsigned>(frame[2]) << 8U) |
                                    std::to_integer<unsigned>(frame[3]));
}

// The whole frames at the front of `bytes`; `broken` when what follows cannot be a frame of a server.
std::vector<std::span<const std::byte>> split(std::span<const std::byte> bytes, bool& broken) {
  std::vector<std::span<const std::byte>> frames;
  while (frames.size() < kFramesWanted) {
    const auto header = websocket::decode_header(bytes, websocket::MaskRule::forbidden);
    broken = header.status == websocket::HeaderStatus::error;
    if (header.status != websocket::HeaderStatus::complete) break;
    if (header.header.frame_bytes() > bytes.size()) break;
    frames.push_back(bytes.first(static_cast<std::size_t>(header.header.frame_bytes())));
    bytes = bytes.subspan(frames.back().size());
  }
  return frames;
}

}  // namespace

std::string_view to_string(MismatchKind kind) {
  switch (kind) {
    case MismatchKind::lost:
      return "lost";
    case MismatchKind::duplicate:
      return "duplicate";
    case MismatchKind::reordered:
      return "reordered";
    case MismatchKind::altered:
      return "altered";
    case MismatchKind::closed:
      return "closed";
  }
  return "?";
}

std::string to_string(const Mismatch& m) {
  const std::string where = fmt::format("client {}, frame {}", m.client, m.sequence);
  switch (m.kind) {
    case MismatchKind::lost:
      return fmt::format("{}: {} frame(s) lost; got {}", where, m.frames, m.got);
    case MismatchKind::duplicate:
      return fmt::format("{}: got the frame {} before it a second time: {}", where, m.frames,
                         m.got);
    case MismatchKind::reordered:
      return fmt::format("{}: got a later frame first: {}", where, m.got);
    case MismatchKind::altered:
      return fmt::format("{}: altered: expected {}, got {}", where, m.expected, m.got);
    case MismatchKind::closed:
      return fmt::format("{}: the server closed the connection with code {}", where, m.close_code);
  }
  return where;
}

StreamChecker::StreamChecker(std::shared_ptr<const mock_exchange::PreparedSession> session,
                             std::uint32_t clients)
    : session_(std::move(session)),
      arena_(session_->arena().data()),
      loop_bytes_(session_->loop_bytes()),
      clients_(clients),
      pending_(clients) {}

void StreamChecker::advance(Client& client, std::size_t n) noexcept {
  const auto frames = session_->frames();
  const std::uint64_t before = client.next;
  client.offset += n;
  client.verified += n;
  // A few frames are stepped over; many are looked up.
  constexpr int kSteps = 16;
  for (int step = 0; step < kSteps; ++step) {
    if (client.next == frames.size()) break;
    const PreparedFrame& frame = frames[client.next];
    if (frame.offset + frame.length > client.offset) break;
    ++client.next;
    if (step == kSteps - 1)
      client.next = static_cast<std::uint32_t>(session_->frames_before(client.offset));
  }
  client.frames += client.next - before;
  if (client.offset == loop_bytes_) {
    client.offset = 0;
    client.next = 0;
  }
}

std::uint64_t StreamChecker::slowest_position() const noexcept {
  std::uint64_t least = UINT64_MAX;
  for (const Client& client : clients_) least = std::min(least, client.verified);
  return clients_.empty() ? 0 : least;
}

// bytes differ from what is due somewhere before the end of this loop: takes what is right, keeps the rest.
void StreamChecker::begin_diagnosis(std::uint32_t client, std::span<const std::byte> bytes) {
  Client& state = clients_[client];
  std::size_t same = 0;
  while (bytes[same] == arena_[state.offset + same]) ++same;
  advance(state, same);
  state.failed = true;
  ++clients_failed_;
  const std::uint64_t frame_start = session_->frames()[state.next].offset;
  const auto head = session_->arena().subspan(frame_start, state.offset - frame_start);
  pending_[client].assign(head.begin(), head.end());
  // The part of the frame that was right counts again when it turns out that only a Ping stood before it.
  state.verified -= head.size();
  state.offset = frame_start;
  diagnose(client, bytes.subspan(same));
}

void StreamChecker::diagnose(std::uint32_t client, std::span<const std::byte> bytes) {
  Client& state = clients_[client];
  if (state.concluded) {
    bytes_unverified_ += bytes.size();
    return;
  }
  auto& pending = pending_[client];
  pending.insert(pending.end(), bytes.begin(), bytes.end());
  conclude(client, pending.size() >= kPendingBytesMax);
}

void StreamChecker::on_end(std::uint32_t client) {
  if (clients_[client].failed && !clients_[client].concluded) conclude(client, true);
}

// Names the difference when enough is there. Returns false to wait for more.
bool StreamChecker::conclude(std::uint32_t client, bool at_end) {
  Client& state = clients_[client];
  const std::span<const std::byte> pending = pending_[client];
  bool broken = false;
  const auto got = split(pending, broken);
  if (!got.empty()) {
    const auto opcode = static_cast<websocket::Opcode>(std::to_integer<unsigned>(got[0][0]) & 15U);
    if (opcode == websocket::Opcode::ping || opcode == websocket::Opcode::pong) {
      ++control_frames_;
      --clients_failed_;
      state.failed = false;
      const std::vector<std::byte> rest(
          pending.begin() + static_cast<std::ptrdiff_t>(got[0].size()), pending.end());
      pending_[client].clear();
      on_bytes(client, rest);
      return true;
    }
    if (opcode == websocket::Opcode::close) at_end = true;
  }
  if (got.size() < kFramesWanted && !broken && !at_end) return false;
  Mismatch mismatch = classify(state, got);
  if (got.empty()) mismatch.got = excerpt(pending);
  keep(client, std::move(mismatch));
  bytes_unverified_ += pending.size();
  state.concluded = true;
  pending_[client] = {};
  return true;
}

Mismatch StreamChecker::classify(const Client& state,
                                 std::span<const std::span<const std::byte>> got) const {
  Mismatch out;
  out.sequence = state.frames;
  const std::size_t count = session_->frame_count();
  const auto expected = session_->wire(state.next);
  out.expected = excerpt(expected);
  if (got.empty()) return out;
  out.got = excerpt(got[0]);
  if ((std::to_integer<unsigned>(got[0][0]) & 15U) ==
      static_cast<unsigned>(websocket::Opcode::close)) {
    out.kind = MismatchKind::closed;
    out.close_code = close_code_of(got[0]);
    return out;
  }
  // The nearest frame that equals what came, looking both ways. Backwards only to what was sent already.
  for (std::size_t distance = 1; distance < count; ++distance) {
    if (equal(got[0], session_->wire((state.next + distance) % count))) {
      const bool swapped = got.size() > 1 && distance == 1 && equal(got[1], expected);
      out.kind = swapped ? MismatchKind::reordered : MismatchKind::lost;
      out.frames = distance;
      return out;
    }
    if (distance <= state.frames &&
        equal(got[0], session_->wire((state.next + count - distance) % count))) {
      out.kind = MismatchKind::duplicate;
      out.frames = distance;
      return out;
    }
  }
  return out;
}

void StreamChecker::keep(std::uint32_t client, Mismatch mismatch) {
  mismatch.client = client;
  if (mismatches_.size() < kMismatchesKept) mismatches_.push_back(std::move(mismatch));
}

}  // namespace feedbench::load
