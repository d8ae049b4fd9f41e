#include "reference/proxy/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace feedbench::proxy {
namespace {

using ::testing::HasSubstr;

transports::Expected<CommandLine> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "feedproxy");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

constexpr const char* kUpstream = "--upstream=ws://127.0.0.1:1/x";

TEST(ProxyConfig, FlagsReachTheirMembers) {
  const auto line =
      parse({kUpstream, "--listen", "[::1]:9002", "--transport", "io_uring", "--wait", "spin",
             "--ring-bytes", "1048576", "--client-lag-max-bytes", "524288", "--message-max-bytes",
             "4096", "--stamps", "off", "--venue", "binance", "--subscribe", "a@trade,b@depth"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->config.listen, (transports::Endpoint{"::1", 9002}));
  EXPECT_EQ(line->config.transport, "io_uring");
  EXPECT_EQ(line->config.wait, transports::Wait::spin);
  EXPECT_EQ(line->config.ring_bytes, 1048576u);
  EXPECT_FALSE(line->config.stamps);
  EXPECT_EQ(line->config.subscribe, (std::vector<std::string>{"a@trade", "b@depth"}));
}

TEST(ProxyConfig, OptionsOfIoUringAreCheckedAtTheStart) {
  const auto fault = [](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    return line ? std::string("accepted") : line.error().message;
  };
  EXPECT_EQ(fault({kUpstream, "--transport", "io_uring", "--io-uring",
                   "registered_files,zero_copy=65536", "--busy-poll-us", "50"}),
            "accepted");
  EXPECT_THAT(fault({kUpstream, "--transport", "io_uring", "--io-uring", "bundles"}),
              HasSubstr("--io-uring bundles: there is no such option"));
  EXPECT_THAT(fault({kUpstream, "--io-uring", "receive_bundles"}),
              HasSubstr("without --transport io_uring does nothing"));
  EXPECT_THAT(fault({kUpstream, "--transport", "select", "--busy-poll-us", "50"}),
              HasSubstr("--busy-poll-us: select cannot"));
  EXPECT_THAT(fault({kUpstream, "--busy-poll-us", "1000001"}), HasSubstr("at most 1000000"));
}

TEST(ProxyConfig, WhatWouldDoNothingIsRefused) {
  const auto fault = [](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    return line ? std::string("accepted") : line.error().message;
  };
  EXPECT_EQ(fault({"--upstream=ws://127.0.0.1:1/", "--ca", "a.pem"}),
            "--ca does nothing: a ws:// upstream shows no certificate");
  EXPECT_EQ(fault({kUpstream, "--xdp-queue", "1"}),
            "--xdp-queue without --transport xdp does nothing");
  EXPECT_EQ(fault({kUpstream, "--listen-client-ca", ""}),
            "--listen-client-ca: is empty; leave it out for the default");
}

TEST(ProxyConfig, PrintedConfigurationReadsBackAsItself) {
  ProxyConfig config;
  config.upstream = "wss://example.org:9443/stream?streams=a@trade/b";
  config.subscribe = {"x", "y@z"};
  config.wait = transports::Wait::spin;
  config.listen = {"::1", 7};
  config.stamps = false;
  const std::string yaml = to_yaml(config);
  ProxyConfig read;
  ASSERT_TRUE(apply_yaml(read, yaml, "printed"));
  EXPECT_EQ(to_yaml(read), yaml);
  EXPECT_EQ(read.listen, config.listen);
  EXPECT_EQ(read.subscribe, config.subscribe);
}

TEST(ProxyConfig, AnUnknownKeyIsNamedWithItsPlaceAndTheNearestOne) {
  ProxyConfig config;
  const auto applied = apply_yaml(config, "venue: raw\nring_byte: 4096\n", "proxy.yaml");
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().message,
            "proxy.yaml:2:1: unknown key 'ring_byte' (did you mean 'ring_bytes'?)");
}

TEST(ProxyConfig, ListsAllFaultsOfAFileAtOnce) {
  ProxyConfig config;
  const auto applied = apply_yaml(config, "wait: sleep\nclients_max: many\nlisten: nowhere\n", "f");
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message, HasSubstr("f:1:1: wait: 'sleep' is neither spin nor block"));
  EXPECT_THAT(applied.error().message, HasSubstr("f:2:1: clients_max: 'many'"));
  EXPECT_THAT(applied.error().message, HasSubstr("f:3:1: listen: 'nowhere' is not ADDRESS:PORT"));
}

