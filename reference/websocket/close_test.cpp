#include "reference/websocket/close.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/close_handshake.hpp"

namespace feedbench::websocket {
namespace {

TEST(Close, AllowsExactlyTheRegisteredAndTheApplicationCodes) {
  const std::set<unsigned> registered = {1000, 1001, 1002, 1003, 1007, 1008,
                                         1009, 1010, 1011, 1012, 1013, 1014};
  for (unsigned code = 0; code <= 65535; ++code) {
    const bool allowed = registered.contains(code) || (code >= 3000 && code <= 4999);
    ASSERT_EQ(close_code_valid(static_cast<std::uint16_t>(code)), allowed) << code;
    const std::string payload{static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
    const CloseStatus status = parse_close_payload(as_bytes(payload));
    ASSERT_EQ(status.fault, allowed ? Fault::none : Fault::close_code_invalid) << code;
    if (allowed) {
      ASSERT_EQ(status.code, code);
    }
  }
}

TEST(Close, AnEmptyPayloadIsNoStatusAndOneByteIsAFault) {
  EXPECT_EQ(parse_close_payload({}).code, 1005);
  EXPECT_EQ(parse_close_payload({}).fault, Fault::none);
  EXPECT_EQ(parse_close_payload(as_bytes("x")).fault, Fault::close_one_byte);
}

TEST(Close, AReasonMustBeUtf8) {
  EXPECT_EQ(parse_close_payload(as_bytes("\x03\xE8\xC3\xA9")).reason, "\xC3\xA9");
  EXPECT_EQ(parse_close_payload(as_bytes("\x03\xE8\xC3")).fault, Fault::close_reason_not_utf8);
  EXPECT_EQ(close_code_of(Fault::close_reason_not_utf8), CloseCode::invalid_payload);
}

TEST(Close, ALongReasonIsCutBetweenCharacters) {
  std::string reason;
  for (int i = 0; i < 60; ++i) reason += "\xE2\x82\xAC";  // three bytes each: 123 is 41 of them
  EXPECT_EQ(make_close_payload(CloseCode::normal, reason).size, 2U + 123U);
  EXPECT_EQ(make_close_payload(CloseCode::normal, "x" + reason).size, 2U + 1U + 120U);
  const ClosePayload payload = make_close_payload(CloseCode::normal, "xy" + reason);
  EXPECT_EQ(payload.size, 2U + 2U + 120U);
  EXPECT_EQ(parse_close_payload(payload.span()).fault, Fault::none);
}

TEST(Close, EveryFaultHasATextAndACodeThatFitAFrame) {
  std::set<std::string_view> texts;
  for (unsigned value = 0; value <= static_cast<unsigned>(Fault::close_reason_not_utf8); ++value) {
    const auto fault = static_cast<Fault>(value);
    EXPECT_TRUE(texts.insert(text_of(fault)).second) << text_of(fault);
    EXPECT_LE(text_of(fault).size(), kCloseReasonBytesMax);
    EXPECT_TRUE(close_code_valid(static_cast<std::uint16_t>(close_code_of(fault))));
  }
  EXPECT_FALSE(texts.contains("unknown fault"));
}

CloseStatus going_away() { return {.code = 1001, .reason = {}, .fault = Fault::none}; }

TEST(CloseHandshake, ThePeersCloseIsAnsweredOnceInKind) {
  CloseHandshake closing(Role::server);
  EXPECT_TRUE(closing.may_send());
  EXPECT_TRUE(closing.peer_closed(going_away()));
  EXPECT_EQ(closing.reply_code(), CloseCode::going_away);
  EXPECT_FALSE(closing.begin());
  EXPECT_FALSE(closing.may_send());
  EXPECT_TRUE(closing.clean());
  EXPECT_TRUE(closing.drop_now());
}

TEST(CloseHandshake, WhoBeganWaitsForThePeerAndDoesNotAnswerAgain) {
  CloseHandshake closing(Role::client);
  EXPECT_TRUE(closing.begin());
  EXPECT_FALSE(closing.begin());
  EXPECT_TRUE(closing.awaits_peer());
  EXPECT_FALSE(closing.peer_closed(going_away()));
  EXPECT_FALSE(closing.awaits_peer());
  EXPECT_TRUE(closing.clean());
}

TEST(CloseHandshake, TheServerEndsTcpAndTheClientAwaitsIt) {
  for (const Role role : {Role::server, Role::client}) {
    CloseHandshake closing(role);
    closing.begin();
    closing.peer_closed(going_away());
    EXPECT_EQ(closing.drop_now(), role == Role::server);
    EXPECT_EQ(closing.awaits_fin(), role == Role::client);
  }
}

TEST(CloseHandshake, AFailureDropsInEitherRoleAndSendsOneClose) {
  for (const Role role : {Role::server, Role::client}) {
    CloseHandshake closing(role);
    EXPECT_TRUE(closing.fail());
    EXPECT_TRUE(closing.drop_now());
    EXPECT_FALSE(closing.clean());
    CloseHandshake began(role);
    began.begin();
    EXPECT_FALSE(began.fail());
    EXPECT_TRUE(began.drop_now());
    EXPECT_FALSE(began.awaits_peer());
  }
}

}  // namespace
}  // namespace feedbench::websocket
