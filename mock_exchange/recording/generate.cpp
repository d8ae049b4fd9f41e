#include "mock_exchange/recording/generate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <numeric>
#include <vector>

#include "mock_exchange/recording/market_pulse.hpp"
#include "mock_exchange/recording/seeded_random.hpp"
#include "mock_exchange/recording/session_maker.hpp"

namespace feedbench::recording {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;
constexpr int kCalibrationEvents = 20'000;
constexpr std::uint64_t kCalibrationSeed = 0x5eed;

std::unique_ptr<SessionMaker> make_session(const GeneratorOptions& options, std::uint64_t seed) {
  return options.venue == venues::Venue::alpaca ? make_alpaca_session(options, seed)
                                                : make_binance_session(options, seed);
}

/// Numbers of frames of many events: taken from a session of its own, so that no formula has to follow the makers.
std::vector<double> frames_of_events(const GeneratorOptions& options) {
  const auto session = make_session(options, kCalibrationSeed);
  Batch batch(options.start_ns);
  std::vector<double> frames;
  for (int i = 0; i < kCalibrationEvents; ++i) {
    session->event(batch.last_ns(), batch);
    frames.push_back(static_cast<double>(batch.size()));
    batch.clear();
  }
  return frames;
}

Expected<void> flush(Batch& batch, std::int64_t end_ns, const FrameSink& sink) {
  for (std::size_t i = 0; i < batch.size() && batch[i].t_ns < end_ns; ++i) {
    if (auto done = sink(batch[i]); !done) return done;
  }
  batch.clear();
  return {};
}

/// Every frame's `conn` is the same; set where the frames are handed out.
FrameSink with_connection(const FrameSink& sink, std::string conn) {
  return [&sink, conn = std::move(conn), frame = Frame{}](const Frame& made) mutable {
    frame.t_ns = made.t_ns;
    frame.conn = conn;
    frame.data = made.data;
    return sink(frame);
  };
}

}  // namespace

std::string faults_of(const GeneratorOptions& options) {
  std::vector<std::string> faults;
  if (options.venue == venues::Venue::raw) faults.emplace_back("venue must be binance or alpaca");
  if (!(options.seconds > 0 && options.seconds <= 86'400)) {
    faults.emplace_back("seconds must be above 0 and at most 86400");
  }
  if (options.symbols < 1 || options.symbols > kGeneratedSymbolsMax) {
    faults.push_back(fmt::format("symbols must be 1 to {}", kGeneratedSymbolsMax));
  }
  if (!(options.rate_hz >= 1 && options.rate_hz <= 100'000)) {
    faults.emplace_back("rate must be 1 to 100000 frames a second");
  }
  if (!(options.zipf_exponent >= 0 && options.zipf_exponent <= 4)) {
    faults.emplace_back("zipf must be 0 to 4");
  }
  if (options.start_ns < 0 || options.start_ns > 4'000'000'000'000'000'000) {
    faults.emplace_back("start-ns must be 0 to 4e18");
  }
  return fmt::format("{}", fmt::join(faults, "; "));
}

Expected<void> generate(const GeneratorOptions& options, const FrameSink& sink) {
  if (const std::string faults = faults_of(options); !faults.empty()) {
    return tl::unexpected(Error{"generate: " + faults, 0});
  }
  const auto session = make_session(options, options.seed);
  const FrameSink out = with_connection(sink, session->connection());
  // The clock's frames are part of the rate asked for; what is left, and never less than a quarter, is the market's.
  const std::vector<double> weights = frames_of_events(options);
  const double per_event =
      std::accumulate(weights.begin(), weights.end(), 0.0) / kCalibrationEvents;
  const double market_hz = std::max(options.rate_hz - session->ticks_hz(), options.rate_hz / 4);
  MarketPulse pulse(market_hz / per_event, weights);
  SeededRandom random(options.seed ^ 0x70756c7365ULL);
  const auto length_ns = static_cast<std::int64_t>(options.seconds * kNanosecondsPerSecond);
  const std::int64_t end_ns = options.start_ns + length_ns;
  Batch batch(options.start_ns);
  for (;;) {
    const auto since_ns = static_cast<std::int64_t>(pulse.next(random) * kNanosecondsPerSecond);
    const std::int64_t t_ns = options.start_ns + since_ns / 100 * 100;
    while (session->next_tick_ns() <= std::min(t_ns, end_ns)) {
      session->tick(batch);
      if (auto done = flush(batch, end_ns, out); !done) return done;
    }
    if (t_ns >= end_ns || batch.last_ns() >= end_ns) return {};
    session->event(t_ns, batch);
    pulse.excite(static_cast<double>(batch.size()));
    if (auto done = flush(batch, end_ns, out); !done) return done;
  }
}

Expected<void> generate(const GeneratorOptions& options, RecordingWriter& writer) {
  return generate(options, [&writer](const Frame& frame) { return writer.write(frame); });
}

}  // namespace feedbench::recording
