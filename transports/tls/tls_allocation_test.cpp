// Counts every allocation of OpenSSL and of C++ while messages pass. A program of its own: OpenSSL
// lets its allocator be replaced only before it has allocated anything.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

#include "transports/tls/testing/session_pair.hpp"

namespace {

struct Counts {
  std::uint64_t ours = 0;     // operator new
  std::uint64_t openssl = 0;  // OpenSSL's own
  std::int64_t openssl_live = 0;
  std::size_t openssl_largest_bytes = 0;
};
Counts counts;

void* counted_malloc(std::size_t bytes, const char*, int) {
  ++counts.openssl;
  ++counts.openssl_live;
  if (bytes > counts.openssl_largest_bytes) counts.openssl_largest_bytes = bytes;
  return std::malloc(bytes);
}
void* counted_realloc(void* old, std::size_t bytes, const char*, int) {
  ++counts.openssl;
  if (old == nullptr) ++counts.openssl_live;
  return std::realloc(old, bytes);
}
void counted_free(void* old, const char*, int) {
  if (old != nullptr) --counts.openssl_live;
  std::free(old);
}

const bool counting = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

}  // namespace

void* operator new(std::size_t bytes) {
  ++counts.ours;
  if (void* made = std::malloc(bytes)) return made;
  throw std::bad_alloc();
}
void operator delete(void* old) noexcept { std::free(old); }
void operator delete(void* old, std::size_t) noexcept { std::free(old); }

namespace feedbench::tls {
namespace {

constexpr std::uint64_t kMessages = 10'000;

class TlsAllocation : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(counting);
    ASSERT_TRUE(pair_.shake_hands());
    // Some turns for the buffers to reach their size, then the count begins.
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(send() && receive());
  }

  // One message each, with nothing allocated by the test itself.
  bool send() { return pair_.server.write(message_).bytes == message_.size(); }
  bool receive() {
    const auto output = pair_.server.output();
    if (pair_.client.feed(output) != TlsStatus::ok) return false;
    const TlsRead got = pair_.client.read(space_);
    pair_.server.consume_output(output.size());
    return got.bytes == message_.size() && got.status == TlsStatus::want_input;
  }

  testing::TestCertificates certificates_;
  testing::SessionPair pair_ = testing::make_pair(
      {.server_name = "localhost", .ca_file = certificates_.ca_file()},
      {.certificate_file = certificates_.certificate_file(), .key_file = certificates_.key_file()});
  std::vector<std::byte> message_ = testing::pattern(256);
  std::vector<std::byte> space_ = std::vector<std::byte>(64 * 1024);
};

// OpenSSL 3.0 makes and frees one small header writer (40 bytes) for each TLS 1.3 record it opens
// and three for each it seals. That cannot be turned off; that it is no more is what is tested.
TEST_F(TlsAllocation, ARecordCostsNothingOfOursAndAFewSmallShortLivedOnesOfOpenssl) {
  counts.openssl_largest_bytes = 0;
  Counts spent_sending;
  Counts spent_receiving;
  const std::int64_t live_before = counts.openssl_live;
  bool good = true;
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    const Counts start = counts;
    good = send() && good;
    const Counts sent = counts;
    good = receive() && good;
    spent_sending.ours += sent.ours - start.ours;
    spent_sending.openssl += sent.openssl - start.openssl;
    spent_receiving.ours += counts.ours - sent.ours;
    spent_receiving.openssl += counts.openssl - sent.openssl;
  }
  const std::int64_t live_after = counts.openssl_live;
  ASSERT_TRUE(good);
  EXPECT_EQ(spent_receiving.ours, 0U);
  EXPECT_EQ(spent_sending.ours, 0U);
  EXPECT_LE(spent_receiving.openssl, kMessages);
  EXPECT_LE(spent_sending.openssl, 3 * kMessages);
  EXPECT_LE(counts.openssl_largest_bytes, 64U);
  EXPECT_EQ(live_after, live_before);
  RecordProperty("openssl_allocations_a_record_opened",
                 static_cast<int>(spent_receiving.openssl / kMessages));
  RecordProperty("openssl_allocations_a_record_sealed",
                 static_cast<int>(spent_sending.openssl / kMessages));
}

}  // namespace
}  // namespace feedbench::tls
