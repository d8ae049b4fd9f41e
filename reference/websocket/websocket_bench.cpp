#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "reference/websocket/frame_scanner.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "reference/websocket/testing/beast_peer.hpp"
#include "reference/websocket/testing/frames.hpp"
#include "reference/websocket/utf8.hpp"

/// Benchmarks of the codec. Each compares its output with a plain computation first and refuses to time a wrong answer.
namespace feedbench::websocket {
namespace {

using testing::Bytes;

Bytes json_like(std::size_t bytes) {
  const std::string unit =
      R"({"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000000,"s":"BTCUSDT","p":"37000.10","q":"0.00100"}})";
  Bytes out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(unit[i % unit.size()]);
  return out;
}

/// Frames of `payload_bytes` text, whole, as a venue (or, masked, a client) sends them, `total_bytes` of them at least.
Bytes stream_of(std::size_t payload_bytes, std::size_t total_bytes, bool masked,
                std::size_t& frames) {
  const Bytes payload = json_like(payload_bytes);
  Bytes wire;
  frames = 0;
  while (wire.size() < total_bytes) {
    const Bytes frame = testing::encode({1, testing::to_string(payload), true, 0}, masked,
                                        static_cast<MaskKey>(frames * 2654435761U));
    wire.insert(wire.end(), frame.begin(), frame.end());
    ++frames;
  }
  return wire;
}

// ---- header ----

void header_encode(benchmark::State& state, std::uint64_t payload_bytes, bool masked) {
  FrameHeader header{.payload_bytes = payload_bytes,
                     .mask_key = 0x12345678U,
                     .opcode = Opcode::text,
                     .fin = true,
                     .masked = masked};
  std::array<std::byte, kHeaderBytesMax> out{};
  const std::size_t bytes = encode_header(out, header);
  if (decode_header({out.data(), bytes}).header.payload_bytes != payload_bytes)
    return state.SkipWithError("wrong header");
  for (auto _ : state) {
    benchmark::DoNotOptimize(header);
    benchmark::DoNotOptimize(encode_header(out, header));
    benchmark::DoNotOptimize(out);
  }
  state.SetItemsProcessed(state.iterations());
}

void header_decode(benchmark::State& state, std::uint64_t payload_bytes, bool masked) {
  std::array<std::byte, kHeaderBytesMax> wire{};
  encode_header(wire, {.payload_bytes = payload_bytes,
                       .mask_key = 0x12345678U,
                       .opcode = Opcode::text,
                       .fin = true,
                       .masked = masked});
  if (decode_header(wire).header.payload_bytes != payload_bytes)
    return state.SkipWithError("wrong header");
  for (auto _ : state) {
    benchmark::DoNotOptimize(wire);
    benchmark::DoNotOptimize(decode_header(wire));
  }
  state.SetItemsProcessed(state.iterations());
}

// ---- masking ----

