// How much one exchange pushes to one reader, flat out: it must not be what a fan-out measurement measures.
// A thread of its own reads and discards, so on two cores writer and reader have one each.

#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <optional>
#include <thread>

#include "mock_exchange/exchange.hpp"
#include "mock_exchange/testing/raw_client.hpp"

namespace feedbench::mock_exchange {
namespace {

constexpr std::size_t kBytesPerRound = 256U << 20U;

/// Reads everything and compares it with what the exchange ought to send.
class Reader {
 public:
  Reader(const transports::Endpoint& endpoint, const PreparedSession& session)
      : client_(endpoint), session_(session) {
    client_.upgrade();
    thread_ = std::thread([this] { run(); });
  }
  ~Reader() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool all_equal() const { return equal_; }

 private:
  void run() {
    std::vector<std::byte> chunk(1U << 20U);
    std::size_t head_left = 4;  // bytes of the blank line that ends the head
    while (!stop_) {
      const ssize_t got = ::recv(client_.descriptor(), chunk.data(), chunk.size(), MSG_DONTWAIT);
      if (got <= 0) continue;
      std::span<const std::byte> rest(chunk.data(), static_cast<std::size_t>(got));
      for (; head_left > 0 && !rest.empty(); rest = rest.subspan(1)) {
        const char expected = "\r\n\r\n"[4 - head_left];
        head_left = static_cast<char>(rest[0]) == expected ? head_left - 1 : 4;
      }
      compare(rest);
    }
  }
  void compare(std::span<const std::byte> rest) {
    std::uint64_t at = bytes();
    while (!rest.empty()) {
      const auto expected = session_.bytes_at(at);
      const std::size_t step = std::min(expected.size(), rest.size());
      if (std::memcmp(rest.data(), expected.data(), step) != 0) equal_ = false;
      at += step;
      rest = rest.subspan(step);
    }
    bytes_.store(at, std::memory_order_relaxed);
  }

  testing::RawClient client_;
  const PreparedSession& session_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> equal_{true};
  std::thread thread_;
};

void push(benchmark::State& state, bool logged) {
  const auto payload_bytes = static_cast<std::size_t>(state.range(0));
  const auto session = synthetic_session(payload_bytes, (16U << 20U) / payload_bytes, 1);
  boost::asio::io_context io;
  std::optional<SendLogWriter> log;
  ExchangeOptions options;
  options.session = session;
  options.pace.kind = Pace::Kind::max;
  options.loops = kLoopForever;
  options.start = Start::shared;
  options.tsc_hz = 1e9;
  if (logged) {
    log = SendLogWriter::create(1U << 20U).value();
    options.send_log = &*log;
  }
  const auto exchange = Exchange::create(io, options).value();
  Reader reader(exchange->endpoint(), *session);
  const auto turn = [&] {
    io.poll();
    exchange->pump();
  };
  while (exchange->sessions_ready() == 0) turn();
  exchange->start(transports::TscInstant::now());
  while (reader.bytes() < kBytesPerRound / 4) turn();  // warm

  const std::uint64_t frames_before = exchange->counters().frames_sent;
  const std::uint64_t bytes_before = reader.bytes();
  for ([[maybe_unused]] auto round : state) {
    const std::uint64_t until = reader.bytes() + kBytesPerRound;
    while (reader.bytes() < until) turn();
  }
  if (!reader.all_equal()) state.SkipWithError("the reader got other bytes than were prepared");
  state.SetBytesProcessed(static_cast<std::int64_t>(reader.bytes() - bytes_before));
  state.SetItemsProcessed(
      static_cast<std::int64_t>(exchange->counters().frames_sent - frames_before));
}

void BM_exchange_push(benchmark::State& state) { push(state, false); }
void BM_exchange_push_logged(benchmark::State& state) { push(state, true); }
BENCHMARK(BM_exchange_push)
    ->Name("BM_exchange/push/plain")
    ->Arg(128)
    ->Arg(1024)
    ->UseRealTime()
    ->Iterations(8);
BENCHMARK(BM_exchange_push_logged)
    ->Name("BM_exchange/push/logged")
    ->Arg(128)
    ->Arg(1024)
    ->UseRealTime()
    ->Iterations(8);

/// What a spinning driver pays while nothing is due.
void BM_exchange_pump_idle(benchmark::State& state) {
  boost::asio::io_context io;
  ExchangeOptions options;
  options.session = synthetic_session(128, 10, 1);
  options.tsc_hz = 1e9;
  const auto exchange = Exchange::create(io, options).value();
  exchange->pump();
  for ([[maybe_unused]] auto round : state) exchange->pump();
}
BENCHMARK(BM_exchange_pump_idle)->Name("BM_exchange/pump/idle");

}  // namespace
}  // namespace feedbench::mock_exchange
