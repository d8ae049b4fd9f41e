#include "reference/websocket/handshake.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "reference/websocket/build_frame.hpp"

namespace feedbench::websocket {
namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// ---- the server ----

const char* const kRequest =
    "GET /chat?room=1 HTTP/1.1\r\n"
    "Host: server.example.com\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Origin: http://example.com\r\n"
    "Sec-WebSocket-Protocol: chat, superchat\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "\r\n";

struct Judged {
  HandshakeStatus status = HandshakeStatus::need_more;
  unsigned http_status = 0;
  std::string error;
  std::string rejection;
};
Judged judge(const std::string& request) {
  ServerHandshake server;
  Judged judged;
  judged.status = server.feed(as_bytes(request)).status;
  judged.http_status = server.status();
  judged.error = server.error();
  judged.rejection = server.rejection();
  return judged;
}

void expect_refused(const std::string& request, unsigned http_status, const std::string& why) {
  const Judged judged = judge(request);
  EXPECT_EQ(judged.status, HandshakeStatus::failed) << why;
  EXPECT_EQ(judged.http_status, http_status) << judged.error;
  EXPECT_NE(judged.error.find(why), std::string::npos) << judged.error;
  EXPECT_TRUE(judged.rejection.starts_with("HTTP/1.1 " + std::to_string(http_status) + " "))
      << judged.rejection;
  EXPECT_NE(judged.rejection.find("Connection: close"), std::string::npos);
}

/// The sample request with one part changed.
void expect_refused(const std::string& from, const std::string& to, unsigned http_status,
                    const std::string& why) {
  expect_refused(replaced(kRequest, from, to), http_status, why);
}

void expect_accepted(const std::string& from, const std::string& to) {
  const Judged judged = judge(replaced(kRequest, from, to));
  EXPECT_EQ(judged.status, HandshakeStatus::done) << to << ": " << judged.error;
}

TEST(ServerHandshake, AcceptsTheExampleOfTheRfcAndAnswersItsKey) {
  ServerHandshake server({.subprotocols = {"superchat"}});
  const HandshakeStep step = server.feed(as_bytes(kRequest));
  ASSERT_EQ(step.status, HandshakeStatus::done) << server.error();
  EXPECT_EQ(step.consumed_bytes, std::string(kRequest).size());
  EXPECT_EQ(server.request().target, "/chat?room=1");
  EXPECT_EQ(server.request().host, "server.example.com");
  EXPECT_EQ(server.request().origin, "http://example.com");
  EXPECT_EQ(server.request().subprotocols_offered, (std::vector<std::string>{"chat", "superchat"}));
  EXPECT_EQ(find_header(server.request().headers, "sec-websocket-version"), "13");
  EXPECT_EQ(server.subprotocol(), "superchat");
  const HttpHeader extra{"Server", "feedbench"};
  EXPECT_EQ(
      server.accept({&extra, 1}),
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: superchat\r\n"
      "Server: feedbench\r\n\r\n");
}

TEST(ServerHandshake, TakesTheHeadInAnyPiecesAndLeavesWhatFollowsIt) {
  const std::string wire = std::string(kRequest) + "frames";
  for (std::size_t split = 0; split <= wire.size(); ++split) {
    ServerHandshake server;
    HandshakeStep step = server.feed(as_bytes(wire).first(split));
    std::size_t consumed_bytes = step.consumed_bytes;
    if (step.status == HandshakeStatus::need_more) {
      ASSERT_EQ(step.consumed_bytes, split);
      step = server.feed(as_bytes(wire).subspan(split));
      consumed_bytes += step.consumed_bytes;
    }
    ASSERT_EQ(step.status, HandshakeStatus::done) << split << ": " << server.error();
    ASSERT_EQ(wire.substr(consumed_bytes), "frames");
  }
  ServerHandshake server;
  for (const char& c : std::string(kRequest)) {
    const HandshakeStep step = server.feed(as_bytes({&c, 1}));
    ASSERT_EQ(step.consumed_bytes, 1U);
    ASSERT_NE(step.status, HandshakeStatus::failed) << server.error();
  }
  EXPECT_EQ(server.request().target, "/chat?room=1");
}

TEST(ServerHandshake, RefusesAnyMethodButGet) {
  for (const char* method : {"POST", "HEAD", "OPTIONS", "PUT", "get", "BREW"}) {
    const std::string request = replaced(kRequest, "GET", method);
    const Judged judged = judge(request);
    EXPECT_EQ(judged.status, HandshakeStatus::failed);
    EXPECT_EQ(judged.http_status, std::string(method) == "get" ? 400U : 405U) << method;
  }
  EXPECT_NE(judge(replaced(kRequest, "GET", "POST")).rejection.find("Allow: GET\r\n"),
            std::string::npos);
}

TEST(ServerHandshake, RefusesAnyVersionOfHttpButOneDotOne) {
  for (const char* version : {"HTTP/1.0", "HTTP/2.0", "HTTP/0.9"})
    expect_refused("HTTP/1.1", version, 505, "HTTP/1.1");
  expect_refused("HTTP/1.1", "HTTX/1.1", 505, "HTTP/1.1");
  expect_refused(" HTTP/1.1", "", 400, "");
}

TEST(ServerHandshake, WantsExactlyOneHost) {
  expect_refused("Host: server.example.com\r\n", "", 400, "Host is missing");
  expect_refused("Host: server.example.com\r\n", "Host: a\r\nHost: b\r\n", 400,
                 "Host occurs twice");
  expect_refused("Host: server.example.com\r\n", "Host: \r\n", 400, "Host is empty");
}

TEST(ServerHandshake, WantsTheUpgradeTokenInAnyCaseAndAnyList) {
  expect_refused("Upgrade: websocket\r\n", "", 426, "Upgrade: websocket is missing");
  expect_refused("Upgrade: websocket\r\n", "Upgrade: websocket2\r\n", 426,
                 "Upgrade: websocket is missing");
  expect_refused("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426,
                 "Upgrade: websocket is missing");
  expect_accepted("Upgrade: websocket\r\n", "Upgrade: h2c, WebSocket\r\n");
  expect_accepted("Upgrade: websocket\r\n", "upgrade: h2c\r\nUPGRADE:websocket\r\n");
}

TEST(ServerHandshake, WantsTheConnectionTokenInAnyCaseAndAnyList) {
  expect_refused("Connection: Upgrade\r\n", "", 400, "Connection: Upgrade is missing");
  expect_refused("Connection: Upgrade\r\n", "Connection: keep-alive\r\n", 400,
                 "Connection: Upgrade is missing");
  expect_refused("Connection: Upgrade\r\n", "Connection: Upgraded\r\n", 400,
                 "Connection: Upgrade is missing");
  expect_accepted("Connection: Upgrade\r\n", "Connection: keep-alive, upgrade\r\n");
  expect_accepted("Connection: Upgrade\r\n", "Connection: keep-alive\r\nConnection: UPGRADE\r\n");
}

TEST(ServerHandshake, WantsExactlyOneKeyOf16BytesInBase64) {
  const std::string line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  expect_refused(line, "", 400, "Key is missing");
  expect_refused(line, line + line, 400, "Key occurs twice");
  for (const char* key :
       {"", "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZ_==", "dGhl IHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQ==AA=="}) {
    expect_refused(line, std::string("Sec-WebSocket-Key: ") + key + "\r\n", 400,
                   "not 16 bytes in base64");
  }
}

TEST(ServerHandshake, AnswersAnotherVersionWith426AndTheOneItSpeaks) {
  for (const char* version : {"12", "8", "14", "0", "013", "13, 8", "x"}) {
    const Judged judged =
        judge(replaced(kRequest, "Version: 13", std::string("Version: ") + version));
    EXPECT_EQ(judged.http_status, 426U) << version;
    EXPECT_NE(judged.rejection.find("\r\nSec-WebSocket-Version: 13\r\n"), std::string::npos);
    EXPECT_NE(judged.rejection.find("\r\nUpgrade: websocket\r\n"), std::string::npos);
  }
  expect_refused("Sec-WebSocket-Version: 13\r\n", "", 400, "Version is missing");
  expect_refused("Sec-WebSocket-Version: 13\r\n",
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", 400,
                 "Version occurs twice");
}

TEST(ServerHandshake, RefusesAnOversizeHeadAtItsLimitAndNotLater) {
  ServerHandshake server({.head_bytes_max = 1000});
  const std::string flood = "GET / HTTP/1.1\r\nX: " + std::string(5000, 'x');
  EXPECT_EQ(server.feed(as_bytes(flood).first(999)).status, HandshakeStatus::need_more);
  EXPECT_EQ(server.feed(as_bytes(flood).subspan(999)).status, HandshakeStatus::failed);
  EXPECT_EQ(server.status(), 431U);
  // A head that just fits does.
  const std::string request = kRequest;
  ServerHandshake exact({.head_bytes_max = request.size()});
  EXPECT_EQ(exact.feed(as_bytes(request)).status, HandshakeStatus::done);
  ServerHandshake tight({.head_bytes_max = request.size() - 1});
  EXPECT_EQ(tight.feed(as_bytes(request)).status, HandshakeStatus::failed);
}

TEST(ServerHandshake, KeepsASlowHeadWaitingWithoutJudgingIt) {
  ServerHandshake server;  // the deadline is the caller's
  const std::string request = kRequest;
  for (std::size_t i = 0; i + 1 < request.size(); ++i) {
    ASSERT_EQ(server.feed(as_bytes(request).subspan(i, 1)).status, HandshakeStatus::need_more);
  }
  EXPECT_EQ(server.feed(as_bytes(request).last(1)).status, HandshakeStatus::done);
}

TEST(ServerHandshake, TellsWhatIsNoHttpAtAllAtItsFirstBytes) {
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00\x01", 6), std::string("\x81\x85"), std::string("\r\n"),
        std::string("\0", 1)}) {
    expect_refused(garbage, 400, "");
  }
  expect_refused(std::string("GET / HT\0P", 10), 400, "control characters");
}

