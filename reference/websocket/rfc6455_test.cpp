#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "reference/websocket/testing/echo_endpoint.hpp"
#include "reference/websocket/testing/frames.hpp"
#include "reference/websocket/testing/rfc6455_cases.hpp"

/// Every case of the public conformance suite (compression aside), as a test of its own name in
/// each role: Rfc6455.Case_6_12_3_AsServer, Rfc6455.Case_6_12_3_AsClient. Nothing waits: where the
/// suite pauses to see whether a fault is noticed in time, the test asks right after the offending
/// bytes were fed.
namespace feedbench::websocket::testing {
namespace {

template <Role kRole>
class CaseRun {
 public:
  explicit CaseRun(const Rfc6455Case& made) : case_(made) {}

  void run(Chop chop, std::size_t chop_bytes) {
    if (!case_.pieces.empty()) return run_pieces();
    for (std::size_t round = 0; round < case_.rounds; ++round) {
      endpoint_.clear_output();
      send_frames(chop, chop_bytes);
      if (case_.rounds > 1) expect_replies(read_frames(endpoint_.output()), case_.replies.size());
    }
    if (case_.ending == Ending::fails) return expect_failure();
    if (!case_.sends_close) {
      ASSERT_FALSE(endpoint_.dropped());
      endpoint_.feed(encode(close_code(1000), kMasked));
    }
    expect_end();
  }

 private:
  static constexpr bool kMasked = kRole == Role::server;  // what the peer sends

  void send_frames(Chop chop, std::size_t chop_bytes) {
    if (!case_.replies_after_frame.empty()) chop = Chop::frames;
    Bytes wire;
    MaskKey key = 0x9BD3F017U;
    for (std::size_t i = 0; i < case_.frames.size(); ++i) {
      const Bytes frame = encode(case_.frames[i], kMasked, key);
      key = key * 1664525U + 1013904223U;
      if (chop == Chop::frames) {
        endpoint_.feed(frame);
      } else {
        wire.insert(wire.end(), frame.begin(), frame.end());
      }
      if (!case_.replies_after_frame.empty()) {
        ASSERT_EQ(read_frames(endpoint_.output()).frames.size(), case_.replies_after_frame[i])
            << "after frame " << i;
      }
    }
    const std::size_t step = chop == Chop::bytes   ? 1
                             : chop == Chop::fixed ? chop_bytes
                                                   : wire.size();
    for (std::size_t at = 0; at < wire.size(); at += step) {
      endpoint_.feed(std::span(wire).subspan(at, std::min(step, wire.size() - at)));
    }
  }

  /// Feeds the pieces of one message; the one that breaks it must be answered before the next is
  /// there.
  void run_pieces() {
    std::string all;
    for (const std::string& piece : case_.pieces) all += piece;
    const Bytes whole = encode(text(all), kMasked);
    std::size_t at = whole.size() - all.size();
    if (!case_.pieces_are_frames) endpoint_.feed(std::span(whole).first(at));
    for (std::size_t i = 0; i < case_.pieces.size(); ++i) {
      const std::string& piece = case_.pieces[i];
      if (case_.pieces_are_frames) {
        endpoint_.feed(encode({i == 0 ? 1U : 0U, piece, i + 1 == case_.pieces.size(), 0}, kMasked));
      } else {
        endpoint_.feed(std::span(whole).subspan(at, piece.size()));
        at += piece.size();
      }
      ASSERT_EQ(endpoint_.dropped(), i >= case_.failing_piece) << "after piece " << i;
    }
    expect_failure();
  }

  void expect_replies(const SentFrames& sent, std::size_t frames_count) {
    ASSERT_TRUE(sent.whole);
    ASSERT_EQ(sent.frames.size(), frames_count);
    for (std::size_t i = 0; i < case_.replies.size(); ++i) {
      EXPECT_EQ(sent.frames[i].opcode, case_.replies[i].opcode);
      EXPECT_TRUE(sent.frames[i].fin);
      EXPECT_EQ(sent.frames[i].masked, kRole == Role::client);
      EXPECT_TRUE(sent.frames[i].payload == case_.replies[i].payload)
          << "reply " << i << " differs";
    }
  }

