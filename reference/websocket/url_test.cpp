#include "reference/websocket/url.hpp"

#include <gtest/gtest.h>

#include <string>

namespace feedbench::websocket {
namespace {

struct Good {
  const char* url;
  bool tls;
  const char* host;
  unsigned port;
  const char* target;
  const char* host_header;
};

TEST(WsUrl, HasOneNormalForm) {
  const auto normal = [](const char* url) { return parse_url(url).value().normal(); };
  for (const char* const same : {"ws://host/", "ws://host", "WS://HOST:80", "ws://Host:80/"})
    EXPECT_EQ(normal(same), "ws://host/") << same;
  EXPECT_EQ(normal("wss://Host:443?A=b"), "wss://host/?A=b");
  EXPECT_EQ(normal("ws://[::1]:80/Path"), "ws://[::1]/Path") << "the path's case means something";
  EXPECT_EQ(normal("ws://[::A]:443"), "ws://[::a]:443/");
  EXPECT_NE(normal("ws://host:443"), normal("wss://host:443"));
  EXPECT_NE(normal("ws://host/a"), normal("ws://host/a/"));
}

TEST(WsUrl, TakesApartWhatVenuesAndUsersWrite) {
  const Good cases[] = {
      {"ws://localhost", false, "localhost", 80, "/", "localhost"},
      {"wss://stream.binance.com:9443/ws/btcusdt@trade", true, "stream.binance.com", 9443,
       "/ws/btcusdt@trade", "stream.binance.com:9443"},
      {"wss://stream.data.alpaca.markets/v2/iex", true, "stream.data.alpaca.markets", 443,
       "/v2/iex", "stream.data.alpaca.markets"},
      {"ws://127.0.0.1:8080/stream?streams=a@trade/b@depth", false, "127.0.0.1", 8080,
       "/stream?streams=a@trade/b@depth", "127.0.0.1:8080"},
      {"WSS://Host:443/", true, "Host", 443, "/", "Host"},
      {"ws://host:443/", false, "host", 443, "/", "host:443"},
      {"ws://host?x=1", false, "host", 80, "/?x=1", "host"},
      {"ws://[::1]:9001/a", false, "::1", 9001, "/a", "[::1]:9001"},
      {"ws://[::1]", false, "::1", 80, "/", "[::1]"},
  };
  for (const Good& good : cases) {
    const auto url = parse_url(good.url);
    ASSERT_TRUE(url) << url.error().message;
    EXPECT_EQ(url->tls, good.tls) << good.url;
    EXPECT_EQ(url->host, good.host) << good.url;
    EXPECT_EQ(url->port, good.port) << good.url;
    EXPECT_EQ(url->target, good.target) << good.url;
    EXPECT_EQ(url->host_header(), good.host_header) << good.url;
  }
}

TEST(WsUrl, SaysWhatIsWrongAndWithWhich) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "must begin with ws:// or wss://"},
      {"http://host/", "must begin with ws:// or wss://"},
      {"host:9443", "must begin with ws:// or wss://"},
      {"ws://", "host is missing"},
      {"ws://:80/", "host is missing"},
      {"ws://[]/", "host is missing"},
      {"ws://host:/", "port must be a number"},
      {"ws://host:0/", "port must be a number"},
      {"ws://host:65536/", "port must be a number"},
      {"ws://host:8o/", "port must be a number"},
      {"ws://::1/", "needs brackets"},
      {"ws://[::1/", "bracket"},
      {"ws://[::1]9/", "expected :port"},
      {"ws://me:secret@host/", "not supported"},
      {"ws://host/#part", "fragment"},
      {"ws://host/a b", "percent-encode"},
      {"ws://host/\r\nX: y", "control character"},
      {"ws://h\xC3\xB6st/", "non-ASCII"},
  };
  for (const auto& [text, why] : cases) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_NE(url.error().message.find(why), std::string::npos) << url.error().message;
  }
}

TEST(WsUrl, KeepsASecretOutOfItsErrors) {
  EXPECT_EQ(parse_url("ws://me:secret@host/").error().message.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::websocket
