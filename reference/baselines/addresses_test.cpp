#include "reference/baselines/addresses.hpp"

#include <gtest/gtest.h>

namespace feedbench::baselines {
namespace {

TEST(ParseEndpoint, TakesNumericHostsOfBothFamilies) {
  EXPECT_EQ(parse_endpoint("127.0.0.1:9443").value(), (transports::Endpoint{"127.0.0.1", 9443}));
  EXPECT_EQ(parse_endpoint("0.0.0.0:0").value(), (transports::Endpoint{"0.0.0.0", 0}));
  EXPECT_EQ(parse_endpoint("[::1]:65535").value(), (transports::Endpoint{"::1", 65535}));
}

TEST(ParseEndpoint, NamesTheTextAndTheFormExpectedWhenItIsNone) {
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:1x",
                           "127.0.0.1:65536", "127.0.0.1:-1", "localhost:1", "1.2.3:4", "[::1:5"}) {
    const auto parsed = parse_endpoint(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_NE(parsed.error().message.find('"' + std::string(text) + '"'), std::string::npos)
        << parsed.error().message;
    EXPECT_NE(parsed.error().message.find("HOST:PORT"), std::string::npos);
  }
}

TEST(Resolve, TakesANumericAddressAsItIsAndPrefersIpv4ForNames) {
  EXPECT_EQ(resolve("127.0.0.1", 80).value(), (transports::Endpoint{"127.0.0.1", 80}));
  EXPECT_EQ(resolve("::1", 80).value(), (transports::Endpoint{"::1", 80}));
  EXPECT_EQ(resolve("localhost", 80).value(), (transports::Endpoint{"127.0.0.1", 80}));
}

TEST(Resolve, NamesTheHostThatCannotBeFound) {
  const auto resolved = resolve("no.such.host.invalid", 80);
  ASSERT_FALSE(resolved.has_value());
  EXPECT_NE(resolved.error().message.find("no.such.host.invalid"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::baselines