TEST(ProxyConfig, ABrokenFileSaysWhere) {
  ProxyConfig config;
  const auto applied = apply_yaml(config, "venue: [raw\n", "f");
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message, HasSubstr("f:2:"));
  EXPECT_FALSE(apply_yaml(config, "just text", "f"));
  EXPECT_FALSE(apply_yaml(config, "venue: {a: b}", "f"));
  EXPECT_TRUE(apply_yaml(config, "", "f"));
}

TEST(ProxyConfig, TakesNothingSilentlyThatItDoesNotUse) {
  const auto fault = [](const std::string& yaml) {
    ProxyConfig config;
    const auto applied = apply_yaml(config, yaml, "f");
    return applied ? std::string("accepted") : applied.error().message;
  };
  EXPECT_EQ(fault("clients_max: 3\nclients_max: 5\n"), "f:2:1: clients_max: given twice");
  EXPECT_EQ(fault("venue: [raw]\n"), "f:1:1: venue: expected a value, found a list");
  EXPECT_EQ(fault("subscribe: [[a], b]\n"), "f:1:1: subscribe: expected a list of values");
  EXPECT_EQ(fault("subscribe: &a [*a]\n"), "f:1:1: subscribe: expected a list of values");
  EXPECT_EQ(fault("venue: raw\n---\nvenue: raw\n"), "f: expected one document, found several");
  EXPECT_EQ(fault("subscribe: [a, b]\n"), "accepted");
}

TEST(ProxyConfig, RefusesWhatCannotBe) {
  const auto fault = [](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    return line ? std::string("accepted") : line.error().message;
  };
  EXPECT_THAT(fault({}), HasSubstr("--upstream is missing"));
  EXPECT_THAT(fault({"--upstream", "http://x/"}), HasSubstr("http://x/"));
  EXPECT_THAT(fault({kUpstream, "--transport", "epol"}), HasSubstr("did you mean 'epoll'?"));
  EXPECT_THAT(fault({kUpstream, "--venue", "kraken"}), HasSubstr("known: raw binance alpaca"));
  EXPECT_THAT(fault({kUpstream, "--ring-bytes", "100000"}), HasSubstr("power of two"));
  EXPECT_THAT(fault({kUpstream, "--client-lag-max-bytes", "16777216"}),
              HasSubstr("half of --ring-bytes"));
  EXPECT_THAT(fault({kUpstream, "--clients-max", "0"}), HasSubstr("--clients-max 0"));
  EXPECT_THAT(fault({kUpstream, "--clients-max", "-1"}), HasSubstr("not a whole number"));
  EXPECT_THAT(fault({kUpstream, "--nonsense"}), HasSubstr("--nonsense"));
  EXPECT_THAT(fault({kUpstream, "--config", "/nowhere.yaml"}), HasSubstr("/nowhere.yaml"));
  EXPECT_THAT(fault({kUpstream, "--config", ""}), HasSubstr("cannot be opened"));
  EXPECT_THAT(fault({kUpstream, "--config", "/"}), HasSubstr("cannot be read"));
  EXPECT_THAT(fault({kUpstream, "--config", "/dev/zero"}), HasSubstr("longer than 1 MiB"));
  EXPECT_THAT(fault({kUpstream, "--ring-bytes", "4294967296"}), HasSubstr("2147483648"));
  EXPECT_THAT(fault({kUpstream, "--index-lines", "134217728"}), HasSubstr("67108864"));
  EXPECT_THAT(fault({kUpstream, "--cpu", "-2"}), HasSubstr("--cpu -2"));
  EXPECT_THAT(fault({kUpstream, "--client-handshake-timeout-ms", "0"}), HasSubstr("at least 1"));
  EXPECT_THAT(fault({kUpstream, "--upstream-open-timeout-ms", "0"}), HasSubstr("at least 1"));
}

TEST(ProxyConfig, RefusesWhatWouldDoNothing) {
  const auto fault = [](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    return line ? std::string("accepted") : line.error().message;
  };
  EXPECT_THAT(fault({kUpstream, "--subscribe", "x"}), HasSubstr("--venue binance"));
  EXPECT_THAT(fault({kUpstream, "--venue", "raw", "--subscribe", "x"}), HasSubstr("--subscribe"));
  EXPECT_EQ(fault({kUpstream, "--venue", "binance", "--subscribe", "x"}), "accepted");
  EXPECT_THAT(fault({"--local-socket", "default", "--subscribe", "x"}),
              HasSubstr("--subscribe without --upstream"));
  EXPECT_THAT(fault({"--local-socket", "default", "--venue", "alpaca"}),
              HasSubstr("--venue without --upstream"));
  EXPECT_THAT(fault({"--local-socket", "default", "--allow-open", "ws://a,ftp://x"}),
              HasSubstr("--allow-open ftp://x"));
  EXPECT_THAT(fault({kUpstream, "--allow-open", "ws://a"}), HasSubstr("--local-socket"));
  EXPECT_EQ(fault({"--local-socket", "default", "--allow-open", "wss://,ws://a"}), "accepted");
}

