#include "transports/xdp/testing/packet_fuzz.hpp"

#include <random>

#include "transports/xdp/stack_memory.hpp"
#include "transports/xdp/testing/stack_rig.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

/// The input, eaten from the front; zeros behind its end.
class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> input) : left_(input) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_[0];
    left_ = left_.subspan(1);
    return first;
  }
  std::uint16_t word() {
    const auto high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::vector<std::byte> some(std::size_t count) {
    std::vector<std::byte> made(count);
    for (std::byte& each : made) each = std::byte{byte()};
    return made;
  }

 private:
  std::span<const std::uint8_t> left_;
};

/// A distance in sequence numbers: near ones often, far ones sometimes.
std::uint32_t distance(Bytes& in) {
  const std::uint8_t how = in.byte();
  if (how < 96) return 0;
  if (how < 192) return std::uint32_t{in.byte()} * 4;
  if (how < 224) return std::uint32_t{0} - in.byte();
  return std::uint32_t{in.word()} << (how % 17);
}

Segment any_segment(Bytes& in, const PeerSide& peer) {
  Segment made = peer.segment(in.byte());
  made.sequence += distance(in);
  made.acknowledged += distance(in);
  const std::uint8_t what = in.byte();
  made.window = (what & 1) != 0 ? in.word() : 65535;
  if ((what & 2) != 0) {
    made.options.resize(std::size_t{in.byte()} % 11 * 4);
    for (std::uint8_t& each : made.options) each = in.byte();
  }
  if ((what & 4) != 0) made.payload = in.some(in.byte());
  if ((what & 8) != 0) made.payload.resize(made.payload.size() + in.word() % 1200);
  if ((what & 48) == 48) made.from_port = in.word();
  if ((what & 192) == 192) made.to_port = in.word();
  if (made.options.size() + made.payload.size() > 1460) made.payload.resize(1400);
  return made;
}

Frame damaged(Bytes& in, Frame frame) {
  for (int count = in.byte() % 3 + 1; count > 0; --count) {
    const std::size_t at = in.byte() % 58;
    if (at < frame.size()) frame[at] = std::byte{in.byte()};
  }
  if ((in.byte() & 3) == 0) frame.resize(in.word() % (frame.size() + 64));
  // With right checksums most damage gets further in.
  if ((in.byte() & 7) != 0 && frame.size() >= 54) put_checksums(frame);
  return frame;
}

/// What the stack sent must be what an Ethernet carries, and right.
std::string fault_of(const Frame& frame) {
  if (frame.size() < 60 || frame.size() > 1514) {
    return "sent a frame of " + std::to_string(frame.size()) + " bytes";
  }
  const bool ip = frame[12] == std::byte{8} && frame[13] == std::byte{0};
  const bool tcp = ip && frame[23] == std::byte{IPPROTO_TCP};
  if (tcp && !segment_of(frame)) return "sent a segment whose lengths or checksums are wrong";
  return {};
}

}  // namespace

std::string fuzz_packets(std::span<const std::uint8_t> input) {
  // What an empty stack holds, its timers among it.
  static const std::uint64_t blocks_before = [] {
    {
      StackRig warm;
      PeerSide peer{warm};
      peer.open();
    }
    return stack_memory::blocks_in_use();
  }();
  std::string fault;
  std::uint32_t held = 0;
  {
    Bytes in(input);
    StackRig rig;
    rig.wire.held_at_end = &held;
    PeerSide peer{rig};
    if (!peer.open(static_cast<int>(in.byte() % 16) - 1)) return "does not accept";
    rig.wire.held_max = in.byte() % 2 == 0 ? 128 : 4;
    std::vector<std::byte> out(4000);
    for (int step = 0; step < 200 && !in.empty() && fault.empty(); ++step) {
      switch (in.byte() % 10) {
        case 0:
          rig.wire.put(in.some(in.byte()));
          break;
        case 1:
        case 2:
        case 3:
          rig.wire.put(frame_of(any_segment(in, peer)));
          break;
        case 4:
          rig.wire.put(damaged(in, frame_of(any_segment(in, peer))));
          break;
        case 5:
          rig.wire.put(damaged(in, arp_frame(in.byte() % 4, kPeer + in.byte() % 3, kStack)));
          break;
        case 6: {
          const ConstRange range{out.data(), in.word() % out.size() + 1};
          for (const Conn conn : rig.handler.open) rig.transport.send(conn, {&range, 1});
          break;
        }
        case 7:
          rig.pass(in.byte() * 4);
          break;
        case 8:
          // In order, as a good peer goes on.
          peer.put(0, in.some(in.byte() % 64 + 1));
          break;
        default:
          if (!rig.handler.open.empty()) {
            const Conn conn = rig.handler.open[in.byte() % rig.handler.open.size()];
            const std::uint8_t how = in.byte() % 8;
            if (how == 0) rig.transport.close(conn);
            if (how == 1) rig.transport.abort(conn);
            if (how == 2) rig.transport.cancel_send(conn);
          }
          break;
      }
      rig.poll(1);
      for (const Frame& frame : rig.wire.from_stack) {
        if (fault.empty()) fault = fault_of(frame);
        if (const auto sent = segment_of(frame); sent && sent->to_port == peer.port) {
          peer.expected = sent->sequence + static_cast<std::uint32_t>(sent->payload.size());
          peer.next = sent->acknowledged != 0 ? sent->acknowledged : peer.next;
        }
      }
      rig.wire.from_stack.clear();
      if (rig.handler.closed.size() > rig.handler.open.size()) fault = "closed more than it opened";
    }
    for (const Conn conn : rig.handler.open) rig.transport.abort(conn);
    rig.poll();
  }
  if (!fault.empty()) return fault;
  if (held != 0) return std::to_string(held) + " frames were not given back";
  if (stack_memory::blocks_in_use() > blocks_before)
    return "memory of the stack was not given back";
  return {};
}

std::vector<std::uint8_t> make_packet_input(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> made(20 + random() % 900);
  for (std::uint8_t& each : made) {
    // Flags and distances that are usual, between bytes that are anything.
    constexpr std::uint8_t kUsual[] = {
        0, 1, 2, 3, 6, 7, 8, TH_ACK, TH_ACK | TH_PUSH, TH_ACK | TH_FIN, TH_SYN};
    each = random() % 2 == 0 ? kUsual[random() % std::size(kUsual)]
                             : static_cast<std::uint8_t>(random());
  }
  return made;
}

}  // namespace feedbench::transports::xdp::testing
