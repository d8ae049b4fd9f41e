// What local clients that are awake cost the publisher of a feed: a message into the feed log with
// their pages on its wake list, over the same message without. Blocks of the two alternate in one
// run, so that the difference is theirs and not the machine's.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include "reference/local/wake_list.hpp"
#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::local {
namespace {

using transports::TscInstant;

constexpr std::size_t kMessageBytes = 256;
constexpr std::size_t kBlockMessages = 256;
constexpr std::size_t kPairs = 2'000;

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

void write_message(rings::FeedLogWriter& writer) {
  const auto space = writer.reserve(kMessageBytes);
  rings::FrameEntry entry;
  entry.offset = writer.write_position();
  entry.length = kMessageBytes;
  std::memset(space.data(), 'x', kMessageBytes);
  writer.written(kMessageBytes);
  writer.stage(entry);
  writer.publish();
}

/// ns a message, over one block.
double block_ns(const transports::TscClock& clock, rings::FeedLogWriter& writer, WakeList& list) {
  const TscInstant begin = TscInstant::now();
  for (std::size_t i = 0; i < kBlockMessages; ++i) {
    write_message(writer);
    list.ring();
  }
  return static_cast<double>(clock.to_ns(TscInstant::now() - begin)) / kBlockMessages;
}

double median(std::vector<double>& of) {
  std::nth_element(of.begin(), of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2), of.end());
  return of[of.size() / 2];
}

/// True if a client on this list that asks to be woken is woken once: else nothing is worth timing.
bool wakes_who_asks(WakeList& list, feedproxy::ClientPage& page) {
  feedproxy::waiting_of(page).store(static_cast<std::uint32_t>(feedproxy::Waiting::futex));
  list.ring();
  return feedproxy::waiting_of(page).load() == static_cast<std::uint32_t>(feedproxy::Waiting::no);
}

feedproxy::ClientPage* map_page(const ClientBell& bell) {
  void* const at = ::mmap(nullptr, feedproxy::kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                          bell.page_descriptor(), 0);
  return at == MAP_FAILED ? nullptr : static_cast<feedproxy::ClientPage*>(at);
}

/// All clients in one process on the other core: each reads every message and says so in its page,
/// and none ever asks to be woken. Ends when it is killed.
int read_all(int log, const std::vector<feedproxy::ClientPage*>& pages) {
  std::vector<rings::FeedLogReader> readers;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    auto reader = rings::FeedLogReader::map(log);
    if (!reader) return 1;
    readers.push_back(std::move(*reader));
  }
  rings::Frame frame;
  for (;;) {
    for (std::size_t i = 0; i < readers.size(); ++i) {
      if (readers[i].next(frame) != rings::ReadStatus::frame) continue;
      feedproxy::PageCursor& cursor = pages[i]->cursors[0];
      cursor.sequence.store(frame.sequence, std::memory_order_relaxed);
      cursor.messages.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

/// range(0): clients. range(1): 1: a process on the other core reads for all of them; 0: they are
/// parked and touch nothing. The time of an iteration means nothing: the figures are the counters.
void clients_awake(benchmark::State& state) {
  auto clock = transports::TscClock::calibrate();
  auto writer = rings::FeedLogWriter::create({.ring_bytes = 16u << 20, .index_lines = 1u << 15});
  if (!clock || !writer) return state.SkipWithError("no clock, or no memory");
  WakeList nobody;
  WakeList list;
  std::vector<std::shared_ptr<ClientBell>> bells;
  std::vector<feedproxy::ClientPage*> pages;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    auto bell = ClientBell::create();
    if (!bell) return state.SkipWithError(bell.error().message.c_str());
    bells.push_back(*bell);
    pages.push_back(map_page(**bell));
    list.attach(*bell);
    if (pages.back() == nullptr || !wakes_who_asks(list, *pages.back()))
      return state.SkipWithError("a client that asks is not woken");
  }
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  if (!pin(0)) return state.SkipWithError("no core 0");
  pid_t reader = -1;
  if (state.range(1) != 0) {
    const int log = writer->share_descriptor();
    reader = ::fork();
    if (reader == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::_exit(pin(1) ? read_all(log, pages) : 1);
    }
    // Until it reads: its cursors move.
    while (pages.back()->cursors[0].messages.load() == 0) {
      if (::waitpid(reader, nullptr, WNOHANG) != 0)
        return state.SkipWithError("the reader failed (is there a core 1?)");
      write_message(*writer);
    }
  }
  for (auto _ : state) {
    std::vector<double> without;
    std::vector<double> with;
    std::vector<double> added;
    for (std::size_t pair = 0; pair < kPairs; ++pair) {
      std::array<double, 2> ns{};
      for (const bool listed : {pair % 2 == 0, pair % 2 != 0})  // who is first changes
        ns[listed ? 1 : 0] = block_ns(*clock, *writer, listed ? list : nobody);
      without.push_back(ns[0]);
      with.push_back(ns[1]);
      added.push_back(ns[1] - ns[0]);
    }
    state.counters["without_ns"] = median(without);
    state.counters["with_ns"] = median(with);
    state.counters["added_ns"] = median(added);
    state.counters["added_ns_per_client"] =
        median(added) / static_cast<double>(std::max<std::int64_t>(1, state.range(0)));
  }
  if (reader > 0) {
    ::kill(reader, SIGKILL);
    ::waitpid(reader, nullptr, 0);
  }
  for (feedproxy::ClientPage* page : pages) ::munmap(page, feedproxy::kPageBytes);
  ::sched_setaffinity(0, sizeof before, &before);
}

// 0 clients: the two blocks are the same, so what is added is the error.
BENCHMARK(clients_awake)
    ->Name("BM_wake_list/awake/clients/reading")
    ->ArgsProduct({{0, 1, 8, 32, 128, 256}, {0}})
    ->Args({1, 1})
    ->Args({8, 1})
    ->Args({32, 1})
    ->Iterations(1)
    ->UseRealTime();

}  // namespace
}  // namespace feedbench::local
