#include "reference/downstream/client_hub.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace feedbench::downstream {
namespace {

using transports::Conn;
using transports::SendStatus;
using websocket::Opcode;

/// A transport whose wire is a string and whose sends end when the test says so.
class ScriptedTransport {
 public:
  bool complete_at_once = true;
  std::map<std::uint32_t, std::string> wire;
  std::map<std::uint32_t, std::string> in_flight;
  std::vector<std::uint32_t> closed;
  std::vector<std::uint32_t> aborted;
  std::vector<std::uint32_t> cancelled;
  transports::MonotonicInstant time{1'000'000'000};

  SendStatus send(Conn conn, std::span<const transports::ConstRange> ranges) {
    std::string bytes;
    for (const transports::ConstRange& range : ranges)
      bytes.append(reinterpret_cast<const char*>(range.data), range.bytes);
    EXPECT_FALSE(bytes.empty());
    EXPECT_TRUE(in_flight[conn.index].empty()) << "two sends in flight";
    if (complete_at_once) {
      wire[conn.index] += bytes;
      return SendStatus::completed;
    }
    in_flight[conn.index] = bytes;
    return SendStatus::pending;
  }
  void cancel_send(Conn conn) { cancelled.push_back(conn.index); }
  void close(Conn conn) { closed.push_back(conn.index); }
  void abort(Conn conn) { aborted.push_back(conn.index); }
  transports::MonotonicInstant now() const { return time; }
};

std::string server_frame(Opcode opcode, std::string_view payload) {
  std::string out(websocket::kHeaderBytesMax + payload.size(), '\0');
  out.resize(websocket::build_server_frame(std::as_writable_bytes(std::span(out)), opcode,
                                           websocket::as_bytes(payload)));
  return out;
}
std::string server_close(websocket::CloseCode code, std::string_view reason) {
  return server_frame(Opcode::close,
                      websocket::as_text(websocket::make_close_payload(code, reason).span()));
}
std::string client_frame(Opcode opcode, std::string_view payload) {
  std::string out(websocket::kHeaderBytesMax + payload.size(), '\0');
  out.resize(websocket::build_client_frame(std::as_writable_bytes(std::span(out)), opcode,
                                           websocket::as_bytes(payload), 0x12345678));
  return out;
}

constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

class ClientHubTest : public ::testing::Test {
 protected:
  ClientHubTest()
      : log_(*rings::FeedLogWriter::create({.ring_bytes = 1 << 16, .index_lines = 1024})),
        hub_(transport_, log_, {.connections_max = 8, .lag_max_bytes = 1 << 14}) {}

  Conn connect(std::uint32_t index, const std::string& extra = "") {
    const Conn conn{index, 1};
    hub_.on_open(conn);
    say(conn, std::string(kRequest) + extra + "\r\n");
    return conn;
  }
  void say(Conn conn, std::string bytes) {
    hub_.on_receive(conn, std::as_writable_bytes(std::span(bytes)));
  }
  std::string publish(std::string_view payload) {
    const std::string wire = server_frame(Opcode::text, payload);
    const std::uint64_t at = log_.write_position();
    const std::span<std::byte> space = log_.reserve(wire.size());
    std::memcpy(space.data(), wire.data(), wire.size());
    log_.written(wire.size());
    log_.stage({.offset = at, .length = static_cast<std::uint32_t>(wire.size())});
    log_.publish();
    hub_.publish();
    return wire;
  }
  /// The send in flight of conn ends after `bytes`.
  void end_send(Conn conn, std::size_t bytes) {
    const std::string sent = std::exchange(transport_.in_flight[conn.index], {});
    transport_.wire[conn.index] += sent.substr(0, bytes);
    hub_.on_sent(conn, std::min(bytes, sent.size()));
  }
  std::string take_wire(Conn conn) { return std::exchange(transport_.wire[conn.index], {}); }

