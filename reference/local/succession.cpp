#include "reference/local/succession.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "reference/client/find_proxy.hpp"
#include "reference/client/packet_socket.hpp"
#include "reference/client/protocol.hpp"
#include "transports/clock.hpp"

namespace feedbench::local {
namespace {

using feedproxy::control::Descriptors;
using feedproxy::control::Head;
using feedproxy::control::Kind;
using feedproxy::control::Transfer;

constexpr std::int64_t kAnswerNs = 10'000'000'000;

tl::unexpected<transports::Error> refused(const std::string& why, int os_error = 0) {
  return tl::make_unexpected(
      transports::Error{"take over from the running proxy: " + why, os_error});
}

/// A packet and what came with it.
struct Received {
  Head head;
  std::string text;
  Descriptors descriptors;
};

/// The other end is gone before it answered: an error without a sentence.
transports::Expected<Received> receive(int socket, std::int64_t limit_ns) {
  std::vector<std::byte> space(feedproxy::control::kPacketBytesMax);
  const auto until = transports::MonotonicInstant::now() + limit_ns;
  for (;;) {
    Received received;
    std::size_t bytes = 0;
    switch (feedproxy::control::receive_packet(socket, space, bytes, received.descriptors)) {
      case Transfer::done: {
        const auto packet = feedproxy::control::decode(std::span(space).first(bytes));
        if (!packet) return refused("what answers is not a feedproxy of this version");
        if (packet->kind() == Kind::event) continue;
        received.head = packet->head;
        received.text = packet->texts[0];
        if (packet->kind() == Kind::failed) return refused(received.text);
        return received;
      }
      case Transfer::ended:
        return tl::make_unexpected(transports::Error{});
      case Transfer::would_block:
        break;
      case Transfer::too_large:
        return refused("not all of its descriptors fit into this process (raise ulimit -n)");
      default:
        return refused(std::strerror(errno), errno);
    }
    const std::int64_t left_ns = until.ns - transports::MonotonicInstant::now().ns;
    if (left_ns <= 0) return refused("it does not answer");
    feedproxy::control::wait_for(socket, POLLIN, static_cast<int>(left_ns / 1'000'000 + 1));
  }
}

template <class... Texts>
transports::Expected<Received> ask(int socket, Head head, std::int64_t limit_ns,
                                   const Texts&... texts) {
  if (feedproxy::control::send_packet(socket, feedproxy::control::encode(head, texts...)) !=
      Transfer::done)
    return tl::make_unexpected(transports::Error{});
  return receive(socket, limit_ns);
}

std::string read_whole(int fd) {
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

/// An error that says something.
transports::Error in_words(const transports::Error& error) {
  return error.message.empty() ? refused("it ended before it had handed over").value() : error;
}

}  // namespace

transports::Expected<std::optional<Succession>> Succession::connect(const std::string& path,
                                                                    const std::string& token) {
  Succession made;
  int os_error = 0;
  try {
    made.socket_ = feedproxy::detail::connect_to(path, os_error);
  } catch (const feedproxy::Error& error) {
    return refused(error.what());
  }
  if (!made.socket_.valid()) {
    if (feedproxy::detail::nobody_there(os_error)) return std::optional<Succession>();
    return refused(path + ": " + std::strerror(os_error), os_error);
  }
  const int socket = made.socket_.get();
  Head head;
  head.kind = static_cast<std::uint32_t>(Kind::hello);
  head.request = 1;
  head.values = {feedproxy::control::kMagic, feedproxy::control::kVersion,
                 feedproxy::control::kHelloMonitor};
  const auto greeted = ask(socket, head, kAnswerNs, std::string_view("successor"), token);
  if (!greeted) return tl::make_unexpected(in_words(greeted.error()));
  made.pid_ = static_cast<int>(greeted->head.values[0]);

  head = {};
  head.kind = static_cast<std::uint32_t>(Kind::status);
  head.request = 2;
  const auto status = ask(socket, head, kAnswerNs);
  if (!status) return tl::make_unexpected(in_words(status.error()));
  const auto told = nlohmann::json::parse(read_whole(status->descriptors[0].get()), nullptr, false);
  if (told.is_object() && told.contains("feeds")) made.feeds_ = told["feeds"].size();
  return std::optional<Succession>(std::move(made));
}

transports::Expected<void> Succession::begin() {
  const int socket = socket_.get();
  Head head;
  head.kind = static_cast<std::uint32_t>(Kind::replace);
  head.request = 3;
  head.values[0] = kLimitMs;
  auto given = ask(socket, head, kAnswerNs);
  ended_ = !given && given.error().message.empty();
  if (!given) return tl::make_unexpected(in_words(given.error()));
  // Another successor may have come between the greeting and this.
  pid_ = static_cast<int>(given->head.values[1]);
  process_ = rings::Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  const std::string bytes = read_whole(given->descriptors[0].get());
  std::vector<rings::Descriptor> descriptors;
  while (descriptors.size() < given->head.values[0]) {
    auto more = receive(socket, kAnswerNs);
    ended_ = !more && more.error().message.empty();
    if (!more) return tl::make_unexpected(in_words(more.error()));
    if (static_cast<Kind>(more->head.kind) != Kind::handed || !more->descriptors[0].valid())
      return refused("what it hands over is not complete");
    for (rings::Descriptor& each : more->descriptors)
      if (each.valid()) descriptors.push_back(std::move(each));
  }
  auto state = decode_state(bytes, std::move(descriptors));
  if (!state) return tl::make_unexpected(state.error());
  state_ = std::move(*state);
  return {};
}

transports::Expected<void> Succession::complete() {
  Head head;
  head.kind = static_cast<std::uint32_t>(Kind::taken);
  head.request = 4;
  const auto done = ask(socket_.get(), head, kAnswerNs);
  socket_.reset();
  if (done) return {};
  // It may be ending, or have been killed; then nobody but this process has what it had. Its sockets close before it ends.
  constexpr int kEndingMs = 3000;
  if (done.error().message.empty() && process_.valid() &&
      feedproxy::control::wait_for(process_.get(), POLLIN, kEndingMs))
    return {};
  return tl::make_unexpected(
      done.error().message.empty()
          ? refused("it did not wait so long, and has taken everything back").value()
          : done.error());
}

}  // namespace feedbench::local
