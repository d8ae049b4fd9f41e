#include "transports/select/select_poller.hpp"

namespace feedbench::transports {

int SelectPoller::select_now(std::int64_t timeout_ns) noexcept {
  fd_set reading;
  fd_set writing;
  std::memcpy(&reading, watch_reading_.words.data(), sizeof(reading));
  std::memcpy(&writing, watch_writing_.words.data(), sizeof(writing));
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const int count =
      ::pselect(limit_, &reading, &writing, nullptr, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  if (count <= 0) return count;
  std::memcpy(found_readable_.words.data(), &reading, sizeof(reading));
  std::memcpy(found_writable_.words.data(), &writing, sizeof(writing));
  return count;
}

}  // namespace feedbench::transports
