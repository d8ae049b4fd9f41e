// What lwIP asks of its surroundings: time, chance, sequence numbers, and the end.
#include "transports/xdp/lwip/hooks.h"

#include <lwip/priv/tcp_priv.h>
#include <lwip/prot/tcp.h>
#include <lwip/sys.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "transports/clock.hpp"
#include "transports/xdp/lwip_engine.hpp"

namespace {

using feedbench::transports::MonotonicInstant;
using feedbench::transports::xdp::LwipEngine;

std::uint64_t random_word() noexcept {
  std::uint64_t word = 0;
  if (::getrandom(&word, sizeof(word), 0) != sizeof(word)) {
    word = static_cast<std::uint64_t>(MonotonicInstant::now().ns) * 0x9E3779B97F4A7C15ULL;
  }
  return word;
}

/// SipHash-2-4 of two words.
std::uint64_t keyed_hash(const std::array<std::uint64_t, 2>& key,
                         const std::array<std::uint64_t, 2>& words) noexcept {
  std::array<std::uint64_t, 4> v = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                                    key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
  const auto rounds = [&v](int count) {
    for (; count > 0; --count) {
      v[0] += v[1];
      v[2] += v[3];
      v[1] = std::rotl(v[1], 13) ^ v[0];
      v[3] = std::rotl(v[3], 16) ^ v[2];
      v[0] = std::rotl(v[0], 32);
      v[2] += v[1];
      v[0] += v[3];
      v[1] = std::rotl(v[1], 17) ^ v[2];
      v[3] = std::rotl(v[3], 21) ^ v[0];
      v[2] = std::rotl(v[2], 32);
    }
  };
  for (const std::uint64_t word : {words[0], words[1], std::uint64_t{16} << 56}) {
    v[3] ^= word;
    rounds(2);
    v[0] ^= word;
  }
  v[2] ^= 0xFF;
  rounds(4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

}  // namespace

extern "C" {

u32_t sys_now() {
  const LwipEngine* const engine = LwipEngine::current();
  return engine != nullptr ? engine->now_ms() : 0;
}

uint32_t feedbench_stack_random() { return static_cast<uint32_t>(random_word()); }

void feedbench_stack_broken(const char* what, const char* file, int line) {
  std::fprintf(stderr, "xdp: the TCP/IP stack is broken: %s (%s:%d)\n", what, file, line);
  std::abort();
}

u32_t feedbench_tcp_isn(const ip_addr_t* local_ip, u16_t local_port, const ip_addr_t* remote_ip,
                        u16_t remote_port) {
  static const std::array<std::uint64_t, 2> key = {random_word(), random_word()};
  const std::uint64_t addresses =
      (std::uint64_t{ip_2_ip4(local_ip)->addr} << 32) | ip_2_ip4(remote_ip)->addr;
  const std::uint64_t ports = (std::uint64_t{local_port} << 16) | remote_port;
  // RFC 6528: the hash, and a clock of four microseconds.
  constexpr std::int64_t kTickNs = 4000;
  return static_cast<u32_t>(keyed_hash(key, {addresses, ports})) +
         static_cast<u32_t>(MonotonicInstant::now().ns / kTickNs);
}

void feedbench_tcp_mend_options(tcp_hdr* header, u16_t bytes) {
  constexpr u8_t kEnd = 0;
  constexpr u8_t kNothing = 1;
  constexpr u8_t kSegmentSize = 2;
  constexpr unsigned kSegmentBytesMin = 48;
  auto* const options = reinterpret_cast<u8_t*>(header + 1);
  const bool syn = (TCPH_FLAGS(header) & TCP_SYN) != 0;
  for (u16_t at = 0; at < bytes && options[at] != kEnd;) {
    if (options[at] == kNothing) {
      ++at;
      continue;
    }
    const bool has_length = at + 1 < bytes;
    if (!has_length || options[at + 1] < 2 || at + options[at + 1] > bytes) {
      std::fill(options + at, options + bytes, kEnd);
      return;
    }
    const u8_t length = options[at + 1];
    if (options[at] == kSegmentSize && !syn) {
      std::fill(options + at, options + at + length, kNothing);
    } else if (options[at] == kSegmentSize && length == 4 && options[at + 2] == 0 &&
               options[at + 3] < kSegmentBytesMin) {
      options[at + 3] = kSegmentBytesMin;
    }
    at = static_cast<u16_t>(at + length);
  }
}

err_t feedbench_tcp_at_listener(tcp_pcb* listener, const tcp_hdr* header) {
  if ((TCPH_FLAGS(header) & TCP_SYN) == 0) return ERR_OK;
  return LwipEngine::current()->make_room_at(reinterpret_cast<tcp_pcb_listen*>(listener));
}
}

namespace feedbench::transports::xdp {

// A flood of SYNs that nobody completes must not keep others out: a handshake takes a round trip,
// so the oldest of as many as are kept at once is the least likely to end well. O(connections),
// only while all places are taken.
err_t LwipEngine::make_room_at(tcp_pcb_listen* listener) noexcept {
  if (listener->accepts_pending < listener->backlog) return ERR_OK;
  tcp_pcb* oldest = nullptr;
  for (tcp_pcb* pcb = tcp_active_pcbs; pcb != nullptr; pcb = pcb->next) {
    if (pcb->state == SYN_RCVD && pcb->listener == listener &&
        (oldest == nullptr || tcp_ticks - pcb->tmr >= tcp_ticks - oldest->tmr)) {
      oldest = pcb;
    }
  }
  if (oldest != nullptr) {
    tcp_abandon(oldest, 0);
    ++xdp_counters_.half_open_given_up;
  }
  return ERR_OK;
}

}  // namespace feedbench::transports::xdp
