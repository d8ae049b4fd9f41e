#include "reference/monitor/options.hpp"

#include <gtest/gtest.h>

namespace feedbench::monitor {
namespace {

using std::chrono::milliseconds;

TEST(TopOptions, AnIntervalHasAUnitOrIsInSeconds) {
  EXPECT_EQ(parse_interval("250ms"), milliseconds(250));
  EXPECT_EQ(parse_interval("1s"), milliseconds(1000));
  EXPECT_EQ(parse_interval("0.5"), milliseconds(500));
  EXPECT_EQ(parse_interval("2m"), milliseconds(120'000));
  EXPECT_EQ(parse_interval("100ms"), milliseconds(100));
  EXPECT_EQ(parse_interval("60m"), milliseconds(3'600'000));
}

TEST(TopOptions, AnIntervalThatIsNoneIsRefusedWithItsText) {
  for (const char* const text :
       {"", "s", "1h", "1 s", "-1s", "0", "99ms", "61m", "nan", "inf", "1e400", "1ss", "0x10"}) {
    const auto interval = parse_interval(text);
    ASSERT_FALSE(interval) << text;
    EXPECT_NE(interval.error().message.find(std::string("--interval ") + text), std::string::npos)
        << interval.error().message;
  }
}

TEST(TopOptions, AreReadFromTheCommandLine) {
  const char* const words[] = {"top", "--local-socket", "/run/x.sock", "--interval",
                               "2s",  "--once",         "--json"};
  const auto options = parse_top_options(std::size(words), words);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->path, "/run/x.sock");
  EXPECT_EQ(options->interval, milliseconds(2000));
  EXPECT_TRUE(options->once);
  EXPECT_TRUE(options->json);
  EXPECT_FALSE(options->plain);
}

TEST(TopOptions, WhatIsNotKnownIsNamed) {
  const char* const words[] = {"top", "--upstream", "ws://x/"};
  const auto options = parse_top_options(std::size(words), words);
  ASSERT_FALSE(options);
  EXPECT_NE(options.error().message.find("feedproxy top --help"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::monitor
