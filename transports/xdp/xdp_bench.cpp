// Ping-pong of 128 bytes over one veth pair, everything spinning: the kernel's sockets at both
// ends, each kernel transport against a plain socket, xdp at one end, xdp at both. Rounds are
// interleaved; what counts are the ratios within a round. Not Google Benchmark: it needs
// percentiles, and the far end in a process of its own (one stack a process).
//
// Usage: xdp_bench [ROUNDS [PINGS [CONNECTIONS]]]     needs root; makes a test network of its own.
// With CONNECTIONS, so many connections of which one plays: what looking a connection up costs.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/testing/raw_socket.hpp"
#include "transports/tsc_calibration.hpp"
#include "transports/xdp/testing/veth_site.hpp"
#include "transports/xdp/xdp_transport.hpp"

namespace {

using namespace feedbench::transports;
using feedbench::transports::testing::RawSocket;
using feedbench::transports::xdp::testing::VethSite;

constexpr std::size_t kMessageBytes = 128;
using Message = std::array<std::byte, kMessageBytes>;
constexpr const char* kNearKernelAddress = "10.77.0.3";
constexpr const char* kFarStackAddress = "10.77.0.4";
constexpr std::uint16_t kPort = 7000;

Message message(unsigned salt) {
  Message made;
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::byte>(i * 7 + salt);
  return made;
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof(set), &set);
}

/// Sends a ping when it is told to, and takes the answer; or answers each ping.
template <class T>
struct End {
  T& transport;
  bool answers;
  Message out = message(answers ? 2 : 1);
  std::size_t have = 0;
  std::uint64_t turns = 0;
  std::vector<Conn> open{};
  bool wrong = false;
  bool closed = false;

  void send(Conn conn) {
    const ConstRange range{out.data(), out.size()};
    transport.send(conn, {&range, 1});
  }
  void on_open(Conn opened, bool) { open.push_back(opened); }
  void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps&) {
    wrong |= bytes[0] != message(answers ? 1 : 2)[have];
    have += bytes.size();
    if (have < kMessageBytes) return;
    have = 0;
    ++turns;
    if (answers) send(conn);
  }
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) { closed = true; }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

XdpOptions stack(const char* interface, const char* address) {
  XdpOptions options;
  options.interface = interface;
  options.address = std::string(address) + "/24";
  return options;
}

TransportOptions spinning() {
  TransportOptions options;
  options.wait = Wait::spin;
  return options;
}

template <class T>
std::unique_ptr<T> make(const char* interface, const char* address) {
  if constexpr (std::is_same_v<T, XdpTransport>) {
    return std::make_unique<T>(spinning(), stack(interface, address));
  } else {
    return std::make_unique<T>(spinning());
  }
}

/// The far end, in a process of its own: accepts and answers until it is killed.
template <class T>
[[noreturn]] void answer_for_ever(const char* address, int ready) {
  auto transport = make<T>(xdp::testing::VethSite::kFarInterface, address);
  End<T> end{*transport, true};
  const auto bound = transport->listen({address, kPort}, {});
  if (!bound) throw std::runtime_error(bound.error().message);
  [[maybe_unused]] const ssize_t told = ::write(ready, "r", 1);
  for (;;) transport->poll(end, MonotonicInstant{INT64_MAX});
}
[[noreturn]] void answer_plainly(const char* address, int ready) {
  RawSocket::place().address = address;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(kPort);
  at.sin_addr.s_addr = INADDR_ANY;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(listener, 1024) != 0) {
    throw std::runtime_error("listen");
  }
  ::fcntl(listener, F_SETFL, O_NONBLOCK);
  [[maybe_unused]] const ssize_t told = ::write(ready, "r", 1);
  std::vector<int> idle;
  int busy = -1;
  const Message out = message(2);
  Message in;
  std::size_t have = 0;
  for (;;) {
    // The last one accepted plays.
    if (const int one = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK); one >= 0) {
      ::setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      if (busy >= 0) idle.push_back(busy);
      busy = one;
    }
    for (int i = 0; i < 4096 && busy >= 0; ++i) {
      const ssize_t n = ::recv(busy, in.data() + have, in.size() - have, 0);
      if (n == 0) ::_exit(0);
      if (n < 0) continue;
      have += static_cast<std::size_t>(n);
      if (have < in.size()) continue;
      have = 0;
      i = 0;
      if (::send(busy, out.data(), out.size(), MSG_NOSIGNAL) < 0) ::_exit(0);
    }
  }
}