TEST(ProxyConfig, CertificatesComeWithTheirKeysAndWhereTheyAreShown) {
  const auto fault = [](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    return line ? std::string("accepted") : line.error().message;
  };
  constexpr const char* kSecure = "--upstream=wss://127.0.0.1:1/x";
  EXPECT_EQ(fault({kSecure, "--client-certificate", "c"}),
            "--client-certificate and --client-key go together: both to show a certificate to the "
            "upstream, neither to show none");
  EXPECT_THAT(fault({kSecure, "--client-key", "k"}), HasSubstr("--client-certificate and"));
  EXPECT_EQ(fault({kUpstream, "--client-certificate", "c", "--client-key", "k"}),
            "--client-certificate does nothing: a ws:// upstream never sees a certificate");
  EXPECT_EQ(fault({kSecure, "--client-certificate", "c", "--client-key", "k"}), "accepted");
  EXPECT_EQ(fault({"--local-socket", "default", "--client-certificate", "c", "--client-key", "k"}),
            "accepted");
  EXPECT_THAT(fault({kUpstream, "--listen-key", "k"}), HasSubstr("--listen-certificate and"));
  EXPECT_EQ(fault({kUpstream, "--listen-client-ca", "a"}),
            "--listen-client-ca without --listen-certificate does nothing: only wss:// clients can "
            "show a certificate");
  const auto line = parse(
      {kUpstream, "--listen-client-ca", "a", "--listen-certificate", "c", "--listen-key", "k"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->config.listen_client_ca, "a");
  EXPECT_THAT(fault({kUpstream, "--ktls", "on"}), HasSubstr("--ktls without"));
}

TEST(ProxyConfig, TheVenueIsTheOneOfTheHostUnlessItIsSaid) {
  ProxyConfig config;
  config.upstream = "wss://stream.data.alpaca.markets/v2/iex";
  EXPECT_EQ(venue_of(config), venues::Venue::alpaca);
  EXPECT_THAT(missing_credentials(config, {}), HasSubstr("FEEDPROXY_KEY and FEEDPROXY_SECRET"));
  EXPECT_THAT(missing_credentials(config, {"key", ""}), HasSubstr("--secret-env"));
  EXPECT_EQ(missing_credentials(config, {"key", "secret"}), "");
  config.venue = "raw";
  EXPECT_EQ(venue_of(config), venues::Venue::raw);
  EXPECT_EQ(missing_credentials(config, {}), "");
  config = ProxyConfig();
  config.upstream = "ws://127.0.0.1/";
  EXPECT_EQ(venue_of(config), venues::Venue::raw);
}

TEST(ProxyConfig, SaysTheCauseAndNotWhatFollowsFromIt) {
  const auto line = parse({kUpstream, "--ring-bytes", "1000"});
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().message,
            "--ring-bytes 1000: must be a power of two from 65536 to 2147483648");
  const auto message = parse({kUpstream, "--message-max-bytes", "0"});
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message.find('\n'), std::string::npos) << message.error().message;
  const auto two = parse({kUpstream, "--venue", "kraken", "--transport", "pigeon"});
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().message, HasSubstr("--venue: unknown venue 'kraken'"));
  EXPECT_THAT(two.error().message, HasSubstr("--transport: unknown transport 'pigeon'"));
}

TEST(ProxyConfig, NeverPrintsAPasswordOfTheUrl) {
  const auto line = parse({"--upstream", "wss://me:unmistakable@venue.example/"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("passwords are not supported"));
  EXPECT_THAT(line.error().message, Not(HasSubstr("unmistakable")));
}

TEST(ProxyConfig, ListensBeyondLoopbackOnlyWhenTold) {
  const auto refused = parse({kUpstream, "--listen", "0.0.0.0:9001"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("--allow-remote"));
  EXPECT_TRUE(parse({kUpstream, "--listen", "0.0.0.0:9001", "--allow-remote", "on"}));
}

}  // namespace
}  // namespace feedbench::proxy
