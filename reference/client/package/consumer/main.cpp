#include <feedproxy/client.hpp>

#include <cstdio>

/// Reads `count` messages of a proxy's own upstream.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    feedproxy::Client client{"consumer", {.path = argv[1]}};
    const feedproxy::FeedId feed = client.open({.now = true}).feed;
    std::puts("open");
    std::fflush(stdout);
    long left = std::strtol(argv[2], nullptr, 10);
    feedproxy::Message message;
    feedproxy::Gap gap;
    while (left > 0) {
      switch (client.next(feed, message, gap)) {
        case feedproxy::Pull::message:
          --left;
          break;
        case feedproxy::Pull::none:
          client.wait(std::chrono::seconds(1));
          break;
        case feedproxy::Pull::gap:
        case feedproxy::Pull::closed:
          return 1;
      }
    }
    std::puts("done");
  } catch (const feedproxy::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
