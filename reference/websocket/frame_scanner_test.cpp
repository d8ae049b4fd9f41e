#include "reference/websocket/frame_scanner.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "reference/websocket/testing/frames.hpp"

namespace feedbench::websocket {
namespace {

using namespace testing;  // frames

Bytes wire_of(const std::vector<RawFrame>& frames) {
  Bytes wire;
  for (const RawFrame& frame : frames) {
    const Bytes bytes = encode(frame, false);
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
  return wire;
}

/// Scans all of `wire`; the last result is need_more or error.
struct Scanned {
  std::vector<ScanResult> frames;
  ScanResult last;
};
Scanned scan_all(const Bytes& wire, FrameScannerOptions options = {}) {
  FrameScanner scanner(options);
  Scanned scanned;
  std::span<const std::byte> rest = wire;
  while (true) {
    scanned.last = scanner.scan(rest);
    if (scanned.last.status != ScanStatus::frame) return scanned;
    scanned.frames.push_back(scanned.last);
    rest = rest.subspan(static_cast<std::size_t>(scanned.last.frame_bytes()));
  }
}

Fault fault_of(const std::vector<RawFrame>& frames, FrameScannerOptions options = {}) {
  const Scanned scanned = scan_all(wire_of(frames), options);
  EXPECT_EQ(scanned.last.status == ScanStatus::error, scanned.last.fault != Fault::none);
  return scanned.last.fault;
}

TEST(FrameScanner, FindsEveryFrameOfAStreamWithItsHeader) {
  const std::vector<RawFrame> frames = {text("a"),
                                        binary(std::string(126, 'b')),
                                        ping("p"),
                                        text("x", false),
                                        ping(),
                                        more(std::string(70000, 'y')),
                                        more("", true),
                                        text(std::string(65535, 'c')),
                                        text(std::string(65536, 'd')),
                                        close_code(1001)};
  const Scanned scanned = scan_all(wire_of(frames));
  EXPECT_EQ(scanned.last.status, ScanStatus::need_more);
  ASSERT_EQ(scanned.frames.size(), frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(scanned.frames[i].payload_bytes, frames[i].payload.size());
    EXPECT_EQ(static_cast<unsigned>(scanned.frames[i].opcode), frames[i].opcode);
    EXPECT_EQ(scanned.frames[i].fin, frames[i].fin);
    EXPECT_EQ(scanned.frames[i].header_bytes, header_bytes_for(frames[i].payload.size(), false));
  }
}

TEST(FrameScanner, SaysHowManyBytesAreMissingAtEveryCut) {
  for (const std::size_t payload_bytes : {0U, 1U, 125U, 126U, 200U, 65535U, 65536U}) {
    const Bytes wire = encode(text(std::string(payload_bytes, 'x')), false);
    const std::size_t step = payload_bytes > 1000 ? 997 : 1;
    for (std::size_t cut = 0; cut < wire.size(); cut += step) {
      FrameScanner scanner;
      // A copy of exactly `cut` bytes: AddressSanitizer sees a read behind it.
      const Bytes exact(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(cut));
      std::size_t have = cut;
      ScanResult result = scanner.scan(exact);
      while (result.status == ScanStatus::need_more) {
        ASSERT_GT(result.missing_bytes, 0U);
        have += static_cast<std::size_t>(result.missing_bytes);
        ASSERT_LE(have, wire.size());
        result = scanner.scan(std::span(wire).first(have));
      }
      ASSERT_EQ(result.status, ScanStatus::frame);
      ASSERT_EQ(have, wire.size());
      ASSERT_EQ(result.payload_bytes, payload_bytes);
    }
  }
}

TEST(FrameScanner, RefusesAMaskedFrameFromTheServer) {
  FrameScanner scanner;
  const ScanResult result = scanner.scan(encode(text("Hello"), true));
  EXPECT_EQ(result.fault, Fault::masked_by_server);
  EXPECT_EQ(result.close_code(), CloseCode::protocol_error);
  EXPECT_EQ(result.text(), "masked frame from a server");
}

TEST(FrameScanner, RefusesWhatAHeaderAloneViolates) {
  EXPECT_EQ(fault_of({{1, "x", true, 4}}), Fault::reserved_bits);
  EXPECT_EQ(fault_of({{3, "x", true, 0}}), Fault::reserved_opcode);
  EXPECT_EQ(fault_of({{9, "x", false, 0}}), Fault::fragmented_control);
  EXPECT_EQ(fault_of({ping(std::string(126, 'x'))}), Fault::control_too_long);
}

TEST(FrameScanner, RefusesLengthsNotInTheirShortestFormOnTheFastPathToo) {
  Bytes wire = to_bytes(std::string("\x81\x7e\x00\x05Hello", 9));
  EXPECT_EQ(scan_all(wire).last.fault, Fault::length_not_minimal);
  wire = to_bytes(std::string("\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05Hello", 15));
  EXPECT_EQ(scan_all(wire).last.fault, Fault::length_not_minimal);
  wire = to_bytes("\x81\x7f\x80");
  EXPECT_EQ(scan_all(wire).last.fault, Fault::length_top_bit);
}

TEST(FrameScanner, KeepsTheFragmentationStateAcrossFramesAndControlFrames) {
  EXPECT_EQ(fault_of({more("x", true)}), Fault::nothing_to_continue);
  EXPECT_EQ(fault_of({text("x"), more("x", true)}), Fault::nothing_to_continue);
  EXPECT_EQ(fault_of({text("x", false), ping(), text("y")}), Fault::message_unfinished);
  EXPECT_EQ(fault_of({text("x", false), binary("y", false)}), Fault::message_unfinished);
  EXPECT_EQ(fault_of({text("x", false), ping(), more("y"), pong(), more("z", true), text("a")}),
            Fault::none);
}

TEST(FrameScanner, ForgetsAnUnfinishedMessageOnReset) {
  FrameScanner scanner;
  ASSERT_EQ(scanner.scan(encode(text("x", false), false)).status, ScanStatus::frame);
  EXPECT_TRUE(scanner.in_message());
  scanner.reset();
  EXPECT_EQ(scanner.scan(encode(text("x"), false)).status, ScanStatus::frame);
}

TEST(FrameScanner, RefusesAMessageOverItsLimitAtTheHeaderThatShowsIt) {
  const FrameScannerOptions options{.message_bytes_max = 300};
  EXPECT_EQ(fault_of({text(std::string(300, 'x'))}, options), Fault::none);
  EXPECT_EQ(fault_of({text(std::string(301, 'x'))}, options), Fault::message_too_big);
  EXPECT_EQ(
      fault_of({text(std::string(200, 'x'), false), more(std::string(100, 'x'), true)}, options),
      Fault::none);
  EXPECT_EQ(
      fault_of({text(std::string(200, 'x'), false), more(std::string(101, 'x'), true)}, options),
      Fault::message_too_big);
  // The header is enough, and a length near 2^63 overflows nothing.
  FrameScanner scanner(options);
  ASSERT_EQ(scanner.scan(encode(text("x", false), false)).status, ScanStatus::frame);
  const ScanResult result = scanner.scan(to_bytes("\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"));
  EXPECT_EQ(result.fault, Fault::message_too_big);
  EXPECT_EQ(result.close_code(), CloseCode::too_big);
}

TEST(FrameScanner, RefusesAMessageOfTooManyFragments) {
  const FrameScannerOptions options{.fragments_max = 3};
  EXPECT_EQ(fault_of({text("", false), more(""), more("", true)}, options), Fault::none);
  EXPECT_EQ(fault_of({text("", false), more(""), more(""), more("", true)}, options),
            Fault::too_many_fragments);
}

TEST(FrameScanner, ChecksTextAcrossFragmentsUnlessToldNotTo) {
  const std::string euro = "\xE2\x82\xAC";
  EXPECT_EQ(fault_of({text(euro)}), Fault::none);
  EXPECT_EQ(fault_of({text(euro.substr(0, 1), false), ping("\xFF"), more(euro.substr(1), true)}),
            Fault::none);
  EXPECT_EQ(fault_of({text(euro.substr(0, 2))}), Fault::invalid_utf8);
  EXPECT_EQ(fault_of({text(euro.substr(0, 2), false), more("", true)}), Fault::invalid_utf8);
  EXPECT_EQ(fault_of({text("\xC0\xAF", false)}), Fault::invalid_utf8);
  EXPECT_EQ(fault_of({binary("\xC0\xAF")}), Fault::none);
  const FrameScannerOptions unchecked{.validate_utf8 = false};
  EXPECT_EQ(fault_of({text("\xC0\xAF"), text("\xC0", false), more("\xAF", true)}, unchecked),
            Fault::none);
}

TEST(FrameScanner, AgreesWithTheHeaderDecoderOnRandomBytes) {
  std::mt19937_64 random(20240501);
  for (int round = 0; round < 200000; ++round) {
    Bytes bytes(random() % 16);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    // Lean towards what is nearly valid.
    if (!bytes.empty() && random() % 2 == 0) bytes[0] = static_cast<std::byte>(0x81 + random() % 2);
    if (bytes.size() > 1 && random() % 2 == 0) bytes[1] = static_cast<std::byte>(random() % 14);
    const HeaderResult header = decode_header(bytes, MaskRule::forbidden);
    FrameScanner scanner({.message_bytes_max = UINT64_MAX, .validate_utf8 = false});
    const ScanResult result = scanner.scan(bytes);
    if (header.status == HeaderStatus::error) {
      ASSERT_EQ(result.fault, header.fault);
    } else if (header.status == HeaderStatus::complete &&
               header.header.opcode == Opcode::continuation) {
      ASSERT_EQ(result.fault, Fault::nothing_to_continue);
    } else if (header.status == HeaderStatus::complete &&
               header.header.frame_bytes() <= bytes.size()) {
      ASSERT_EQ(result.status, ScanStatus::frame);
      ASSERT_EQ(result.frame_bytes(), header.header.frame_bytes());
      ASSERT_EQ(result.opcode, header.header.opcode);
      ASSERT_EQ(result.fin, header.header.fin);
    } else {
      ASSERT_EQ(result.status, ScanStatus::need_more);
    }
  }
}

}  // namespace
}  // namespace feedbench::websocket