void mask_memcpy(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Bytes from = json_like(bytes);
  Bytes to(bytes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(to.data());
    std::memcpy(to.data(), from.data(), bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

bool masked_right(std::span<const std::byte> from, std::span<const std::byte> to, MaskKey key) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (to[i] != (from[i] ^ static_cast<std::byte>(key >> (8U * (i & 3U))))) return false;
  }
  return true;
}

void mask_in_place(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Bytes original = json_like(bytes);
  Bytes data = original;
  apply_mask(data, 0xA1B2C3D4U);
  if (!masked_right(original, data, 0xA1B2C3D4U)) return state.SkipWithError("wrong mask");
  for (auto _ : state) {
    apply_mask(data, 0xA1B2C3D4U);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void mask_copying(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Bytes from = json_like(bytes);
  Bytes to(bytes);
  copy_masked(to.data(), from, 0xA1B2C3D4U);
  if (!masked_right(from, to, 0xA1B2C3D4U)) return state.SkipWithError("wrong mask");
  for (auto _ : state) {
    copy_masked(to.data(), from, 0xA1B2C3D4U);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void mask_routine(benchmark::State& state, const MaskRoutine& routine, std::size_t bytes) {
  const Bytes original = json_like(bytes);
  Bytes data = original;
  routine.run(data.data(), data.data(), bytes, 0xA1B2C3D4U);
  if (!masked_right(original, data, 0xA1B2C3D4U)) return state.SkipWithError("wrong mask");
  for (auto _ : state) {
    routine.run(data.data(), data.data(), bytes, 0xA1B2C3D4U);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void mask_keys(benchmark::State& state) {
  MaskKeys keys;
  for (auto _ : state) benchmark::DoNotOptimize(keys.next());
  state.SetItemsProcessed(state.iterations());
}

// ---- UTF-8 ----

Bytes mixed_text(std::size_t bytes, unsigned percent) {
  const std::string characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80"};
  std::mt19937 random(5);
  std::string text;
  while (text.size() < bytes) {
    if (random() % 100 < percent) {
      text += characters[random() % 4];
    } else {
      text += 'a';
    }
  }
  return testing::to_bytes(text);
}

void utf8_check(benchmark::State& state, unsigned percent, std::size_t bytes) {
  Bytes text = mixed_text(bytes, percent);
  if (!utf8_valid(text)) return state.SkipWithError("valid text refused");
  text.push_back(std::byte{0xC3});
  if (utf8_valid(text)) return state.SkipWithError("cut text taken");
  text.pop_back();
  for (auto _ : state) {
    benchmark::DoNotOptimize(text.data());
    benchmark::DoNotOptimize(utf8_valid(text));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

// ---- frames from memory ----

std::uint64_t scan_all(std::span<const std::byte> wire, FrameScanner& scanner) {
  std::uint64_t frames = 0;
  while (true) {
    const ScanResult result = scanner.scan(wire);
    if (result.status != ScanStatus::frame) return frames;
    ++frames;
    wire = wire.subspan(static_cast<std::size_t>(result.frame_bytes()));
  }
}

void frames_scan(benchmark::State& state, bool utf8, std::size_t payload_bytes,
                 std::size_t total_bytes) {
  std::size_t expected = 0;
  const Bytes wire = stream_of(payload_bytes, total_bytes, false, expected);
  FrameScanner scanner({.validate_utf8 = utf8});
  if (scan_all(wire, scanner) != expected) return state.SkipWithError("wrong count of frames");
  Bytes broken = wire;
  broken.back() = std::byte{0xFF};
  if (utf8 && scan_all(broken, scanner) != expected - 1)
    return state.SkipWithError("invalid text not seen");
  for (auto _ : state) benchmark::DoNotOptimize(scan_all(wire, scanner));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(expected));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

struct CountingSink {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  void on_message(Opcode, std::span<const std::byte> payload) {
    ++messages;
    bytes += payload.size();
  }
  void on_ping(std::span<const std::byte>) {}
  void on_pong(std::span<const std::byte>) {}
  void on_close(const CloseStatus&) {}
};

void frames_parse_as_client(benchmark::State& state, std::size_t payload_bytes,
                            std::size_t chunk_bytes) {
  std::size_t expected = 0;
  const Bytes wire = stream_of(payload_bytes, 256 * 1024, false, expected);
  MessageParser<Role::client> parser;
  const auto run = [&] {
    CountingSink sink;
    for (std::size_t at = 0; at < wire.size(); at += chunk_bytes) {
      parser.feed(std::span(wire).subspan(at, std::min(chunk_bytes, wire.size() - at)), sink);
    }
    return sink;
  };
  const CountingSink once = run();
  if (once.messages != expected || once.bytes != expected * payload_bytes)
    return state.SkipWithError("wrong messages");
  for (auto _ : state) benchmark::DoNotOptimize(run());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(expected));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

void frames_parse_as_server(benchmark::State& state, std::size_t payload_bytes) {
  // Unmasking in place alters the frames, so each round parses a fresh copy; the copy is part of the time.
  std::size_t expected = 0;
  const Bytes wire = stream_of(payload_bytes, 256 * 1024, true, expected);
  Bytes work = wire;
  MessageParser<Role::server> parser;
  CountingSink once;
  parser.feed(work, once);
  if (once.messages != expected) return state.SkipWithError("wrong messages");
  for (auto _ : state) {
    std::memcpy(work.data(), wire.data(), wire.size());
    CountingSink sink;
    parser.feed(work, sink);
    benchmark::DoNotOptimize(sink);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(expected));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

/// Boost.Beast reading the same frames from its in-memory stream, whole messages into a flat_buffer.
void frames_read_by_beast(benchmark::State& state, std::size_t payload_bytes) {
  std::size_t expected = 0;
  const Bytes wire = stream_of(payload_bytes, 256 * 1024, false, expected);
  testing::BeastPeer beast(Role::client, {.record = false});
  ServerHandshake handshake;
  handshake.feed(as_bytes(beast.take_output()));
  beast.feed(as_bytes(handshake.accept()));
  beast.feed(wire);
  if (beast.messages() != expected) return state.SkipWithError("wrong messages");
  for (auto _ : state) beast.feed(wire);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(expected));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

int register_all() {
  using benchmark::RegisterBenchmark;
  const auto name = [](const std::string& text) { return ("BM_websocket/" + text); };
  for (const std::uint64_t bytes : {64U, 200U, 70000U}) {
    for (const bool masked : {false, true}) {
      const std::string variant = (masked ? "client/" : "server/") + std::to_string(bytes);
      RegisterBenchmark(name("header_encode/" + variant).c_str(),
                        [=](auto& state) { header_encode(state, bytes, masked); });
      RegisterBenchmark(name("header_decode/" + variant).c_str(),
                        [=](auto& state) { header_decode(state, bytes, masked); });
    }
  }
  for (const std::int64_t bytes : {16, 64, 128, 256, 1024, 4096, 16384, 65536}) {
    RegisterBenchmark(name("mask/memcpy").c_str(), mask_memcpy)->Arg(bytes);
    RegisterBenchmark(name("mask/in_place").c_str(), mask_in_place)->Arg(bytes);
    RegisterBenchmark(name("mask/copying").c_str(), mask_copying)->Arg(bytes);
  }
  for (const MaskRoutine& routine : mask_routines()) {
    if (!routine.supported) continue;
    RegisterBenchmark(name("mask/" + std::string(routine.name) + "/4096").c_str(),
                      [&routine](auto& state) { mask_routine(state, routine, 4096); });
  }
  RegisterBenchmark(name("mask/next_key").c_str(), mask_keys);
  for (const std::size_t bytes : {64U, 200U, 4096U, 65536U}) {
    for (const unsigned percent : {0U, 2U, 20U, 100U}) {
      const std::string variant =
          percent == 0 ? "ascii" : "non_ascii_" + std::to_string(percent) + "_percent";
      RegisterBenchmark(name("utf8/" + variant + "/" + std::to_string(bytes)).c_str(),
                        [=](auto& state) { utf8_check(state, percent, bytes); });
    }
  }
  for (const std::size_t total_bytes : {256U * 1024U, 16U * 1024U * 1024U}) {
    const std::string size = "200_of_" + std::to_string(total_bytes / 1024) + "KiB";
    RegisterBenchmark(name("frames/scan/" + size).c_str(),
                      [=](auto& state) { frames_scan(state, false, 200, total_bytes); });
    RegisterBenchmark(name("frames/scan_utf8/" + size).c_str(),
                      [=](auto& state) { frames_scan(state, true, 200, total_bytes); });
  }
  for (const std::size_t payload_bytes : {64U, 200U, 1024U}) {
    const std::string size = std::to_string(payload_bytes);
    RegisterBenchmark(name("frames/parse_client/" + size).c_str(), [=](auto& state) {
      frames_parse_as_client(state, payload_bytes, 64 * 1024);
    });
    RegisterBenchmark(name("frames/beast_client/" + size).c_str(),
                      [=](auto& state) { frames_read_by_beast(state, payload_bytes); });
    RegisterBenchmark(name("frames/parse_server/" + size).c_str(),
                      [=](auto& state) { frames_parse_as_server(state, payload_bytes); });
  }
  RegisterBenchmark(name("frames/parse_client_chunks_of_1448/200").c_str(),
                    [](auto& state) { frames_parse_as_client(state, 200, 1448); });
  return 0;
}
const int registered = register_all();

}  // namespace
}  // namespace feedbench::websocket