/// Runs `what` in a process of its own until the end of its life.
class FarEnd {
 public:
  explicit FarEnd(const std::function<void(int)>& what) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      pin(1);
      try {
        const xdp::testing::VethSite::Visit there(xdp::testing::VethSite::shared()->far());
        what(pipe[1]);
      } catch (const Error& error) {
        std::fprintf(stderr, "far end: %s\n", error.message.c_str());
      } catch (const std::exception& error) {
        std::fprintf(stderr, "far end: %s\n", error.what());
      }
      ::_exit(1);
    }
    ::close(pipe[1]);
    char told = 0;
    if (::read(pipe[0], &told, 1) != 1) throw std::runtime_error("the far end did not begin");
    ::close(pipe[0]);
  }
  ~FarEnd() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;

 private:
  pid_t child_ = -1;
};

struct Times {
  double p50_us = 0;
  double p99_us = 0;
};

Times times_of(std::vector<std::int64_t> ticks, const TscClock& clock) {
  std::sort(ticks.begin(), ticks.end());
  const auto at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(ticks.size() - 1));
    return static_cast<double>(clock.to_ns(TscDuration{ticks[index]})) / 1000.0;
  };
  return {at(0.5), at(0.99)};
}

struct Run {
  std::size_t pings;
  std::size_t connections;
  const TscClock& clock;
};

