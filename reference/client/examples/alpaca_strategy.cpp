// A momentum strategy on Alpaca trades. Start it as often as you like: all share one connection to the venue (it allows
// one an account), and the first one starts the proxy.
//
//     export ALPACA_KEY=... ALPACA_SECRET=...
//     alpaca_strategy momentum-1 AAPL & alpaca_strategy momentum-2 AAPL MSFT
//
// FEEDPROXY: what to start if there is no proxy ("feedproxy", "feedproxy --linger-ms 1000"); FEEDPROXY_SOCKET: where.
// With FEED_URL=ws://127.0.0.1:9443/v2/test FEED_VENUE=alpaca it trades against a mock-exchange.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <feedproxy/client.hpp>

namespace {

volatile std::sig_atomic_t stop = 0;

std::string setting(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

/// The program and its arguments; no quoting, so no spaces in them.
std::vector<std::string> words_of(const std::string& line) {
  std::istringstream words(line);
  return {std::istream_iterator<std::string>(words), {}};
}

/// The strategy: it counts, so that you see it work; what to do with a trade is yours.
struct Strategy : feedproxy::Callbacks {
  unsigned long messages = 0;
  unsigned long missed = 0;
  unsigned long bytes = 0;

  void on_message(const feedproxy::Message& message) {
    ++messages;
    bytes += message.text().size();
  }
  void on_gap(feedproxy::FeedId, const feedproxy::Gap& gap) {
    // The book is no longer what the venue's is: start again from a snapshot.
    if (gap.missed_messages != feedproxy::kUnknown) missed += gap.missed_messages;
  }
  void on_upstream_lost(feedproxy::FeedId, std::string_view why) {
    std::fprintf(stderr, "the venue is gone for now: %.*s\n", static_cast<int>(why.size()),
                 why.data());
  }
  void on_closed(feedproxy::FeedId, std::string_view why) {
    std::fprintf(stderr, "the venue closed for good: %.*s\n", static_cast<int>(why.size()),
                 why.data());
    stop = 1;
  }
  void on_proxy_lost(std::string_view why) {
    std::fprintf(stderr, "%.*s; coming back\n", static_cast<int>(why.size()), why.data());
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: alpaca_strategy NAME SYMBOL...\n");
    return 2;
  }
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop = 1; });
  try {
    feedproxy::ClientOptions options;
    options.path = setting("FEEDPROXY_SOCKET", "");
    options.spawn = words_of(setting("FEEDPROXY", "feedproxy"));
    options.reconnect = true;
    feedproxy::Client client{argv[1], options};

    feedproxy::OpenOptions what;
    what.url = setting("FEED_URL", "wss://stream.data.alpaca.markets/v2/iex");
    what.venue = setting("FEED_VENUE", "");
    what.credentials = "ALPACA";  // ALPACA_KEY and ALPACA_SECRET of the proxy's environment
    const feedproxy::Opened opened = client.open(what);
    std::printf("%s: proxy %d, %s\n", argv[1], client.server_pid(),
                opened.is_new ? "opened the connection" : "shares the connection");
    for (int i = 2; i < argc; ++i) {
      const bool existing = client.subscribe(opened.feed, argv[i], "trades");
      std::printf("%s: %s %s\n", argv[1], argv[i], existing ? "was subscribed" : "subscribed");
    }
    std::fflush(stdout);

    Strategy strategy;
    while (stop == 0) {
      if (client.poll(strategy) == 0) client.wait(std::chrono::milliseconds(200));
    }
    std::printf("%s: %lu messages, %lu bytes, %lu missed\n", argv[1], strategy.messages,
                strategy.bytes, strategy.missed);
  } catch (const feedproxy::Error& error) {
    std::fprintf(stderr, "%s: %s\n", argv[1], error.what());
    return 1;
  }
  return 0;
}
