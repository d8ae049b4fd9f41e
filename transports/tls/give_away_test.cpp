// A client's TLS 1.3 connection goes on in another session, as in another process.
#include <gtest/gtest.h>

#include <random>

#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/test_certificates.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {
namespace {

using testing::carry;
using testing::make_pair;
using testing::pattern;
using testing::SessionPair;
using testing::TestCertificates;

class TlsGiveAway : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { certificates_ = std::make_unique<TestCertificates>(); }
  static void TearDownTestSuite() { certificates_.reset(); }
  void SetUp() override {
    if (!tls_provider().tells_secrets)
      GTEST_SKIP() << tls_provider().name << " tells nobody a connection's secrets";
  }

  static SessionPair pair() {
    SessionPair made = make_pair({.server_name = "localhost", .ca_file = certificates_->ca_file()},
                                 {.certificate_file = certificates_->certificate_file(),
                                  .key_file = certificates_->key_file()});
    EXPECT_TRUE(made.shake_hands()) << made.client.error() << made.server.error();
    return made;
  }
  /// The client goes on as another session.
  static void move(SessionPair& of) {
    ASSERT_TRUE(of.client.can_give_away()) << of.client.error();
    ASSERT_TRUE(of.client.output().empty());
    auto next = TlsSession::resume(of.client.give_away());
    ASSERT_TRUE(next.has_value()) << next.error().message;
    of.client = std::move(*next);
    EXPECT_TRUE(of.client.established());
  }
  static void exchange(SessionPair& of, std::size_t up, std::size_t down, unsigned seed) {
    of.client_plain.clear();
    of.server_plain.clear();
    const auto sent_up = pattern(up, seed);
    const auto sent_down = pattern(down, seed + 1);
    ASSERT_EQ(of.client.write(sent_up).bytes, up);
    ASSERT_EQ(of.server.write(sent_down).bytes, down);
    ASSERT_TRUE(of.settle()) << of.client.error() << of.server.error();
    ASSERT_TRUE(of.server_plain == sent_up);
    ASSERT_TRUE(of.client_plain == sent_down);
  }

  static std::unique_ptr<TestCertificates> certificates_;
};
std::unique_ptr<TestCertificates> TlsGiveAway::certificates_;