template <class T>
Times ping(const char* to, const Run& run) {
  auto transport =
      make<T>(xdp::testing::VethSite::kNearInterface, xdp::testing::VethSite::kStackAddress);
  End<T> end{*transport, false};
  const MonotonicInstant give_up = MonotonicInstant::now() + 20'000'000'000;
  for (std::size_t i = 0; i < run.connections; ++i) {
    const auto conn = transport->connect({to, kPort}, {});
    if (!conn) throw std::runtime_error(conn.error().message);
    while (end.open.size() <= i && !end.closed && MonotonicInstant::now() < give_up) {
      transport->poll(end, MonotonicInstant{INT64_MAX});
    }
    if (end.open.size() <= i) throw std::runtime_error(std::string("no connection to ") + to);
  }
  ::usleep(20'000);
  std::vector<std::int64_t> ticks;
  ticks.reserve(run.pings);
  constexpr std::size_t kWarmUp = 2000;
  for (std::size_t i = 0; i < run.pings + kWarmUp; ++i) {
    // With many connections they take turns, so that the one that answers was never the last.
    const Conn conn = end.open[run.connections == 1 ? 0 : i % end.open.size()];
    const TscInstant before = TscInstant::now();
    const std::uint64_t turn = end.turns;
    end.send(conn);
    while (end.turns == turn && !end.closed) transport->poll(end, MonotonicInstant{INT64_MAX});
    if (end.closed) throw std::runtime_error("closed");
    if (i >= kWarmUp) ticks.push_back((TscInstant::now() - before).ticks);
  }
  if (end.wrong) throw std::runtime_error("the bytes are wrong");
  return times_of(std::move(ticks), run.clock);
}

Times ping_plainly(const char* to, const Run& run) {
  const RawSocket socket = RawSocket::connect({to, kPort});
  const Message out = message(1);
  Message in;
  std::vector<std::int64_t> ticks;
  ticks.reserve(run.pings);
  for (std::size_t i = 0; i < run.pings; ++i) {
    const TscInstant before = TscInstant::now();
    socket.send(out);
    for (std::size_t have = 0; have < in.size();) {
      const ssize_t n = socket.receive(std::span(in).subspan(have));
      if (n > 0) have += static_cast<std::size_t>(n);
      if (n == 0) throw std::runtime_error("closed");
    }
    ticks.push_back((TscInstant::now() - before).ticks);
  }
  if (in != message(2)) throw std::runtime_error("the bytes are wrong");
  return times_of(std::move(ticks), run.clock);
}

struct Contender {
  const char* name;
  std::function<void(int)> far;
  std::function<Times(const Run&)> near;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int measure(std::size_t rounds, const Run& run) {
  const auto plain_far = [](int ready) {
    answer_plainly(xdp::testing::VethSite::kFarAddress, ready);
  };
  const auto stack_far = [](int ready) { answer_for_ever<XdpTransport>(kFarStackAddress, ready); };
  std::vector<Contender> contenders;
  if (run.connections == 1) {
    contenders.push_back({"plain sockets", plain_far, [](const Run& r) {
                            return ping_plainly(xdp::testing::VethSite::kFarAddress, r);
                          }});
    contenders.push_back({"select", plain_far, [](const Run& r) {
                            return ping<SelectTransport>(xdp::testing::VethSite::kFarAddress, r);
                          }});
    contenders.push_back({"epoll", plain_far, [](const Run& r) {
                            return ping<EpollTransport>(xdp::testing::VethSite::kFarAddress, r);
                          }});
    contenders.push_back({"io_uring", plain_far, [](const Run& r) {
                            return ping<IoUringTransport>(xdp::testing::VethSite::kFarAddress, r);
                          }});
    contenders.push_back({"xdp, plain", plain_far, [](const Run& r) {
                            return ping<XdpTransport>(xdp::testing::VethSite::kFarAddress, r);
                          }});
  }
  contenders.push_back({"xdp, xdp", stack_far,
                        [](const Run& r) { return ping<XdpTransport>(kFarStackAddress, r); }});

  std::map<std::string, std::array<std::vector<double>, 4>> table;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::map<std::string, Times> times;
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const Contender& one = contenders[(i + round) % contenders.size()];
      const FarEnd far(one.far);
      pin(0);
      const xdp::testing::VethSite::Visit here(xdp::testing::VethSite::shared()->near());
      times[one.name] = one.near(run);
    }
    Times best{1e9, 1e9};
    for (const char* const kernel : {"select", "epoll", "io_uring"}) {
      if (!times.contains(kernel)) continue;
      best.p50_us = std::min(best.p50_us, times[kernel].p50_us);
      best.p99_us = std::min(best.p99_us, times[kernel].p99_us);
    }
    for (const auto& [name, each] : times) {
      auto& row = table[name];
      row[0].push_back(each.p50_us);
      row[1].push_back(each.p99_us);
      row[2].push_back(each.p50_us / best.p50_us);
      row[3].push_back(each.p99_us / best.p99_us);
    }
  }
  std::printf(
      "%zu rounds of %zu round trips of %zu bytes, %zu connections; medians; ratios to the best "
      "kernel transport "
      "of the round\n",
      rounds, run.pings, kMessageBytes, run.connections);
  std::printf("%-14s %9s %9s %8s %8s\n", "", "p50 us", "p99 us", "p50", "p99");
  for (const Contender& one : contenders) {
    const auto& row = table[one.name];
    std::printf("%-14s %9.2f %9.2f %8.3f %8.3f\n", one.name, median(row[0]), median(row[1]),
                median(row[2]), median(row[3]));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index, std::size_t otherwise) {
    return argc > index ? std::strtoull(argv[index], nullptr, 10) : otherwise;
  };
  try {
    if (xdp::testing::VethSite::shared() == nullptr)
      throw std::runtime_error(xdp::testing::VethSite::why_not());
    xdp::testing::VethSite::shared()->add_near_address(kNearKernelAddress);
    const auto clock = TscClock::calibrate();
    if (!clock) throw clock.error();
    return measure(number(1, 9), {number(2, 50'000), number(3, 1), *clock});
  } catch (const Error& error) {
    std::fprintf(stderr, "xdp_bench: %s\n", error.message.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "xdp_bench: %s\n", error.what());
  }
  return 1;
}