  void expect_failure() {
    const SentFrames sent = read_frames(endpoint_.output());
    expect_replies(sent, case_.replies.size() + 1);
    if (sent.frames.empty()) return;
    expect_close(sent.frames.back(), case_.close_code);
    EXPECT_TRUE(endpoint_.dropped());
    EXPECT_NE(endpoint_.fault(), Fault::none);
  }

  void expect_end() {
    const SentFrames sent = read_frames(endpoint_.output());
    const std::size_t replies = case_.rounds > 1 ? 0 : case_.replies.size();
    if (case_.rounds == 1) expect_replies(sent, replies + 1);
    if (sent.frames.size() < replies + 1) return;
    const SentFrame& last = sent.frames.back();
    if (case_.ending == Ending::informational && endpoint_.fault() != Fault::none) {
      return expect_close(last, static_cast<unsigned>(close_code_of(endpoint_.fault())));
    }
    unsigned code = case_.close_code;
    if (code == 0) {
      const auto first_close =
          std::find_if(case_.frames.begin(), case_.frames.end(),
                       [](const RawFrame& frame) { return frame.opcode == 8; });
      code = first_close == case_.frames.end()
                 ? 1000
                 : parse_close_payload(as_bytes(first_close->payload)).code;
    }
    expect_close(last, code);
    EXPECT_TRUE(endpoint_.closing().clean());
    EXPECT_EQ(endpoint_.dropped(), kRole == Role::server);  // a client lets the server end TCP
  }

  static void expect_close(const SentFrame& frame, unsigned code) {
    ASSERT_EQ(frame.opcode, Opcode::close);
    EXPECT_EQ(parse_close_payload(as_bytes(frame.payload)).code, code);
    EXPECT_EQ(parse_close_payload(as_bytes(frame.payload)).fault, Fault::none);
  }

  const Rfc6455Case& case_;
  EchoEndpoint<kRole> endpoint_;
};

template <Role kRole>
class CaseTest : public ::testing::Test {
 public:
  explicit CaseTest(NamedCase named) : named_(std::move(named)) {}
  void TestBody() override {
    const Rfc6455Case made = named_.make();
    CaseRun<kRole>(made).run(made.chop, made.chop_bytes);
    std::size_t wire_bytes = 0;
    for (const RawFrame& frame : made.frames) wire_bytes += frame.payload.size() + kHeaderBytesMax;
    if (wire_bytes > 2000 || !made.pieces.empty() || made.rounds > 1) return;
    // The verdict must not depend on how TCP cut the bytes.
    for (std::size_t chop_bytes = 1; chop_bytes <= 16; ++chop_bytes) {
      SCOPED_TRACE("in chops of " + std::to_string(chop_bytes));
      CaseRun<kRole>(made).run(Chop::fixed, chop_bytes);
    }
    SCOPED_TRACE("in one piece");
    CaseRun<kRole>(made).run(Chop::whole, 0);
  }

 private:
  NamedCase named_;
};

template <Role kRole>
void register_case(const NamedCase& named) {
  std::string name = "Case_" + named.number + (kRole == Role::server ? "_AsServer" : "_AsClient");
  std::replace(name.begin(), name.end(), '.', '_');
  ::testing::RegisterTest("Rfc6455", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [named]() -> ::testing::Test* { return new CaseTest<kRole>(named); });
}

std::size_t register_cases() {
  const auto cases = rfc6455_cases();
  for (const NamedCase& named : cases) {
    register_case<Role::server>(named);
    register_case<Role::client>(named);
  }
  return cases.size();
}
const std::size_t cases_count = register_cases();

TEST(Rfc6455Table, HoldsEveryCaseOfTheSuiteButCompression) { EXPECT_EQ(cases_count, 301U); }

}  // namespace
}  // namespace feedbench::websocket::testing