  ScriptedTransport transport_;
  rings::FeedLogWriter log_;
  ClientHub<ScriptedTransport> hub_;
};

TEST_F(ClientHubTest, FramesBehindTheRequestAreHeardWhileTheAnswerIsOnItsWay) {
  transport_.complete_at_once = false;
  const std::string ping = client_frame(Opcode::ping, "early");
  const Conn a{0, 1};
  hub_.on_open(a);
  // Behind the request a ping, and half of another one, whose other half comes before the 101 has left.
  say(a, std::string(kRequest) + "\r\n" + ping + ping.substr(0, 3));
  say(a, ping.substr(3));
  end_send(a, 1000);
  EXPECT_TRUE(take_wire(a).starts_with("HTTP/1.1 101"));
  end_send(a, 1000);
  EXPECT_EQ(take_wire(a), server_frame(Opcode::pong, "early"));
  const std::string first = publish("first");
  end_send(a, 1000);
  EXPECT_EQ(take_wire(a), first);

  const Conn b{1, 1};
  hub_.on_open(b);
  say(b, std::string(kRequest) + "\r\n" + client_frame(Opcode::close, "\x03\xe8"));
  end_send(b, 1000);
  end_send(b, 1000);
  EXPECT_TRUE(take_wire(b).ends_with(server_close(websocket::CloseCode::normal, "")));
  EXPECT_EQ(transport_.closed, std::vector<std::uint32_t>{1});
}

TEST_F(ClientHubTest, ClientsStartAtTheLiveEdgeAndGetTheSameBytes) {
  publish("before anybody came");
  const Conn a = connect(0);
  EXPECT_TRUE(take_wire(a).starts_with("HTTP/1.1 101"));
  const std::string first = publish("first");
  const Conn b = connect(1);
  take_wire(b);
  const std::string second = publish("second");
  EXPECT_EQ(take_wire(a), first + second);
  EXPECT_EQ(take_wire(b), second);
  EXPECT_EQ(log_.stats().clients.value(), 2u);
}

TEST_F(ClientHubTest, WhileASendIsInFlightTheNextRangeGrowsIntoOne) {
  const Conn a = connect(0);
  take_wire(a);
  transport_.complete_at_once = false;
  const std::string first = publish("one");
  std::string rest = publish("two");
  rest += publish("three");
  rest += publish("four");
  EXPECT_EQ(transport_.in_flight[0], first);
  end_send(a, first.size());
  EXPECT_EQ(transport_.in_flight[0], rest);
}

TEST_F(ClientHubTest, AnswersAPingBetweenFramesNeverInsideARange) {
  const Conn a = connect(0);
  take_wire(a);
  transport_.complete_at_once = false;
  const std::string first = publish("one");
  say(a, client_frame(Opcode::ping, "p1") + client_frame(Opcode::ping, "p2"));
  const std::string second = publish("two");
  EXPECT_EQ(transport_.in_flight[0], first);
  end_send(a, first.size());
  EXPECT_EQ(transport_.in_flight[0], server_frame(Opcode::pong, "p2")) << "the latest ping alone";
  end_send(a, 100);
  EXPECT_EQ(transport_.in_flight[0], second);
}

TEST_F(ClientHubTest, EvictsASlowClientAtAnyByteWithAWholeFrameAndClose1013) {
  for (std::size_t cut = 0; cut <= 700; cut += 7) {
    const Conn slow = connect(2);
    const Conn fast = connect(3);
    take_wire(slow);
    take_wire(fast);
    std::string all = publish("a");
    all += publish(std::string(300, 'b'));
    all += publish(std::string(300, 'c'));
    EXPECT_EQ(take_wire(slow), all);
    transport_.complete_at_once = false;
    // fast reads everything at once, slow holds one send of three frames.
    const auto both = [&](const std::string& payload) {
      const std::string wire = publish(payload);
      end_send(fast, wire.size());
      return wire;
    };
    const std::string one = both("first");  // in flight for slow
    std::string range = both(std::string(200, 'x'));
    range += both(std::string(250, 'y'));
    range += both(std::string(240, 'z'));
    end_send(slow, one.size());
    EXPECT_EQ(transport_.in_flight[2], range);
    take_wire(slow);
    const std::uint64_t evicted = log_.stats().clients_evicted.value();
    while (log_.stats().clients_evicted.value() == evicted) both(std::string(1000, 'l'));
    EXPECT_TRUE(hub_.log_must_wait());
    ASSERT_EQ(transport_.cancelled.back(), 2u);
    end_send(slow, cut);
    EXPECT_FALSE(hub_.log_must_wait());
    end_send(slow, 1 << 20);  // the rest of the cut frame, and the Close

    const std::string wire = take_wire(slow);
    std::size_t whole = 0;
    for (const std::size_t frame : {204u, 254u, 244u})
      if (whole < std::min(cut, range.size())) whole += frame;
    const std::string close =
        server_close(websocket::CloseCode::try_again_later,
                     "too slow: further behind the feed than this proxy allows");
    EXPECT_EQ(wire, range.substr(0, whole) + close) << "cut at " << cut;
    EXPECT_TRUE(hub_.owns(fast)) << "others are unaffected";

    say(slow, client_frame(Opcode::close, ""));
    EXPECT_EQ(transport_.closed.back(), 2u);
    for (const Conn conn : {slow, fast}) {
      transport_.in_flight.erase(conn.index);
      hub_.on_close(conn, {});
    }
    transport_.complete_at_once = true;
  }
}

TEST_F(ClientHubTest, AClientThatIsSlowBehindItsOwnPongIsEvictedWithoutStoppingTheLog) {
  const Conn a = connect(0);
  take_wire(a);
  transport_.complete_at_once = false;
  say(a, client_frame(Opcode::ping, "x"));
  while (log_.stats().clients_evicted.value() == 0) publish(std::string(1000, 'l'));
  EXPECT_FALSE(hub_.log_must_wait());
  end_send(a, 100);
  EXPECT_TRUE(transport_.in_flight[0].starts_with("\x88"));
}

TEST_F(ClientHubTest, AnEvictionBeginsOnceHoweverOftenTheLogGrowsBeforeItIsOver) {
  const Conn slow = connect(0);
  const Conn pinging = connect(1);
  transport_.complete_at_once = false;
  publish("in flight");
  end_send(pinging, 1 << 20);
  say(pinging, client_frame(Opcode::ping, "x"));
  while (log_.stats().clients_evicted.value() < 2) publish(std::string(1000, 'l'));
  publish("behind");
  transport_.time = transport_.time + 4'000'000'000;
  publish("further behind");
  EXPECT_EQ(log_.stats().clients_evicted.value(), 2u);
  EXPECT_EQ(transport_.cancelled, std::vector<std::uint32_t>{0});
  end_send(slow, 3);
  EXPECT_FALSE(hub_.log_must_wait());
  transport_.time = transport_.time + 2'000'000'000;
  hub_.on_time(transport_.time);
  EXPECT_EQ(transport_.aborted, (std::vector<std::uint32_t>{0, 1})) << "6 s after the evictions";
}

TEST_F(ClientHubTest, OneClientTooManyIsResetAndForgotten) {
  ClientHub<ScriptedTransport> hub(transport_, log_, {.connections_max = 8, .clients_max = 1});
  hub.on_open({0, 1});
  hub.on_open({1, 1});
  EXPECT_EQ(transport_.aborted, std::vector<std::uint32_t>{1});
  EXPECT_FALSE(hub.owns({1, 1}));
  hub.on_close({1, 1}, {});
  EXPECT_EQ(hub.size(), 1u);
  hub.on_close({0, 1}, {});
  hub.on_open({1, 2});
  EXPECT_TRUE(hub.owns({1, 2}));
}

TEST_F(ClientHubTest, AnUnmaskedFrameIsAnsweredWith1002AndTheConnectionEnds) {
  const Conn a = connect(0);
  take_wire(a);
  say(a, server_frame(Opcode::text, "not masked"));
  EXPECT_TRUE(take_wire(a).starts_with(std::string("\x88") + char(2 + 28) + "\x03\xEA"))
      << "Close 1002 with its reason";
  EXPECT_EQ(transport_.closed, std::vector<std::uint32_t>{0});
  publish("nobody listens");
  EXPECT_EQ(take_wire(a), "");
}

TEST_F(ClientHubTest, AnswersAClientsCloseWithItsCodeAndSendsNothingAfterIt) {
  const Conn a = connect(0);
  take_wire(a);
  say(a, client_frame(Opcode::close, std::string("\x0F\xA0 bye", 6)));
  publish("late");
  EXPECT_EQ(take_wire(a), server_frame(Opcode::close, std::string("\x0F\xA0", 2)));
  EXPECT_EQ(transport_.closed, std::vector<std::uint32_t>{0});
}

TEST_F(ClientHubTest, ReadsFramesThatStandRightBehindTheRequest) {
  const Conn a{0, 1};
  hub_.on_open(a);
  say(a, std::string(kRequest) + "\r\n" + client_frame(Opcode::ping, "early"));
  EXPECT_TRUE(take_wire(a).ends_with(server_frame(Opcode::pong, "early")));
}

TEST_F(ClientHubTest, RefusesABrowserOfAnotherOriginAndABadRequest) {
  const Conn a = connect(0, "Origin: https://example.org\r\n");
  EXPECT_TRUE(take_wire(a).starts_with("HTTP/1.1 403"));
  EXPECT_EQ(transport_.closed, std::vector<std::uint32_t>{0});
  const Conn b{1, 1};
  hub_.on_open(b);
  say(b, "HELLO\r\n\r\n");
  EXPECT_TRUE(take_wire(b).starts_with("HTTP/1.1 400"));
  EXPECT_EQ(log_.stats().clients_refused.value(), 2u);
  EXPECT_EQ(log_.stats().clients.value(), 0u);
}

TEST_F(ClientHubTest, CutsAClientThatDoesNotFinishItsHandshakeOrItsCloseInTime) {
  const Conn a{0, 1};
  hub_.on_open(a);
  say(a, "GET / HT");
  const Conn b = connect(1);
  const Conn c = connect(2);
  hub_.stop();  // b and c are told 1001, a has not come far enough
  EXPECT_EQ(transport_.aborted, std::vector<std::uint32_t>{0});
  EXPECT_TRUE(
      take_wire(b).ends_with(server_close(websocket::CloseCode::going_away, "proxy stops")));
  say(c, client_frame(Opcode::close, ""));
  EXPECT_EQ(transport_.closed, std::vector<std::uint32_t>{2});
  transport_.time = transport_.time + 6'000'000'000;
  transport_.aborted.clear();
  hub_.on_close(a, {});
  hub_.on_close(c, {});
  hub_.on_time(transport_.time);
  EXPECT_EQ(transport_.aborted, std::vector<std::uint32_t>{1});
}

}  // namespace
}  // namespace feedbench::downstream