TEST_F(TlsGiveAway, GoesOnBothWaysAgainAndAgain) {
  SessionPair both = pair();
  EXPECT_EQ(both.client.protocol(), "TLSv1.3 TLS_AES_128_GCM_SHA256");
  for (unsigned i = 0; i < 5; ++i) {
    exchange(both, 1 + i * 777, 50'000 * i + 1, i);
    move(both);
    EXPECT_EQ(both.client.protocol(), "TLSv1.3 TLS_AES_128_GCM_SHA256");
  }
  exchange(both, 100, 1'000'000, 99);
}

TEST_F(TlsGiveAway, RightAfterTheHandshake) {
  SessionPair both = pair();
  move(both);
  exchange(both, 10, 10, 1);
}

TEST_F(TlsGiveAway, AtEveryByteOfTheStream) {
  const auto down = pattern(600, 5);
  SessionPair first = pair();
  ASSERT_EQ(first.server.write(std::span(down).first(250)).bytes, 250U);
  ASSERT_EQ(first.server.write(std::span(down).subspan(250)).bytes, 350U);
  const std::size_t wire = first.server.output().size();
  for (std::size_t cut = 0; cut <= wire; ++cut) {
    SessionPair both = pair();
    ASSERT_EQ(both.server.write(std::span(down).first(250)).bytes, 250U);
    ASSERT_EQ(both.server.write(std::span(down).subspan(250)).bytes, 350U);
    std::vector<std::byte> out;
    std::vector<std::byte> plain;
    for (auto more = both.server.output(); !more.empty(); more = both.server.output()) {
      out.insert(out.end(), more.begin(), more.end());
      both.server.consume_output(more.size());
    }
    ASSERT_EQ(out.size(), wire);
    const auto feed = [&](std::span<const std::byte> bytes, std::size_t space_bytes) {
      std::vector<std::byte> space(space_bytes);
      if (!bytes.empty()) {
        ASSERT_NE(both.client.feed(bytes), TlsStatus::failed);
      }
      TlsRead got;
      do {
        got = both.client.read(space);
        plain.insert(plain.end(), space.begin(),
                     space.begin() + static_cast<std::ptrdiff_t>(got.bytes));
      } while (got.status == TlsStatus::ok);
      ASSERT_NE(got.status, TlsStatus::failed) << both.client.error();
    };
    feed(std::span(out).first(cut), 4096);
    move(both);
    // Once more, where nothing came meanwhile.
    if (cut % 7 == 0) move(both);
    feed(std::span(out).subspan(cut), cut % 3 == 0 ? 7 : 4096);
    ASSERT_TRUE(plain == down) << "cut at " << cut;
    exchange(both, 10, 10, 1);
  }
}

TEST_F(TlsGiveAway, WhatWasFedAndNotReadIsNotLost) {
  for (const std::size_t read_bytes : {1U, 100U, 16'384U, 20'000U, 40'000U}) {
    SessionPair both = pair();
    const auto down = pattern(60'000, 3);
    ASSERT_EQ(both.server.write(down).bytes, down.size());
    std::vector<std::byte> out;
    for (auto more = both.server.output(); !more.empty(); more = both.server.output()) {
      out.insert(out.end(), more.begin(), more.end());
      both.server.consume_output(more.size());
    }
    ASSERT_NE(both.client.feed(out), TlsStatus::failed);
    std::vector<std::byte> plain(read_bytes);
    ASSERT_EQ(both.client.read(plain).bytes, read_bytes);
    move(both);
    std::vector<std::byte> rest(down.size());
    std::size_t have = 0;
    for (TlsRead got{0, TlsStatus::ok}; got.status == TlsStatus::ok && have < rest.size();) {
      got = both.client.read(std::span(rest).subspan(have));
      have += got.bytes;
    }
    plain.insert(plain.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(have));
    ASSERT_TRUE(plain == down) << read_bytes;
    exchange(both, 10, 20'000, 1);
  }
}

TEST_F(TlsGiveAway, KeysThatWereUpdatedBeforeAndAfter) {
  SessionPair both = pair();
  exchange(both, 500, 500, 1);
  ASSERT_EQ(both.server.update_keys(), TlsStatus::ok);
  exchange(both, 500, 500, 2);
  ASSERT_EQ(both.client.update_keys(), TlsStatus::ok);
  exchange(both, 500, 500, 3);
  move(both);
  exchange(both, 500, 50'000, 4);
  ASSERT_EQ(both.server.update_keys(), TlsStatus::ok);  // asks the other end for the same
  exchange(both, 500, 500, 5);
  move(both);
  exchange(both, 500, 500, 6);
  ASSERT_EQ(both.client.update_keys(), TlsStatus::ok);
  exchange(both, 500, 500, 7);
  move(both);
  exchange(both, 500, 500, 8);
}

TEST_F(TlsGiveAway, APeerThatOnlyAsksForNewKeysMakesNothingGrow) {
  SessionPair both = pair();
  move(both);
  std::size_t waits = 0;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(both.server.update_keys(), TlsStatus::ok);
    ASSERT_NE(carry(both.server, both.client, SIZE_MAX, both.client_plain), TlsStatus::failed);
    if (i == 0) waits = both.client.output().size();
    ASSERT_EQ(both.client.output().size(), waits);
  }
  EXPECT_GT(waits, 0U);
  exchange(both, 500, 500, 1);
  exchange(both, 500, 500, 2);  // the rest of the answers is one more
}

TEST_F(TlsGiveAway, TheEndIsSaidAndHeard) {
  SessionPair both = pair();
  move(both);
  ASSERT_EQ(both.server.close(), TlsStatus::ok);
  ASSERT_NE(carry(both.server, both.client, SIZE_MAX, both.client_plain), TlsStatus::failed);
  EXPECT_EQ(both.client.end_of_input(), TlsStatus::closed);
  ASSERT_EQ(both.client.close(), TlsStatus::ok);
  EXPECT_EQ(carry(both.client, both.server, SIZE_MAX, both.server_plain), TlsStatus::closed);
  EXPECT_FALSE(both.client.can_give_away());

  SessionPair cut = pair();
  move(cut);
  EXPECT_EQ(cut.client.end_of_input(), TlsStatus::failed);
  EXPECT_NE(cut.client.error().find("without close_notify"), std::string::npos);
}

TEST_F(TlsGiveAway, AnAlteredRecordFailsWhereverItIsAltered) {
  const auto down = pattern(200, 5);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    SessionPair both = pair();
    move(both);
    ASSERT_EQ(both.server.write(down).bytes, down.size());
    const auto output = both.server.output();
    std::vector<std::byte> out(output.begin(), output.end());
    out[random() % out.size()] ^= static_cast<std::byte>(1U << (random() % 8));
    static_cast<void>(both.client.feed(out));
    std::vector<std::byte> space(4096);
    const TlsRead got = both.client.read(space);
    // A longer length waits for what never comes; everything else is seen.
    EXPECT_NE(got.status, TlsStatus::ok);
    EXPECT_EQ(got.bytes, 0U);
    if (got.status == TlsStatus::failed) {
      EXPECT_FALSE(both.client.error().empty());
    }
  }
}

TEST_F(TlsGiveAway, TrafficThatContradictsItselfIsRefused) {
  SessionPair both = pair();
  TlsTraffic good = both.client.give_away();
  TlsTraffic bad = good;
  bad.cipher_suite = 0x1302;
  EXPECT_FALSE(TlsSession::resume(bad).has_value());
  bad = good;
  bad.out.secret.pop_back();
  EXPECT_FALSE(TlsSession::resume(bad).has_value());
  bad = good;
  bad.cipher_suite = 0xc02f;
  EXPECT_FALSE(TlsSession::resume(bad).has_value());
  EXPECT_TRUE(TlsSession::resume(good).has_value());
}

}  // namespace
}  // namespace feedbench::tls