TEST(ServerHandshake, RefusesMalformedHeads) {
  expect_refused("Origin: http", "Origin http", 400, "malformed");
  expect_refused("Origin: http", "Ori gin: http", 400, "malformed");
  expect_refused("Origin: http", ": http", 400, "malformed");
  expect_refused("/chat?room=1", "chat", 400, "target");
  expect_refused("/chat?room=1", "*", 400, "target");
  expect_refused("/chat?room=1 ", "", 400, "");
}

TEST(ServerHandshake, RefusesABodyBecauseItWouldBeReadAsFrames) {
  expect_refused("Origin: ", "Content-Length: 5\r\nOrigin: ", 413, "no body");
  expect_refused("Origin: ", "Transfer-Encoding: chunked\r\nOrigin: ", 413, "no body");
  expect_accepted("Origin: ", "Content-Length: 0\r\nOrigin: ");
}

TEST(ServerHandshake, ChoosesASubprotocolByItsOwnPreferenceOrNone) {
  ServerHandshake first({.subprotocols = {"none", "superchat", "chat"}});
  first.feed(as_bytes(kRequest));
  EXPECT_EQ(first.subprotocol(), "superchat");
  ServerHandshake none({.subprotocols = {"mqtt"}});
  ASSERT_EQ(none.feed(as_bytes(kRequest)).status, HandshakeStatus::done);
  EXPECT_EQ(none.subprotocol(), "");
  EXPECT_EQ(none.accept().find("Sec-WebSocket-Protocol"), std::string::npos);
  expect_refused("chat, superchat", "chat, chat", 400, "twice");
  expect_refused("chat, superchat", "ch at", 400, "not a token");
  ServerHandshake lists({.subprotocols = {"b"}});
  lists.feed(as_bytes(replaced(kRequest, "Sec-WebSocket-Protocol: chat, superchat",
                               "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b")));
  EXPECT_EQ(lists.subprotocol(), "b");
}

