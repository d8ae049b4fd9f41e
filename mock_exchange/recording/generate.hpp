#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "mock_exchange/recording/frame.hpp"
#include "mock_exchange/recording/recording_writer.hpp"
#include "reference/venues/venue.hpp"
#include "transports/transport.hpp"

namespace feedbench::recording {

/// What to make. The same options give the same bytes on every machine.
struct GeneratorOptions {
  venues::Venue venue = venues::Venue::binance;  ///< binance or alpaca.
  double seconds = 30;                           ///< Length of the session, > 0 and <= 86,400.
  std::uint32_t symbols = 2;                     ///< 1 to 32; their shares follow a Zipf law.
  double rate_hz = 275;        ///< Mean frames a second, 1 to 100,000. Bursts go far beyond it.
  double zipf_exponent = 0.7;  ///< Skew of the symbols, 0 to 4.
  std::uint64_t seed = 1;
  std::int64_t start_ns =
      1'767'365'985'000'000'000;  ///< Time of the first frame: 2026-01-02 14:59:45 UTC.
};

/// All faults of the options, one sentence each, joined by "; "; empty if there is none.
std::string faults_of(const GeneratorOptions& options);

using FrameSink = std::function<Expected<void>(const Frame&)>;

/// Gives the session frame by frame, in order of time. errors: the options are faulty; what the
/// sink says.
Expected<void> generate(const GeneratorOptions& options, const FrameSink& sink);
/// Writes the session; the caller closes the writer.
Expected<void> generate(const GeneratorOptions& options, RecordingWriter& writer);

}  // namespace feedbench::recording
