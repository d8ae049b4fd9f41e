#include "mock_exchange/fault.hpp"

#include <gtest/gtest.h>

namespace feedbench::mock_exchange {
namespace {

TEST(Fault, ReadsEveryForm) {
  EXPECT_EQ(parse_fault("close-mid-frame:10").value(),
            (Fault{Fault::Kind::close_mid_frame, 10, 0, false}));
  EXPECT_EQ(parse_fault("reset:0").value(), (Fault{Fault::Kind::reset, 0, 0, false}));
  EXPECT_EQ(parse_fault("rst:7:every").value(), (Fault{Fault::Kind::reset, 7, 0, true}));
  EXPECT_EQ(parse_fault("stall:5:250ms").value(),
            (Fault{Fault::Kind::stall, 5, 250'000'000, false}));
  EXPECT_EQ(parse_fault("stall:5:1.5s").value().duration_ns, 1'500'000'000);
  EXPECT_EQ(parse_fault("stall:5:20us:every").value().duration_ns, 20'000);
  EXPECT_EQ(parse_fault("refuse-auth").value().kind, Fault::Kind::refuse_auth);
}

TEST(Fault, WritesWhatItReads) {
  for (const char* text :
       {"close-mid-frame:10", "reset:3:every", "stall:5:250000us", "refuse-auth"}) {
    EXPECT_EQ(to_string(parse_fault(text).value()), text);
  }
}

TEST(Fault, RefusesWhatItDoesNotUnderstandByName) {
  for (const char* text : {"", "explode", "reset", "reset:", "reset:-1", "reset:1x", "reset:1:2",
                           "stall:5", "stall:5:250", "stall:5:-1ms", "stall:5:0ms", "stall:5:ms",
                           "stall:5:1h", "refuse-auth:1", "reset:1:every:every"}) {
    const auto fault = parse_fault(text);
    ASSERT_FALSE(fault) << text;
    EXPECT_NE(fault.error().message.find(std::string("'") + text + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace feedbench::mock_exchange