TEST(ServerHandshake, DeclinesEveryExtensionBySilence) {
  ServerHandshake server;
  const std::string request = replaced(
      kRequest, "Origin:",
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-unknown\r\nOrigin:");
  ASSERT_EQ(server.feed(as_bytes(request)).status, HandshakeStatus::done) << server.error();
  EXPECT_EQ(server.accept().find("Extensions"), std::string::npos);
}

TEST(ServerHandshake, LeavesTheOriginToTheCaller) {
  ServerHandshake server;
  ASSERT_EQ(server.feed(as_bytes(replaced(kRequest, "http://example.com", "null"))).status,
            HandshakeStatus::done);
  EXPECT_EQ(server.request().origin, "null");
  expect_refused("Origin: http://example.com\r\n", "Origin: a\r\nOrigin: b\r\n", 400,
                 "Origin occurs twice");
  expect_accepted("Origin: http://example.com\r\n", "");
  const std::string refusal = http_refusal(403, "origin not allowed");
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_TRUE(refusal.ends_with("\r\n\r\norigin not allowed\n"));
}

// ---- the client ----

ClientHandshake new_client(std::vector<std::string> subprotocols = {}) {
  auto client = ClientHandshake::create({.host = "venue.example:9443",
                                         .target = "/ws",
                                         .subprotocols = std::move(subprotocols),
                                         .headers = {}});
  EXPECT_TRUE(client);
  return std::move(*client);
}

std::string key_of(const std::string& request) {
  const std::string name = "Sec-WebSocket-Key: ";
  return request.substr(request.find(name) + name.size(), 24);
}

std::string response_to(const ClientHandshake& client) {
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Accept: " +
         websocket_accept(key_of(client.request())) + "\r\n\r\n";
}

void expect_client_fails(const std::function<std::string(std::string)>& change,
                         const std::string& why, std::vector<std::string> subprotocols = {}) {
  ClientHandshake client = new_client(std::move(subprotocols));
  const std::string response = change(response_to(client));
  EXPECT_EQ(client.feed(as_bytes(response)).status, HandshakeStatus::failed) << response;
  EXPECT_NE(client.error().find(why), std::string::npos) << client.error();
  EXPECT_NE(client.error().find("venue.example:9443"), std::string::npos) << client.error();
}

TEST(ClientHandshake, WritesARequestThatTheServerSideAccepts) {
  auto client =
      ClientHandshake::create({.host = "h",
                               .target = "/t",
                               .subprotocols = {"a", "b"},
                               .headers = {{"Authorization", "Bearer x"}, {"Origin", "http://o"}}});
  ASSERT_TRUE(client);
  EXPECT_TRUE(client->request().starts_with("GET /t HTTP/1.1\r\nHost: h\r\n"));
  EXPECT_TRUE(client->request().ends_with("\r\n\r\n"));
  ServerHandshake server({.subprotocols = {"b"}});
  ASSERT_EQ(server.feed(as_bytes(client->request())).status, HandshakeStatus::done)
      << server.error();
  EXPECT_EQ(find_header(server.request().headers, "authorization"), "Bearer x");
  EXPECT_EQ(server.request().origin, "http://o");
  const std::string response = server.accept();
  ASSERT_EQ(client->feed(as_bytes(response)).status, HandshakeStatus::done) << client->error();
  EXPECT_EQ(client->subprotocol(), "b");
}

TEST(ClientHandshake, SendsAFreshKeyEachTime) {
  EXPECT_NE(key_of(new_client().request()), key_of(new_client().request()));
}

TEST(ClientHandshake, LosesNoByteBehindThe101AtAnySplit) {
  for (std::size_t split = 0;; ++split) {
    ClientHandshake client = new_client();
    const std::string wire = response_to(client) + "\x81\x05Hello";
    if (split > wire.size()) break;
    HandshakeStep step = client.feed(as_bytes(wire).first(split));
    std::size_t consumed_bytes = step.consumed_bytes;
    if (step.status == HandshakeStatus::need_more) {
      step = client.feed(as_bytes(wire).subspan(split));
      consumed_bytes += step.consumed_bytes;
    }
    ASSERT_EQ(step.status, HandshakeStatus::done) << client.error();
    ASSERT_EQ(wire.substr(consumed_bytes), "\x81\x05Hello");
  }
}

TEST(ClientHandshake, RefusesAMissingWrongOrDoubleAccept) {
  const std::string line = "Sec-WebSocket-Accept: ";
  expect_client_fails([&](std::string r) { return replaced(r, line, "X-Other: "); },
                      "lacks Sec-WebSocket-Accept");
  expect_client_fails([&](std::string r) { return replaced(r, line, line + "x"); },
                      "does not match");
  expect_client_fails(
      [&](std::string r) {
        return replaced(r, line, line + "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" + line);
      },
      "twice");
  // Right but for the case of one letter: base64 is case-sensitive.
  expect_client_fails(
      [&](std::string r) {
        const std::size_t at =
            r.find_first_of("abcdefghijklmnopqrstuvwxyz", r.find(line) + line.size());
        r[at] = static_cast<char>(r[at] - 'a' + 'A');
        return r;
      },
      "does not match");
}

TEST(ClientHandshake, RefusesA101WithoutItsTokens) {
  expect_client_fails(
      [](std::string r) { return replaced(r, "Upgrade: websocket", "Upgrade: h2c"); },
      "lacks Upgrade");
  expect_client_fails(
      [](std::string r) { return replaced(r, "Connection: Upgrade", "Connection: close"); },
      "lacks Connection");
}

TEST(ClientHandshake, RefusesASubprotocolThatWasNotOffered) {
  const auto with = [](const std::string& protocol) {
    return [=](const std::string& r) {
      return replaced(r, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n");
    };
  };
  expect_client_fails(with("chat"), "not offered: chat");
  expect_client_fails(with("chat"), "not offered: chat", {"other"});
  expect_client_fails(with("Other"), "not offered: Other", {"other"});
  expect_client_fails(with("other\r\nSec-WebSocket-Protocol: other"), "twice", {"other"});
}

TEST(ClientHandshake, RefusesAnExtensionThatWasNotOffered) {
  expect_client_fails(
      [](const std::string& r) {
        return replaced(r, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
      },
      "extension that was not offered: permessage-deflate");
}

TEST(ClientHandshake, ExplainsARedirectACallForCredentialsAndOtherAnswers) {
  const auto instead = [](const std::string& response) {
    return [=](const std::string&) { return response; };
  };
  expect_client_fails(instead("HTTP/1.1 301 Moved Permanently\r\nLocation: "
                              "wss://elsewhere/\r\nContent-Length: 0\r\n\r\n"),
                      "301 Moved Permanently, redirect to wss://elsewhere/");
  expect_client_fails(
      instead("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"),
      "401 Unauthorized, credentials wanted: Basic");
  expect_client_fails(instead("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\n\r\n"),
                      "version 8");
  expect_client_fails(instead("HTTP/1.1 200 OK\r\n\r\n<html>"), "200 OK: <html>");
  expect_client_fails(instead("HTTP/1.1 503 Service Unavailable\r\n\r\n"),
                      "503 Service Unavailable");
  expect_client_fails(instead("HTTP/1.0 101 Switching Protocols\r\n\r\n"), "not HTTP/1.1");
}

TEST(ClientHandshake, TellsAPeerThatSpeaksNoHttpAtItsFirstBytes) {
  const auto instead = [](const std::string& response) {
    return [=](const std::string&) { return response; };
  };
  expect_client_fails(instead("\x15\x03\x03"), "does not speak HTTP");
  expect_client_fails(instead("SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP");
  expect_client_fails(instead("HTTP/2 101"), "does not speak HTTP");
}

TEST(ClientHandshake, RefusesAnOversizeOrMalformedResponseHead) {
  expect_client_fails(
      [](const std::string& r) {
        return replaced(r, "\r\n\r\n", "\r\nX: " + std::string(20000, 'x') + "\r\n\r\n");
      },
      "longer than");
  expect_client_fails([](const std::string& r) { return replaced(r, "Upgrade: ", "Upgrade "); },
                      "malformed");
  expect_client_fails([](const std::string& r) { return replaced(r, "101", "1x1"); }, "malformed");
}

TEST(ClientHandshake, RefusesOptionsThatWouldBreakTheRequest) {
  const auto refused = [](ClientHandshakeOptions options) {
    const auto client = ClientHandshake::create(std::move(options));
    return client ? std::string() : client.error().message;
  };
  EXPECT_NE(refused({.host = ""}).find("Host"), std::string::npos);
  EXPECT_NE(refused({.host = "h\r\nX: y"}).find("Host"), std::string::npos);
  EXPECT_NE(refused({.host = "h", .target = "x"}).find("target"), std::string::npos);
  EXPECT_NE(refused({.host = "h", .target = "/a b"}).find("target"), std::string::npos);
  EXPECT_NE(refused({.host = "h", .subprotocols = {"a b"}}).find("token"), std::string::npos);
  EXPECT_NE(refused({.host = "h", .headers = {{"X", "a\r\nY: b"}}}).find("malformed"),
            std::string::npos);
  EXPECT_NE(refused({.host = "h", .headers = {{"X y", "a"}}}).find("malformed"), std::string::npos);
  EXPECT_NE(refused({.host = "h", .headers = {{"host", "other"}}}).find("set by the handshake"),
            std::string::npos);
}

}  // namespace
}  // namespace feedbench::websocket
