#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "transports/sim/sim_transport.hpp"

namespace feedbench::simulate {

/// What one end has to say, one send at a time.
class Outbox {
 public:
  void append(std::string_view bytes) { waiting_.append(bytes); }
  void flush(transports::SimTransport& transport, transports::Conn conn) {
    while (sending_.empty() && !waiting_.empty()) {
      sending_ = std::exchange(waiting_, {});
      const transports::ConstRange range{reinterpret_cast<const std::byte*>(sending_.data()),
                                         sending_.size()};
      if (transport.send(conn, {&range, 1}) == transports::SendStatus::pending) return;
      sending_.clear();
    }
  }
  std::string take_waiting() { return std::exchange(waiting_, {}); }
  void sent() { sending_.clear(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return waiting_.size() + sending_.size(); }

 private:
  std::string waiting_;
  std::string sending_;
};

}  // namespace feedbench::simulate
