// A local client that misbehaves on request, for the tests: it is started as a process, so that it can be killed.
//
//     feedproxy_test_consumer SOCKET MODE URL [PROXY]
//
// MODE  count     reads, checks that the numbers follow each other; prints "messages missed torn" on SIGTERM
//       kill-me   connects, opens, subscribes, reads, closes, again and again, until it is killed
//       scribble  writes random words all over its own page
//       urls      opens URL0, URL1, ... URL9999; prints how many were refused
//       big       sends larger and larger messages, to 100 MB; prints how many were refused
//       spawn     connects (starting PROXY if need be), prints the proxy's pid, waits for SIGTERM
#include <sys/prctl.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "reference/client/client.hpp"

namespace {

volatile std::sig_atomic_t stop = 0;

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  if (text.starts_with(R"({"n":)"))
    std::from_chars(text.data() + 5, text.data() + text.size(), number);
  return number;
}

struct Counting : feedproxy::Callbacks {
  unsigned long messages = 0;
  unsigned long missed = 0;
  unsigned long wrong = 0;
  std::uint64_t last = 0;

  void on_message(const feedproxy::Message& message) {
    const std::string copy(message.text());
    if (!message.intact()) {
      ++missed;
      last = 0;
      return;
    }
    const std::uint64_t number = number_of(copy);
    if (last != 0 && number != last + 1) ++wrong;
    if (number == 0 || !copy.ends_with("x\"}")) ++wrong;
    last = number;
    ++messages;
  }
  void on_gap(feedproxy::FeedId, const feedproxy::Gap& gap) {
    if (gap.missed_messages != feedproxy::kUnknown) missed += gap.missed_messages;
    last = 0;
  }
  void on_proxy_lost(std::string_view) { stop = 1; }
};

void count(feedproxy::Client& client, const std::string& url) {
  client.open({.url = url});
  Counting counting;
  std::puts("ready");
  std::fflush(stdout);
  while (stop == 0)
    if (client.poll(counting) == 0) client.wait(std::chrono::milliseconds(50));
  while (client.connected() &&
         client.poll(counting) != 0) {  // what was published before the signal
  }
  std::printf("%lu %lu %lu\n", counting.messages, counting.missed, counting.wrong);
}

void be_killed(const std::string& path, const std::string& url) {
  feedproxy::Callbacks nothing;
  for (unsigned turn = 0;; ++turn) {
    feedproxy::Client client{"killed", {.path = path}};
    const auto feed = client.open({.url = url}).feed;
    client.subscribe(feed, "symbol" + std::to_string(turn % 7), "kind", "subscribe", "release");
    for (int i = 0; i < 50; ++i)
      if (client.poll(nothing) == 0) client.wait(std::chrono::microseconds(200));
    if (turn % 2 == 0) client.close(feed);
  }
}

/// What a client gone mad can do to what it shares: its page. It gets at it as any process could, through its own mappings.
void scribble(feedproxy::Client& client, const std::string& url) {
  client.open({.url = url});
  char* page = nullptr;
  std::FILE* const maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long begin = 0;
    if (std::strstr(line, "feedproxy_client") != nullptr && std::sscanf(line, "%lx", &begin) == 1)
      page = reinterpret_cast<char*>(begin);
  }
  if (page == nullptr) return;
  std::puts("ready");
  std::fflush(stdout);
  std::mt19937_64 random(1);
  while (stop == 0) {
    const std::uint64_t word = random();
    std::memcpy(page + word % (feedproxy::kPageBytes / 8) * 8, &word, sizeof word);
  }
}

void open_many(feedproxy::Client& client, const std::string& url) {
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    try {
      client.open({.url = url + std::to_string(i), .now = true});
    } catch (const feedproxy::Error&) {
      ++refused;
    }
  }
  std::printf("%d\n", refused);
}

void send_big(feedproxy::Client& client, const std::string& url) {
  const auto feed = client.open({.url = url}).feed;
  int refused = 0;
  for (std::size_t bytes = 1000; bytes <= 100'000'000; bytes *= 10) {
    try {
      client.send(feed, std::string(bytes, 'x'));
    } catch (const feedproxy::Error&) {
      ++refused;
    }
  }
  std::printf("%d\n", refused);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // never left behind by a test that fails
  std::signal(SIGTERM, [](int) { stop = 1; });
  const std::string path = argv[1];
  const std::string_view mode = argv[2];
  const std::string url = argv[3];
  try {
    if (mode == "kill-me") be_killed(path, url);
    feedproxy::ClientOptions options;
    options.path = path;
    if (argc > 4) options.spawn.assign(argv + 4, argv + argc);
    feedproxy::Client client{"consumer", options};
    if (mode == "count") count(client, url);
    if (mode == "scribble") scribble(client, url);
    if (mode == "urls") open_many(client, url);
    if (mode == "big") send_big(client, url);
    if (mode == "spawn") {
      std::printf("%d\n", client.server_pid());
      std::fflush(stdout);
      while (stop == 0) client.wait(std::chrono::milliseconds(50));
    }
  } catch (const feedproxy::Error& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
    return 1;
  }
  return 0;
}
