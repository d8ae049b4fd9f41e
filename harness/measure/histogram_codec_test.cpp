#include "harness/measure/histogram_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "harness/measure/base64.hpp"
#include "harness/measure/bootstrap.hpp"

namespace feedbench::measure {
namespace {

/// Encodings that the test suites of other implementations of the format publish (JavaScript, Go,
/// Vala, Rust), and what those implementations read out of them.
struct Published {
  const char* name;
  const char* base64;
  HistogramRange range;
  std::uint64_t count;
  double mean;
  std::int64_t p50, p90, p99, p999;
};

// clang-format off
const Published kPublished[] = {
    {"one value of 42", "HISTFAAAAB542pNpmSzMwMDAxAABzFCaEUoz2X+AMIKZAEARAtM=",
     {1, 2, 3}, 1, 42.0, 42, 42, 42, 42},
    {"empty", "HISTFAAAABl4nJNpmSzMgADMUFoEyn1h/wHCAgBDogN4",
     {20, 1000, 3}, 0, 0.0, 0, 0, 0, 0},
    {"100, 200, 250", "HISTFAAAACV4nJNpmSzMwMDAwQABzFCaEUrp2H+AsI4zMh1lZEpkAgBdIQSk",
     {1, 300, 3}, 3, 550.0 / 3, 200, 250, 250, 250},
    {"two digits, five values",
     "HISTFAAAACh4nJNpmSzMwMDAwQABTFCaEURcm7yEwf4DROArF1M1230WJgCDWQb1",
     {1, 3'600'000'000, 2}, 5, 7395.2, 4015, 22015, 22015, 22015},
    {"first interval of a jHiccup log",
     "HISTFAAAAEV42pNpmSzMwMCgyAABTBDKT4GBgdnNYMcCBvsPEBEJISEuATEZMQ4uASkhIR4nrxg9v2lMaxhvMekILGZkKmcCAEf2CsI=",
     {20'000, 3'600'000'000'000, 2}, 741, 301998.4669365722, 344063, 376831, 409599, 2768895},
    {"a stalled interval of a jHiccup log",
     "HISTFAAAAJV42pNpmSzMwMDUwAABTBDKT4GBgdnNYMcCBvsPEBEWLi4eNkY2PiYOPhYOLgGOLuZjTGLrGZnKgTCYyZrJEoh1mWSZpMFQFkpy"
     "M/GCMTKJzOdkYoVCZjgLmc1MhDwzEyMQggl0SH1BbEJIgIUJC2AhUoxchSwsLGwsMIBgYRUkQyFBaQ4g4EIl0PlcpKtB4wMAh5wT+Q==",
     {20'000, 3'600'000'000'000, 2}, 1397, 330182283.6363636, 262143999, 822083583, 947912703, 960495615},
    {"two values, plain form without padding",
     "HISTEwAAAAYAAAAAAAAAAwAAAAAAAAABAAAAAAAAD/8/8AAAAAAAAP8VAqkTAg",
     {1, 4095, 3}, 2, 2326.5, 1408, 3245, 3245, 3245},
};
// clang-format on

TEST(HistogramCodec, ReadsPublishedEncodingsAsTheirPublishersDo) {
  for (const Published& published : kPublished) {
    SCOPED_TRACE(published.name);
    const Histogram histogram = decode_v2_base64(published.base64);
    EXPECT_EQ(histogram.range(), published.range);
    EXPECT_EQ(histogram.count(), published.count);
    EXPECT_NEAR(histogram.mean(), published.mean, published.mean * 1e-12);
    EXPECT_EQ(histogram.value_at_percentile(50), published.p50);
    EXPECT_EQ(histogram.value_at_percentile(90), published.p90);
    EXPECT_EQ(histogram.value_at_percentile(99), published.p99);
    EXPECT_EQ(histogram.value_at_percentile(99.9), published.p999);
  }
}

TEST(HistogramCodec, WritesWhatItReadByteForByte) {
  for (const Published& published : kPublished) {
    if (published.count == 0) continue;  // written with one zero count, published with none
    SCOPED_TRACE(published.name);
    const std::vector<std::byte> bytes = *base64_decode(published.base64);
    const Histogram histogram = decode_v2(bytes);
    const std::vector<std::byte> plain = encode_v2(histogram);
    EXPECT_EQ(decode_v2(plain), histogram);
    if (bytes[3] == std::byte{0x13}) {
      EXPECT_EQ(plain, bytes);
    }
  }
}

TEST(HistogramCodec, WritesThePublishedEncodingOfThreeValues) {
  Histogram histogram({1, 300, 3});
  for (const int value : {100, 200, 250}) histogram.record(value);
  EXPECT_EQ(base64_encode(encode_v2(histogram)),
            "HISTEwAAAAgAAAAAAAAAAwAAAAAAAAABAAAAAAAAASw/8AAAAAAAAMcBAsUBAmEC");
}

/// A histogram whose counts and gaps take every length of the variable-length encoding.
Histogram random_histogram(SplitMix64& random) {
  Histogram histogram({std::int64_t{1} << random.below(12),
                       std::int64_t{1} << (20 + random.below(30)),
                       static_cast<int>(1 + random.below(4))});
  const std::uint64_t values = random.below(200);
  for (std::uint64_t i = 0; i < values; ++i) {
    const auto value = static_cast<std::int64_t>(random.next() >> (14 + random.below(50)));
    histogram.record(value, (random.next() >> (2 + random.below(62))) & 0x3fff'ffff'ffff);
  }
  return histogram;
}

TEST(HistogramCodec, RoundTripsAnyCountsThroughBothForms) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    SplitMix64 random(seed);
    const Histogram histogram = random_histogram(random);
    for (const Histogram& back :
         {decode_v2(encode_v2(histogram)), decode_v2_base64(encode_v2_base64(histogram))}) {
      ASSERT_EQ(back.bucket_count(), histogram.bucket_count());
      ASSERT_TRUE(std::ranges::equal(back.counts(), histogram.counts()));
      ASSERT_EQ(back.range(), histogram.range());
    }
  }
}

TEST(HistogramCodec, CarriesCountsOfNineBytes) {
  Histogram histogram({1, 1000, 3});
  histogram.record(7, (std::uint64_t{1} << 62) + 12345);
  histogram.record(9, 1);
  EXPECT_EQ(decode_v2_base64(encode_v2_base64(histogram)), histogram);
}

std::string error_of(std::string_view text) {
  try {
    static_cast<void>(decode_v2_base64(text));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(HistogramCodec, RefusesWhatIsNotV2WithOneSentence) {
  // V1, as published; a header shifted by one count; a range above 2^63 - 1.
  EXPECT_EQ(error_of("HISTIgAAAFd42pNpmazIwMAYxgABTBDKT4GBgdnNYMcCBvsPUBkeBkYGZqA8MwMbAzsDC5DFBCTZg"
                     "JCDQY1BjkGLQZRB"
                     "lUEPCB8zWDCYMxgDZZkZhgJgHDibAY8JB/A="),
            "histogram: its encoding is not HdrHistogram V2");
  EXPECT_EQ(error_of("HISTFAAAAB94nJNpmSzMwMDABMSMQMzMAAGMUJoJxg9mAgA1TQGm"),
            "histogram: its encoding is shifted (normalizing offset), which is not supported");
  EXPECT_EQ(error_of("HISTEwAAAAMAAAAAAAAAAwAAAAAAAAAB//////////8/8AAAAAAAAM8PAg=="),
            "histogram: its encoding gives a range that makes no sense");
  EXPECT_EQ(error_of("not base64!"), "histogram: its encoding is not base64");
  EXPECT_EQ(error_of(""), "histogram: its encoding ends inside the header");
}

TEST(HistogramCodec, SurvivesEveryTruncationAndEveryFlippedByte) {
  Histogram histogram({1, 1'000'000, 2});
  for (int i = 0; i < 300; ++i) histogram.record(i * i);
  const std::vector<std::byte> plain = encode_v2(histogram);
  const std::vector<std::byte> deflated = *base64_decode(encode_v2_base64(histogram));
  for (const std::vector<std::byte>& whole : {plain, deflated}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_THROW(static_cast<void>(decode_v2(std::span(whole).first(length))), std::runtime_error)
          << length;
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xff}) {
        std::vector<std::byte> spoiled = whole;
        spoiled[at] ^= static_cast<std::byte>(flip);
        try {
          static_cast<void>(decode_v2(spoiled));
        } catch (const std::runtime_error&) {  // a sentence, or a histogram of other counts: never
                                               // a crash
        }
      }
    }
  }
}

TEST(Base64, RoundTripsEveryLengthAndRefusesStrayCharacters) {
  SplitMix64 random(3);
  for (std::size_t length = 0; length < 70; ++length) {
    std::vector<std::byte> bytes(length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    const std::string text = base64_encode(bytes);
    EXPECT_EQ(text.size() % 4, 0U);
    EXPECT_EQ(base64_decode(text), bytes);
    EXPECT_EQ(base64_decode(text.substr(0, text.find('='))), bytes);
  }
  EXPECT_EQ(base64_decode("AA A"), std::nullopt);
  EXPECT_EQ(base64_decode("A"), std::nullopt);
  EXPECT_EQ(base64_decode("====="), std::nullopt);
}

}  // namespace
}  // namespace feedbench::measure
