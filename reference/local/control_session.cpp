#include "reference/local/control_session.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace feedbench::local {

using feedproxy::control::Transfer;

bool ControlSession::send(const std::string& packet, const std::vector<int>& descriptors) {
  switch (feedproxy::control::send_packet(socket.get(), packet, descriptors)) {
    case Transfer::done:
      return true;
    case Transfer::would_block:
      return false;
    case Transfer::ended:
      end("");
      return false;
    default:
      end(std::string("cannot be told anything: ") + std::strerror(errno));
      return false;
  }
}

void ControlSession::tell(std::string packet, const std::vector<int>& descriptors) {
  if (ended) return;
  if (outbox_.empty() && send(packet, descriptors)) {
    if (bell) bell->ring();
    return;
  }
  if (ended) return;
  if (outbox_.size() >= kOutboxPacketsMax) return end("does not read what it is told");
  Outgoing waiting{std::move(packet), {}};
  for (const int fd : descriptors) {
    waiting.descriptors.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!waiting.descriptors.back().valid()) return end("no descriptors are left to serve it");
  }
  outbox_.push_back(std::move(waiting));
}

void ControlSession::flush() {
  while (!outbox_.empty() && !ended) {
    const Outgoing& next = outbox_.front();
    std::vector<int> descriptors;
    for (const rings::Descriptor& descriptor : next.descriptors)
      descriptors.push_back(descriptor.get());
    if (!send(next.packet, descriptors)) return;
    outbox_.pop_front();
    if (bell) bell->ring();
  }
}

}  // namespace feedbench::local
