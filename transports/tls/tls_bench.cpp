// What one TLS record costs on top of its cipher. The answer is checked before it is timed.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <memory>
#include <vector>

#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/testing/session_pair.hpp"

namespace feedbench::tls {
namespace {

constexpr std::size_t kRecords = 64;  // to one feed(), as a busy connection brings them

struct Rig {
  testing::TestCertificates certificates{};
  testing::SessionPair pair = testing::make_pair(
      {.server_name = "localhost", .ca_file = certificates.ca_file()},
      {.certificate_file = certificates.certificate_file(), .key_file = certificates.key_file()});
  std::vector<std::byte> message;
  std::vector<std::byte> space;

  explicit Rig(std::size_t bytes) : message(testing::pattern(bytes)), space(kRecords * bytes + 1) {}

  bool write() {
    bool good = true;
    for (std::size_t i = 0; i < kRecords; ++i)
      good = pair.server.write(message).bytes == message.size() && good;
    return good;
  }
  bool read() {
    const auto output = pair.server.output();
    pair.client.feed(output);
    const TlsRead got = pair.client.read(space);
    pair.server.consume_output(output.size());
    return got.bytes == kRecords * message.size();
  }
  bool answers_rightly() {
    if (!pair.shake_hands() || !write() || !read()) return false;
    for (std::size_t i = 0; i < kRecords; ++i) {
      if (!std::equal(message.begin(), message.end(),
                      space.begin() + static_cast<std::ptrdiff_t>(i * message.size()))) {
        return false;
      }
    }
    return true;
  }
};

void records(benchmark::State& state, bool reading) {
  Rig rig(static_cast<std::size_t>(state.range(0)));
  if (!rig.answers_rightly()) return state.SkipWithError("the session alters bytes");
  bool good = true;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    good = rig.write() && good;
    const auto written = std::chrono::steady_clock::now();
    good = rig.read() && good;
    const auto read = std::chrono::steady_clock::now();
    state.SetIterationTime(
        std::chrono::duration<double>(reading ? read - written : written - start).count() /
        static_cast<double>(kRecords));
  }
  if (!good) state.SkipWithError("bytes were lost");
}

// The floor: AES-128-GCM over the same bytes, through the same library.
void cipher(benchmark::State& state) {
  const auto bytes = static_cast<int>(state.range(0));
  const std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>> context(EVP_CIPHER_CTX_new());
  const std::array<unsigned char, 16> key{1};
  std::array<unsigned char, 12> nonce{2};
  std::vector<unsigned char> plain(static_cast<std::size_t>(bytes), 3);
  std::vector<unsigned char> sealed(plain.size() + 16);
  EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(), nonce.data());
  int put = 0;
  if (EVP_EncryptUpdate(context.get(), sealed.data(), &put, plain.data(), bytes) != 1 ||
      put != bytes) {
    return state.SkipWithError("no AES-128-GCM");
  }
  for (auto _ : state) {
    EVP_EncryptInit_ex(context.get(), nullptr, nullptr, nullptr, nonce.data());
    EVP_EncryptUpdate(context.get(), sealed.data(), &put, plain.data(), bytes);
    EVP_EncryptFinal_ex(context.get(), sealed.data() + put, &put);
    ++nonce[0];
    benchmark::ClobberMemory();
  }
}

void BM_read(benchmark::State& state) { records(state, true); }
void BM_write(benchmark::State& state) { records(state, false); }

BENCHMARK(BM_read)
    ->Name("BM_tls/read/record")
    ->Arg(128)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(16000)
    ->UseManualTime();
BENCHMARK(BM_write)
    ->Name("BM_tls/write/record")
    ->Arg(128)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(16000)
    ->UseManualTime();
BENCHMARK(cipher)->Name("BM_tls/cipher/aes128gcm")->Arg(128)->Arg(256)->Arg(1024)->Arg(16000);

}  // namespace
}  // namespace feedbench::tls
