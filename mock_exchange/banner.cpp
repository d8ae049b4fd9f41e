#include "mock_exchange/banner.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "mock_exchange/recording/inspect.hpp"

namespace feedbench::mock_exchange {

namespace {

constexpr std::size_t kTopicsShown = 3;

/// The busiest topics' names, busiest first.
std::vector<std::string> busiest_topics(const PreparedSession& session) {
  std::vector<std::uint64_t> frames(session.topics().size(), 0);
  for (const PreparedFrame& frame : session.frames()) {
    if (frame.topic != kManyTopics) {
      ++frames[frame.topic];
      continue;
    }
    for (const PreparedElement& element : session.elements(frame)) ++frames[element.topic];
  }
  std::vector<std::size_t> order(frames.size() - 1);
  std::iota(order.begin(), order.end(), 1);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return frames[a] > frames[b]; });
  std::vector<std::string> names;
  for (std::size_t i = 0; i < order.size() && i < kTopicsShown; ++i)
    names.push_back(session.topics()[order[i]]);
  return names;
}

std::string size_text(std::uint64_t bytes) {
  return bytes < 1'000'000 ? fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3)
                           : fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

/// The example's request is JSON: what would have to be escaped there is left to the reader.
std::string shown(const std::string& given) {
  if (given.empty()) return "any";
  return given.find_first_of("\"\\'") == std::string::npos ? given : "...";
}

std::string example(const PreparedSession& session, venues::Venue venue,
                    const venues::Credentials& credentials, const std::string& url) {
  const std::string no_check = url.starts_with("wss") ? "--no-check " : "";
  const auto topics = busiest_topics(session);
  if (venue == venues::Venue::binance && !topics.empty()) {
    return fmt::format("try:  wscat {}-c '{}/stream?streams={}'\n", no_check, url,
                       fmt::join(topics, "/"));
  }
  if (venue == venues::Venue::alpaca && !topics.empty()) {
    const std::string& busiest = topics.front();
    const std::size_t colon = busiest.find(':');
    const std::string symbol = busiest.substr(colon + 1);
    const bool crypto = symbol.find('/') != std::string::npos;
    return fmt::format(
        "try:  wscat {}-c '{}{}'\n"
        "      > {{\"action\":\"auth\",\"key\":\"{}\",\"secret\":\"{}\"}}\n"
        "      > {{\"action\":\"subscribe\",\"{}\":[\"{}\"]}}\n",
        no_check, url, crypto ? "/v1beta3/crypto/us" : "/v2/sip", shown(credentials.reveal_key()),
        shown(credentials.reveal_secret()), busiest.substr(0, colon), symbol);
  }
  return fmt::format("try:  wscat {}-c '{}/'\n", no_check, url);
}

}  // namespace

std::string banner(const PreparedSession& session, venues::Venue venue, const Pace& pace,
                   std::uint64_t loops, const venues::Credentials& credentials,
                   const std::string& url) {
  const std::size_t topics = session.topics().size() - 1;
  std::string what =
      fmt::format("{}: {} frames, {}", venues::to_string(venue),
                  recording::grouped(session.frame_count()), size_text(session.loop_bytes()));
  if (topics > 0 && venue == venues::Venue::binance) what += fmt::format(", {} streams", topics);
  if (topics > 0 && venue == venues::Venue::alpaca)
    what += fmt::format(", {} channels and symbols", topics);
  what += fmt::format(", {:.1f} s as recorded; speed {}, ",
                      static_cast<double>(session.span_ns()) / 1e9, to_string(pace));
  what += loops == kLoopForever ? "for ever" : loops == 1 ? "once" : fmt::format("{} times", loops);
  return fmt::format("{}\nlistening on {}  (Ctrl-C stops)\n{}", what, url,
                     example(session, venue, credentials, url));
}

}  // namespace feedbench::mock_exchange
