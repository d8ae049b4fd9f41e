#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mock_exchange/testing/exchange_fixture.hpp"
#include "mock_exchange/testing/raw_client.hpp"
#include "reference/websocket/build_frame.hpp"

namespace feedbench::mock_exchange::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using venues::Venue;
using websocket::Opcode;

class ExchangeFaults : public ExchangeTest {
 protected:
  void serve_with(std::initializer_list<const char*> faults, std::size_t frames = 100,
                  Pace::Kind pace = Pace::Kind::max) {
    session_ = synthetic_session(100, frames, 1);
    auto options = options_for(Venue::raw, session_, pace);
    for (const char* fault : faults) options.faults.push_back(parse_fault(fault).value());
    serve(options);
  }
  /// Connects at the level of bytes; returns what came after the handshake once the connection ended.
  std::string receive_to_the_end(RawClient& client) {
    client.upgrade();
    run_until([&] {
      client.receive();
      return client.ended();
    });
    return client.after_head();
  }
  std::string wire(std::size_t frames, std::size_t more_bytes) const {
    const auto bytes = session_->arena().first(session_->frames()[frames].offset + more_bytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::shared_ptr<const PreparedSession> session_;
};

TEST_F(ExchangeFaults, ClosesInTheMiddleOfAFrame) {
  for (const std::size_t frames : {0U, 1U, 37U}) {
    serve_with({("close-mid-frame:" + std::to_string(frames)).c_str()});
    RawClient client(exchange_->endpoint());
    EXPECT_EQ(receive_to_the_end(client), wire(frames, session_->frames()[frames].length / 2));
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(exchange_->counters().faults_injected, 1U);
  }
}

TEST_F(ExchangeFaults, ClosesInTheMiddleOfAFrameAtAPaceToo) {
  serve_with({"close-mid-frame:2"}, 10, Pace::Kind::recorded);
  RawClient client(exchange_->endpoint());
  client.upgrade();
  run_until([&] { return exchange_->counters().frames_sent == 1; });
  pass_ns(1'000'000);
  run_until([&] { return exchange_->counters().frames_sent == 2; });
  settle();
  EXPECT_EQ(exchange_->counters().faults_injected, 0U);  // the third frame is not due yet
  pass_ns(1'000'000);
  run_until([&] {
    client.receive();
    return client.ended();
  });
  EXPECT_EQ(client.after_head(), wire(2, session_->frames()[2].length / 2));
}

TEST_F(ExchangeFaults, ResetsTheConnection) {
  serve_with({"reset:5"});
  RawClient client(exchange_->endpoint());
  receive_to_the_end(client);
  EXPECT_TRUE(client.was_reset());
  EXPECT_EQ(exchange_->counters().frames_sent, 5U);
}

TEST_F(ExchangeFaults, HappensOnceUnlessAskedForEveryConnection) {
  serve_with({"reset:5"});
  RawClient first(exchange_->endpoint());
  receive_to_the_end(first);
  const BeastClient& second = connect("/");
  run_until_messages(second, 100);

  serve_with({"reset:5:every"});
  for (int i = 0; i < 3; ++i) {
    RawClient client(exchange_->endpoint());
    receive_to_the_end(client);
    EXPECT_TRUE(client.was_reset());
  }
}

TEST_F(ExchangeFaults, AStallHoldsFramesBackWhileTheScheduleGoesOn) {
  auto log = SendLogWriter::create(100).value();
  session_ = synthetic_session(100, 5, 1);  // 1 ms apart
  auto options = options_for(Venue::raw, session_, Pace::Kind::recorded);
  options.faults = {parse_fault("stall:2:10ms").value()};
  options.send_log = &log;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_messages(client, 1);
  const std::uint64_t start = now().ticks;
  pass_ns(1'000'000);
  run_until_messages(client, 2);
  turn();  // the stall begins, 1 ms after the start
  pass_ns(9'999'999);
  settle();
  EXPECT_EQ(exchange_->counters().frames_sent, 2U);
  pass_ns(1);
  run_until_messages(client, 5);
  const auto reader = SendLogReader::map(log.descriptor()).value();
  ASSERT_EQ(reader.count(), 5U);
  for (std::uint64_t i = 2; i < 5; ++i) {
    EXPECT_EQ(reader[i].intended_tsc, start + i * 1'000'000);
    EXPECT_EQ(reader[i].actual_tsc, start + 11'000'000);
  }
}

TEST_F(ExchangeFaults, FaultsHappenInTheirOrder) {
  serve_with({"reset:7", "stall:3:1ms"});
  RawClient client(exchange_->endpoint());
  client.upgrade();
  run_until([&] { return exchange_->counters().frames_sent == 3; });
  settle();
  EXPECT_EQ(exchange_->counters().frames_sent, 3U);
  pass_ns(1'000'000);
  run_until([&] {
    client.receive();
    return client.ended();
  });
  EXPECT_EQ(exchange_->counters().frames_sent, 7U);
}

TEST_F(ExchangeFaults, RefusesToLogIn) {
  auto options = options_for(Venue::alpaca, synthetic_session(100, 10, 1));
  options.faults = {parse_fault("refuse-auth").value()};
  serve(options);
  BeastClient& alpaca = connect("/v2/sip");
  run_until_open(alpaca);
  alpaca.send(R"({"action":"auth","key":"k","secret":"s"})");
  run_until_messages(alpaca, 2);
  EXPECT_THAT(alpaca.messages()[1], HasSubstr("402"));

  options.venue = Venue::binance;
  serve(options);
  const BeastClient& binance = connect("/ws");
  run_until_ended(binance);
  EXPECT_EQ(binance.http_status(), 401U);
}

class BadClients : public ExchangeTest {
 protected:
  BadClients() {
    auto options = options_for(Venue::binance, synthetic_session(100, 10, 1));
    serve(options);
  }
  /// Sends bytes after the upgrade. Returns the close code that comes back before the connection ends.
  unsigned close_code_for(std::string_view bytes) {
    RawClient client(exchange_->endpoint());
    client.upgrade("/ws");
    client.send(bytes);
    run_until([&] {
      client.receive();
      return client.ended();
    });
    const std::string frames = client.after_head();
    if (frames.size() < 4 || static_cast<unsigned char>(frames[0]) != 0x88) return 0;
    return static_cast<unsigned>(static_cast<unsigned char>(frames[2]) << 8 |
                                 static_cast<unsigned char>(frames[3]));
  }
  static std::string masked(Opcode opcode, std::string_view payload, bool fin = true) {
    std::string frame(payload.size() + 14, '\0');
    const auto bytes = std::as_writable_bytes(std::span(frame));
    frame.resize(websocket::build_client_frame(bytes, opcode, websocket::as_bytes(payload),
                                               0x12345678, fin));
    return frame;
  }
  std::string http_answer_to(std::string_view request) {
    RawClient client(exchange_->endpoint());
    client.send(request);
    run_until([&] {
      client.receive();
      return client.ended();
    });
    return client.receive();
  }
};

TEST_F(BadClients, AnUnmaskedFrameIsAProtocolError) {
  EXPECT_EQ(close_code_for(std::string("\x81\x02hi", 4)), 1002U);
  EXPECT_EQ(exchange_->counters().protocol_errors, 1U);
}

TEST_F(BadClients, GarbageIsAProtocolError) {
  EXPECT_EQ(close_code_for("\xff\xff\xff garbage garbage"), 1002U);
}

TEST_F(BadClients, ReservedOpcodesAndBitsAreProtocolErrors) {
  EXPECT_EQ(close_code_for(std::string("\x83\x80\0\0\0\0", 6)), 1002U);
  EXPECT_EQ(close_code_for(std::string("\xc1\x80\0\0\0\0", 6)), 1002U);
}

TEST_F(BadClients, TextThatIsNotUtf8IsInvalidPayload) {
  EXPECT_EQ(close_code_for(masked(Opcode::text, "\xc0\xaf")), 1007U);
}

TEST_F(BadClients, AMessageBeyondTheLimitIsTooBig) {
  EXPECT_EQ(close_code_for(std::string("\x81\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 14)), 1009U);
}

TEST_F(BadClients, TheCodeOfTheClientsCloseComesBack) {
  std::string payload("\x03\xe8", 2);
  EXPECT_EQ(close_code_for(masked(Opcode::close, payload)), 1000U);
  payload = "\x0b\xb9";
  EXPECT_EQ(close_code_for(masked(Opcode::close, payload)), 3001U);
  EXPECT_EQ(close_code_for(masked(Opcode::close, std::string("\x03\xed", 2))),
            1002U);  // 1005 is never on the wire
}

TEST_F(BadClients, ACloseWithoutACodeIsAnsweredWithoutOne) {
  RawClient client(exchange_->endpoint());
  client.upgrade("/ws");
  client.send(masked(Opcode::close, ""));
  run_until([&] {
    client.receive();
    return client.ended();
  });
  EXPECT_EQ(client.after_head(), std::string("\x88\0", 2));
}

TEST_F(BadClients, WhatIsNoUpgradeIsAnsweredByHttp) {
  EXPECT_THAT(http_answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(http_answer_to("POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(http_answer_to("complete nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(http_answer_to("GET /" + std::string(20'000, 'a')), StartsWith("HTTP/1.1 4"));
  EXPECT_EQ(exchange_->counters().handshakes_failed, 4U);
}

TEST_F(BadClients, AnUpgradeInSinglePiecesWorks) {
  RawClient client(exchange_->endpoint());
  const std::string request =
      "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" +
      masked(Opcode::ping, "hello");
  for (const char byte : request) {
    client.send({&byte, 1});
    turn();
  }
  run_until([&] { return !client.after_head().empty(); });
  EXPECT_EQ(client.after_head(), std::string("\x8a\x05hello", 7));
}

TEST_F(BadClients, AnUnfinishedHandshakeEndsAfterTenSeconds) {
  RawClient client(exchange_->endpoint());
  client.send("GET /ws HTTP/1.1\r\n");
  run_until([&] { return exchange_->connections() == 1; });
  pass_ns(10 * kSecond_ns);
  run_until([&] { return exchange_->connections() == 0; });
  EXPECT_EQ(exchange_->counters().handshakes_failed, 1U);
}

TEST_F(BadClients, AClientThatVanishesIsCountedAndForgotten) {
  {
    RawClient client(exchange_->endpoint());
    client.upgrade("/ws");
    run_until([&] { return !client.after_head().empty() || client.receive().size() > 100; });
  }
  run_until([&] { return exchange_->connections() == 0; });
  EXPECT_EQ(exchange_->counters().closed, 1U);
}

class SecureExchange : public ExchangeTest {
 protected:
  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "feedbench-ca-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    const char* source = std::getenv("FEEDBENCH_SOURCE");
    ASSERT_NE(source, nullptr) << "FEEDBENCH_SOURCE names the source folder; ctest sets it";
    const std::string command =
        "'" + std::string(source) + "/scripts/make-ca' '" + name + "' > /dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(directory_); }

  void serve_secure(ExchangeOptions options) {
    options.tls_certificate_file = file("server.pem");
    options.tls_key_file = file("server.key");
    serve(std::move(options));
  }
  BeastClientOptions trusting(const std::string& target) {
    BeastClientOptions options;
    options.target = target;
    options.authority_file = file("ca.pem");
    return options;
  }
  static std::string file(const char* name) { return (directory_ / name).string(); }
  inline static std::filesystem::path directory_;
};

TEST_F(SecureExchange, SendsTheWholeSessionByteForByte) {
  const auto session = synthetic_session(700, 10'000, 1);
  serve_secure(options_for(Venue::raw, session));
  EXPECT_THAT(exchange_->url(), StartsWith("wss://127.0.0.1:"));
  const BeastClient& client = connect(trusting("/"));
  run_until_messages(client, 10'000);
  EXPECT_EQ(client.messages(), texts_of(*session));
}

TEST_F(SecureExchange, ASlowReaderLosesNothing) {
  const auto session = synthetic_session(1000, 20'000, 1);
  auto options = options_for(Venue::raw, session);
  options.send_buffer_bytes = 16 * 1024;
  serve_secure(options);
  auto slow = trusting("/");
  slow.reading = false;
  slow.receive_buffer_bytes = 16 * 1024;
  BeastClient& client = connect(slow);
  run_until_open(client);
  settle();
  EXPECT_LT(exchange_->counters().frames_sent, 20'000U);
  client.read();
  run_until_messages(client, 20'000);
  EXPECT_EQ(client.messages(), texts_of(*session));
}

TEST_F(SecureExchange, GathersScatteredFramesOfSomeStreams) {
  SessionBuilder builder;
  std::vector<std::string> expected;
  for (int i = 0; i < 6000; ++i) {
    const std::string stream = i % 2 == 0 ? "a@trade" : "b@trade";
    const std::string text = R"({"stream":")" + stream + R"(","data":)" + std::to_string(i) + "}";
    builder.add(text, 0, builder.topic(stream));
    if (i % 2 == 0) expected.push_back(text);
  }
  serve_secure(options_for(Venue::binance, builder.finish()));
  const BeastClient& client = connect(trusting("/stream?streams=a@trade"));
  run_until_messages(client, expected.size());
  EXPECT_EQ(client.messages(), expected);
}

TEST_F(SecureExchange, SpeaksTheVenuesProtocol) {
  SessionBuilder builder;
  builder.add(R"([{"T":"t","S":"AAPL"}])", 0, builder.topic("trades:AAPL"));
  serve_secure(options_for(Venue::alpaca, builder.finish()));
  BeastClient& client = connect(trusting("/v2/sip"));
  run_until_open(client);
  client.send(R"({"action":"auth","key":"k","secret":"s"})");
  client.send(R"({"action":"subscribe","trades":["AAPL"]})");
  run_until_messages(client, 4);
  EXPECT_EQ(client.messages()[3], R"([{"T":"t","S":"AAPL"}])");
  client.close(1000);
  run_until([&] { return exchange_->connections() == 0; });
  EXPECT_EQ(exchange_->counters().handshakes_failed, 0U);
}

TEST_F(SecureExchange, AClientThatSpeaksPlainTextFailsItsHandshake) {
  serve_secure(options_for(Venue::raw, synthetic_session(100, 10, 1)));
  const BeastClient& client = connect("/");
  run_until_ended(client);
  run_until([&] { return exchange_->connections() == 0; });
  EXPECT_EQ(exchange_->counters().handshakes_failed, 1U);
  EXPECT_THAT(exchange_->counters().last_fault, HasSubstr("TLS handshake"));
}

TEST_F(SecureExchange, AKeyThatDoesNotBelongToTheCertificateIsRefused) {
  auto options = options_for(Venue::raw, synthetic_session(100, 10, 1));
  options.tls_certificate_file = file("server.pem");
  options.tls_key_file = file("ca.key");
  const auto exchange = Exchange::create(io_, options);
  ASSERT_FALSE(exchange);
  EXPECT_THAT(exchange.error().message, HasSubstr("ca.key"));
}

TEST_F(SecureExchange, FilesThatAreNoPemAreRefusedByName) {
  auto options = options_for(Venue::raw, synthetic_session(100, 10, 1));
  std::ofstream(file("junk.pem")) << "junk";
  options.tls_certificate_file = file("junk.pem");
  options.tls_key_file = file("server.key");
  EXPECT_THAT(Exchange::create(io_, options).error().message, HasSubstr("junk.pem"));
}

TEST_F(SecureExchange, ClosesInTheMiddleOfAFrameWithoutACloseNotify) {
  auto options = options_for(Venue::raw, synthetic_session(100, 100, 1));
  options.faults = {parse_fault("close-mid-frame:50").value()};
  serve_secure(options);
  const BeastClient& client = connect(trusting("/"));
  run_until_ended(client);
  EXPECT_EQ(client.messages().size(), 50U);
  EXPECT_EQ(client.close_code(), 0);
}

}  // namespace
}  // namespace feedbench::mock_exchange::testing
