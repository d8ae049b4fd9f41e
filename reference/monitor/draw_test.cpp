#include "reference/monitor/draw.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

namespace feedbench::monitor {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

StageRow stage_row_of(std::uint64_t sampled) {
  StageRow row;
  row.sampled = sampled;
  row.published = 6 * sampled;
  row.span_ns = sampled < 1000 ? 12 * kSecondNs : kSecondNs;
  std::int64_t ns = 40;
  for (Quantiles& each : row.intervals) {
    each.p50_ns = ns;
    if (sampled >= 1000) each.p99_ns = ns * 9;
    each.count = sampled;
    ns = ns * 7 / 2;
  }
  return row;
}

FeedRow feed_row_of(std::uint64_t number, const std::string& url) {
  FeedRow row;
  row.status = {number, url, "binance",         "live", 2, 3, 1'234'567, 987'654'321,
                2,      1,   "connection reset"};
  row.messages_per_s = 12'345.6;
  row.bytes_per_s = 3'456'789;
  row.stages = stage_row_of(20'000);
  return row;
}

ClientRow client_row_of(const std::string& name, std::uint64_t lag) {
  ClientRow row;
  row.id = 7;
  row.name = name;
  row.pid = 12'346;
  row.waiting = "futex";
  row.feed = 1;
  row.cursor = CursorStatus{1, 1'234'567 - lag, 1'234'000, 0};
  row.lag_messages = lag;
  row.messages_per_s = 12'345.6;
  row.missed_per_s = 0;
  return row;
}

Picture usual() {
  Picture picture;
  picture.path = "/run/user/1000/feedproxy/default.sock";
  picture.taken_at = "2026-01-02T15:04:05+0100";
  picture.pid = 12'345;
  picture.version = "0.1.0";
  picture.uptime_ns = 7380 * kSecondNs;
  picture.interval_ns = kSecondNs;
  picture.local_clients = 2;
  picture.ws_clients = 3;
  picture.monitors = 1;
  picture.messages_per_s = 12'345.6;
  picture.bytes_per_s = 3'456'789;
  picture.feeds = {feed_row_of(1, "wss://stream.binance.com:9443/stream")};
  picture.clients = {client_row_of("momentum-1", 52'374), client_row_of("risk", 0)};
  picture.clients[0].waiting = "no";
  picture.clients[0].cursor->missed = 173'000;
  picture.clients[0].missed_per_s = 17'996;
  return picture;
}

std::string text_of(const Picture& picture, const DrawOptions& options) {
  std::string text = "\n";
  for (const Line& line : draw(picture, options)) text += line.text + '\n';
  return text;
}

TEST(Draw, EightyColumns) {
  EXPECT_EQ(text_of(usual(), {.width = 80, .interactive = true}), R"(
feedproxy 0.1.0  pid 12345  up 2 h 03 min                      15:04:05  q: quit
1 feed, 2 local clients, 3 WebSocket clients; 12,346 msg/s, 3.46 MB/s in 1 s

FEED STATE      VENUE   LOCAL   WS  MSG/S BYTES/S MESSAGES   BYTES UP/LOST
   1 live       binance     2    3 12,346 3.46 MB    1.23M  988 MB     2/1
     wss://stream.binance.com:9443/stream

FEED       WAKE   READ  PLAIN PARSED HANDLER  TOTAL SAMPLED
   1 p50   40ns  140ns  490ns 1.72us  6.00us 21.0us 20,000 of 120k
     p99  360ns 1.26us 4.41us 15.4us  54.0us  189us in 1 s

CLIENT         PID FEED CURSOR    LAG  MSG/S MISSED MISS/S WAITS
momentum-1   12346    1  1.18M 52,374 12,346   173k 17,996 awake
risk         12346    1  1.23M      0 12,346      0      0 parked
)");
}

TEST(Draw, AHundredAndFortyColumns) {
  EXPECT_EQ(text_of(usual(), {.width = 140}), R"(
feedproxy 0.1.0  pid 12345  up 2 h 03 min                                                                                           15:04:05
1 feed, 2 local clients, 3 WebSocket clients; 12,346 msg/s, 3.46 MB/s in 1 s

FEED  STATE       VENUE    LOCAL    WS   MSG/S  BYTES/S  MESSAGES    BYTES  UP/LOST  URL
   1  live        binance      2     3  12,346  3.46 MB     1.23M   988 MB      2/1  wss://stream.binance.com:9443/stream

FEED         WAKE    READ   PLAIN  PARSED  HANDLER   TOTAL  SAMPLED
   1  p50    40ns   140ns   490ns  1.72us   6.00us  21.0us  20,000 of 120k
      p99   360ns  1.26us  4.41us  15.4us   54.0us   189us  in 1 s

CLIENT          PID  FEED  CURSOR     LAG   MSG/S  MISSED  MISS/S  WAITS
momentum-1    12346     1   1.18M  52,374  12,346    173k  17,996  awake
risk          12346     1   1.23M       0  12,346       0       0  parked
)");
}

TEST(Draw, ALostFeedSaysWhyAndAFewMessagesHaveNoP99) {
  Picture picture = usual();
  picture.feeds = {feed_row_of(1, "ws://a/"), feed_row_of(2, "ws://b/"), feed_row_of(3, "ws://c/"),
                   feed_row_of(4, "ws://d/")};
  picture.feeds[0].status.state = "lost";
  picture.feeds[0].stages = stage_row_of(300);
  picture.feeds[0].stages->intervals[0] = {};
  picture.feeds[0].stages->intervals[static_cast<std::size_t>(Interval::nic_handler)] = {};
  picture.feeds[1].stages = stage_row_of(0);
  picture.feeds[2].stages.reset();
  picture.feeds[2].messages_per_s.reset();
  picture.feeds[2].bytes_per_s.reset();
  for (Quantiles& each : picture.feeds[3].stages->intervals) each = {};
  picture.clients.clear();
  picture.note = "The proxy does not answer; these figures are old.";
  EXPECT_EQ(text_of(picture, {.width = 120}), R"(
feedproxy 0.1.0  pid 12345  up 2 h 03 min                                                                       15:04:05
4 feeds, 2 local clients, 3 WebSocket clients; 12,346 msg/s, 3.46 MB/s in 1 s
The proxy does not answer; these figures are old.

FEED  STATE       VENUE    LOCAL    WS   MSG/S  BYTES/S  MESSAGES    BYTES  UP/LOST  URL
   1  lost        binance      2     3  12,346  3.46 MB     1.23M   988 MB      2/1  ws://a/
     last error: connection reset
   2  live        binance      2     3  12,346  3.46 MB     1.23M   988 MB      2/1  ws://b/
   3  live        binance      2     3       -        -     1.23M   988 MB      2/1  ws://c/
   4  live        binance      2     3  12,346  3.46 MB     1.23M   988 MB      2/1  ws://d/

FEED         WAKE    READ   PLAIN  PARSED  HANDLER   TOTAL  SAMPLED
   1  p50       -   140ns   490ns  1.72us   6.00us  73.5us  300 of 1,800
      p99       -       -       -       -        -       -  in 12 s, no NIC stamps, p99 needs 1,000
   2            -       -       -       -        -       -  nothing came
   3            -       -       -       -        -       -  not watched
   4  p50       -       -       -       -        -       -  20,000 of 120k
      p99       -       -       -       -        -       -  in 1 s, not stamped

No local client is connected.
)");
}

TEST(Draw, AProxyWithoutFeedsAndClients) {
  Picture picture = usual();
  picture.feeds.clear();
  picture.clients.clear();
  picture.local_clients = 0;
  picture.ws_clients = 0;
  picture.messages_per_s = 0;
  picture.bytes_per_s = 0;
  EXPECT_EQ(text_of(picture, {}), R"(
feedproxy 0.1.0  pid 12345  up 2 h 03 min  15:04:05
0 feeds, 0 local clients, 0 WebSocket clients; 0 msg/s, 0 B/s in 1 s

No feed is open.

No local client is connected.
)");
}

TEST(Draw, BeforeTheFirstIntervalIsOverThereAreNoStages) {
  Picture picture = usual();
  picture.interval_ns = 0;
  const std::string text = text_of(picture, {.width = 80});
  EXPECT_NE(text.find("; measuring\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("HANDLER"), std::string::npos);
}

TEST(Draw, NoLineIsWiderThanTheTerminal) {
  Picture picture = usual();
  picture.feeds.push_back(feed_row_of(2, "ws://host/" + std::string(500, 'x')));
  picture.feeds[1].status.state = "lost";
  picture.feeds[1].status.last_error = std::string(500, 'y');
  picture.clients.push_back(client_row_of(std::string(64, 'n'), 3));
  picture.note = std::string(500, 'z');
  for (std::size_t width = 1; width < 250; ++width)
    for (const Line& line : draw(picture, {.width = width}))
      ASSERT_LE(line.text.size(), width) << line.text;
  EXPECT_NE(text_of(picture, {}).find(std::string(500, 'x')), std::string::npos)
      << "without a terminal nothing is cut";
}

TEST(Draw, WhatDoesNotFitTheHeightIsCounted) {
  const std::size_t all = draw(usual(), {.width = 80}).size();
  const std::vector<Line> lines = draw(usual(), {.width = 80, .height = 6});
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[5].text, std::to_string(all - 5) + " more lines: make the window taller");
  EXPECT_EQ(draw(usual(), {.width = 80, .height = all}).size(), all);
  EXPECT_EQ(draw(usual(), {.width = 80, .height = 1}).size(), 1u);
}

TEST(Draw, WhatVenuesAndClientsSayCannotSteerTheTerminal) {
  Picture picture = usual();
  picture.version = "\x1b[2J";
  picture.feeds[0].status.url = "ws://h/\x1b]0;title\x07";
  picture.feeds[0].status.state = "lost";
  picture.feeds[0].status.last_error =
      "a\nb\x9b"
      "c\x7f";
  picture.feeds[0].status.venue = "\r";
  picture.clients[0].name = "\b\b\b";
  picture.clients[0].waiting = "\x1b[31m";
  for (const Line& line : draw(picture, {.width = 140}))
    EXPECT_TRUE(std::all_of(line.text.begin(), line.text.end(), [](char c) {
      return c >= ' ' && c <= '~';
    })) << line.text;
}

TEST(Draw, WhatIsWrongStandsOut) {
  Picture picture = usual();
  const auto alarms = [&] {
    const std::vector<Line> lines = draw(picture, {});
    return std::count_if(lines.begin(), lines.end(),
                         [](const Line& line) { return line.tone == Tone::alarm; });
  };
  EXPECT_EQ(alarms(), 1) << "the client that misses messages";
  picture.clients[0].missed_per_s = 0;
  EXPECT_EQ(alarms(), 0);
  picture.feeds[0].losses_new = 1;
  EXPECT_EQ(alarms(), 1);
}

TEST(Show, NumbersAreShortAndSayTheirUnit) {
  EXPECT_EQ(show_count(0), "0");
  EXPECT_EQ(show_count(999), "999");
  EXPECT_EQ(show_count(1'000), "1,000");
  EXPECT_EQ(show_count(99'999), "99,999");
  EXPECT_EQ(show_count(100'000), "100k");
  EXPECT_EQ(show_count(999'499), "999k");
  EXPECT_EQ(show_count(999'999), "1.00M");
  EXPECT_EQ(show_count(1'234'567'890), "1.23G");
  EXPECT_EQ(show_count(UINT64_MAX), "18447P");
  EXPECT_EQ(show_rate(0), "0");
  EXPECT_EQ(show_rate(0.25), "0.25");
  EXPECT_EQ(show_rate(3.54), "3.5");
  EXPECT_EQ(show_rate(9.99), "10");
  EXPECT_EQ(show_rate(12'345.6), "12,346");
  EXPECT_EQ(show_bytes(999), "999 B");
  EXPECT_EQ(show_bytes(999.6), "1.00 kB");
  EXPECT_EQ(show_bytes(12'345'678), "12.3 MB");
  EXPECT_EQ(show_time(999), "999ns");
  EXPECT_EQ(show_time(1'000), "1.00us");
  EXPECT_EQ(show_time(999'600), "1.00ms");
  EXPECT_EQ(show_time(68'700'000'000), "68.7s");
  EXPECT_EQ(show_duration(200'000'000), "200ms");
  EXPECT_EQ(show_duration(kSecondNs), "1 s");
  EXPECT_EQ(show_duration(59 * kSecondNs), "59 s");
  EXPECT_EQ(show_duration(725 * kSecondNs), "12 min 05 s");
  EXPECT_EQ(show_duration(7380 * kSecondNs), "2 h 03 min");
  EXPECT_EQ(show_duration(273'600 * kSecondNs), "3 d 04 h");
}

TEST(Show, WhatIsCutSaysSo) {
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdefg", 6), "abc...");
  EXPECT_EQ(fit("abcdefg", 2), "ab");
  EXPECT_EQ(fit("abcdefg", 0), "");
}

}  // namespace
}  // namespace feedbench::monitor
