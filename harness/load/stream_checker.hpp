#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mock_exchange/prepared_session.hpp"

/// Whether every client got every frame: in order, once, byte for byte.
namespace feedbench::load {

enum class MismatchKind : std::uint8_t {
  lost,       ///< a later frame came where an earlier one was due
  duplicate,  ///< a frame came that this client has had
  reordered,  ///< two frames changed places
  altered,    ///< right place, wrong bytes; or bytes that are no frame at all
  closed,     ///< the server said goodbye by a Close frame (1013: evicted)
};
std::string_view to_string(MismatchKind kind);

/// The first thing that went wrong on one client.
struct Mismatch {
  MismatchKind kind = MismatchKind::altered;
  std::uint32_t client = 0;
  std::uint64_t sequence = 0;    ///< of the frame that was due, counted over all loops from 0
  std::uint64_t frames = 0;      ///< lost: how many are missing; duplicate: how far back it lies
  std::uint16_t close_code = 0;  ///< closed: its code, 0 if it has none
  std::string expected;          ///< start of the frame that was due, printable
  std::string got;               ///< start of what came
};
/// One sentence.
std::string to_string(const Mismatch& mismatch);

/// Compares what clients receive with the endless stream arena, arena, arena... of a session.
///
/// Fast path: one memcmp a chunk, whatever the chunk's borders; frames are counted by the session's
/// table. Only a chunk that differs is parsed, to tell what happened; that client is not followed any
/// further, except after Ping and Pong, which a server may send at any time.
/// thread: one. Allocates only on a difference.
class StreamChecker {
 public:
  StreamChecker(std::shared_ptr<const mock_exchange::PreparedSession> session,
                std::uint32_t clients);

  /// Frames that became whole by one chunk: sequences [first, last).
  struct Advance {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };

  /// bytes: [n] the next bytes of this client's stream. Cost: memcmp of n bytes and some 20 ns.
  Advance on_bytes(std::uint32_t client, std::span<const std::byte> bytes) {
    Client& state = clients_[client];
    const std::uint64_t first = state.frames;
    if (state.failed) [[unlikely]] {
      diagnose(client, bytes);
      return {first, clients_[client].frames};
    }
    while (!bytes.empty()) {
      const std::size_t n = std::min<std::size_t>(bytes.size(), loop_bytes_ - state.offset);
      if (std::memcmp(bytes.data(), arena_ + state.offset, n) != 0) [[unlikely]] {
        begin_diagnosis(client, bytes);
        break;
      }
      bytes = bytes.subspan(n);
      advance(state, n);
    }
    bytes_verified_ += state.verified - state.bytes_counted;
    frames_verified_ += state.frames - state.frames_counted;
    state.bytes_counted = state.verified;
    state.frames_counted = state.frames;
    return {first, state.frames};
  }

  /// The stream of this client ended: concludes what was still being looked at.
  void on_end(std::uint32_t client);

  /// Whole frames this client has had, all correct.
  [[nodiscard]] std::uint64_t frames(std::uint32_t client) const noexcept {
    return clients_[client].frames;
  }
  /// Bytes this client has had, all correct: its position in the endless stream.
  [[nodiscard]] std::uint64_t position(std::uint32_t client) const noexcept {
    return clients_[client].verified;
  }
  /// The least position of all clients. O(clients).
  [[nodiscard]] std::uint64_t slowest_position() const noexcept;
  [[nodiscard]] bool failed(std::uint32_t client) const noexcept { return clients_[client].failed; }

  [[nodiscard]] std::uint64_t frames_verified() const noexcept {
    return frames_verified_;
  }  ///< all clients
  [[nodiscard]] std::uint64_t bytes_verified() const noexcept {
    return bytes_verified_;
  }  ///< all clients
  [[nodiscard]] std::uint64_t bytes_unverified() const noexcept { return bytes_unverified_; }
  [[nodiscard]] std::uint64_t control_frames() const noexcept { return control_frames_; }
  [[nodiscard]] std::uint32_t clients_failed() const noexcept { return clients_failed_; }
  /// At most kMismatchesKept of them, the first of each client, in the order found.
  [[nodiscard]] const std::vector<Mismatch>& mismatches() const noexcept { return mismatches_; }
  static constexpr std::size_t kMismatchesKept = 16;

 private:
  struct Client {
    std::uint64_t offset = 0;          // in the arena
    std::uint64_t verified = 0;        // bytes over all loops
    std::uint64_t frames = 0;          // over all loops
    std::uint64_t bytes_counted = 0;   // of verified, in bytes_verified_
    std::uint64_t frames_counted = 0;  // of frames, in frames_verified_
    std::uint32_t next = 0;            // index of the frame that is being received
    bool failed = false;
    bool concluded = false;
  };

  void advance(Client& client, std::size_t n) noexcept;
  void begin_diagnosis(std::uint32_t client, std::span<const std::byte> bytes);
  void diagnose(std::uint32_t client, std::span<const std::byte> bytes);
  bool conclude(std::uint32_t client, bool at_end);
  Mismatch classify(const Client& state, std::span<const std::span<const std::byte>> got) const;
  void keep(std::uint32_t client, Mismatch mismatch);

  std::shared_ptr<const mock_exchange::PreparedSession> session_;
  const std::byte* arena_;
  std::uint64_t loop_bytes_;
  std::vector<Client> clients_;
  std::vector<std::vector<std::byte>>
      pending_;  // by client: bytes since the start of the frame that differs
  std::vector<Mismatch> mismatches_;
  std::uint64_t frames_verified_ = 0;
  std::uint64_t bytes_verified_ = 0;
  std::uint64_t bytes_unverified_ = 0;
  std::uint64_t control_frames_ = 0;
  std::uint32_t clients_failed_ = 0;
};

}  // namespace feedbench::load
