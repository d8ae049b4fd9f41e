#include "reference/local/handing_over.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "reference/client/packet_socket.hpp"

namespace feedbench::local {

using feedproxy::control::Head;
using feedproxy::control::Kind;
using feedproxy::control::Transfer;
using transports::MonotonicInstant;

namespace {

/// What stands in the state and stays this process's: a copy of each descriptor of each client would be too many.
struct Lent {
  ProxyState& state;
  ~Lent() {
    static_cast<void>(state.local_listener.release());
    for (ProxyState::Session& session : state.sessions) {
      static_cast<void>(session.socket.release());
      static_cast<void>(session.page.release());
      static_cast<void>(session.doorbell.release());
    }
  }
};

/// Sends one packet, waiting for room.
void give(ControlSession& to, MonotonicInstant until, const std::string& packet,
          const std::vector<int>& descriptors) {
  while (!to.ended) {
    const Transfer sent = feedproxy::control::send_packet(to.socket.get(), packet, descriptors);
    if (sent == Transfer::done) return;
    if (sent != Transfer::would_block && errno != ETOOMANYREFS)
      return to.end(std::string("cannot be handed everything: ") + std::strerror(errno));
    if (MonotonicInstant::now() >= until) return to.end("took too long to take over");
    if (!feedproxy::control::wait_for(to.socket.get(), POLLOUT, 10) || errno == ETOOMANYREFS)
      ::poll(nullptr, 0, 1);
  }
}

}  // namespace

void give_state(ControlSession& to, Successor& successor,
                const std::vector<std::unique_ptr<ControlSession>>& sessions, int listener) {
  ProxyState& state = *successor.state;
  const Lent lent{state};
  state.local_listener = rings::Descriptor(listener);
  for (const auto& session : sessions) {
    if (session->id == to.id || session->ended) continue;
    ProxyState::Session saved;
    saved.id = session->id;
    saved.name = session->name;
    saved.pid = session->pid;
    saved.uid = session->uid;
    saved.monitor = session->monitor;
    saved.log_level = session->log_level;
    saved.socket = rings::Descriptor(session->socket.get());
    if (session->greeted) {
      saved.page = rings::Descriptor(session->bell->page_descriptor());
      saved.doorbell = rings::Descriptor(session->bell->ringing_descriptor());
    }
    state.sessions.push_back(std::move(saved));
  }
  std::vector<int> descriptors;
  const rings::Descriptor memory = memory_with(encode(state, descriptors));
  if (!memory.valid())
    return to.end(std::string("what it is to take over cannot be put together: ") +
                  std::strerror(errno));
  Head head;
  head.kind = static_cast<std::uint32_t>(Kind::done);
  head.request = successor.request;
  head.values[0] = descriptors.size();
  head.values[1] = static_cast<std::uint64_t>(::getpid());
  give(to, successor.until, feedproxy::control::encode(head), {memory.get()});
  head.kind = static_cast<std::uint32_t>(Kind::handed);
  constexpr std::size_t kTogether = feedproxy::control::kDescriptorsMax;
  for (std::size_t at = 0; at < descriptors.size(); at += kTogether) {
    const std::size_t end = std::min(at + kTogether, descriptors.size());
    give(to, successor.until, feedproxy::control::encode(head),
         {descriptors.begin() + static_cast<std::ptrdiff_t>(at),
          descriptors.begin() + static_cast<std::ptrdiff_t>(end)});
  }
}

rings::Descriptor memory_with(const std::string& text) {
  rings::Descriptor memory(::memfd_create("feedproxy_status", MFD_CLOEXEC));
  if (!memory.valid()) return memory;
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(memory.get(), text.data() + written, text.size() - written);
    if (n <= 0) return {};
    written += static_cast<std::size_t>(n);
  }
  ::lseek(memory.get(), 0, SEEK_SET);
  return memory;
}

}  // namespace feedbench::local
