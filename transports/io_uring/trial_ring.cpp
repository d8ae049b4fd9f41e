#include "transports/io_uring/trial_ring.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace feedbench::transports::io_uring_trial {
namespace {

constexpr unsigned kEntries = 8;
constexpr long kPatienceSeconds = 1;
constexpr unsigned kPollerIdleMs = 1;  // with SQPOLL: how long its thread goes on for nothing

/// The argument of IORING_REGISTER_PBUF_RING; older headers call `flags` padding.
struct BufferRingRegistration {
  std::uint64_t ring_address = 0;
  std::uint32_t entries = 0;
  std::uint16_t group = 0;
  std::uint16_t flags = 0;
  std::uint64_t reserved[3] = {};
};
static_assert(sizeof(BufferRingRegistration) == sizeof(io_uring_buf_reg));

}  // namespace

TrialRing::TrialRing(unsigned setup_flags) {
  io_uring_params parameters{};
  parameters.flags = setup_flags;
  parameters.sq_thread_idle = kPollerIdleMs;
  os_error_ = -io_uring_queue_init_params(kEntries, &ring_, &parameters);
}

TrialRing::~TrialRing() {
  if (os_error_ == 0) io_uring_queue_exit(&ring_);
}

int TrialRing::submit() {
  const int result = io_uring_submit(&ring_);
  return result < 0 ? -result : 0;
}

std::optional<Completion> TrialRing::wait() {
  __kernel_timespec patience{kPatienceSeconds, 0};
  io_uring_cqe* found = nullptr;
  int result = -EINTR;
  for (int tries = 0; result == -EINTR && tries < 16; ++tries) {
    result = io_uring_wait_cqe_timeout(&ring_, &found, &patience);
  }
  if (result != 0 || found == nullptr) return std::nullopt;
  const Completion completion{found->res, found->flags};
  io_uring_cqe_seen(&ring_, found);
  return completion;
}

int TrialRing::register_with(unsigned what, void* argument, unsigned count) {
  return ::syscall(__NR_io_uring_register, ring_.ring_fd, what, argument, count) < 0 ? errno : 0;
}

BufferGroup::BufferGroup(TrialRing& ring, std::uint16_t group, std::uint16_t flags)
    : entries_(kBuffers, MappedArray<io_uring_buf>::Pages::at_once),
      bytes_(std::size_t{kBuffers} * kBufferBytes, MappedArray<std::byte>::Pages::at_once),
      group_(group) {
  BufferRingRegistration registration;
  registration.ring_address = reinterpret_cast<std::uintptr_t>(entries_.data());
  registration.entries = kBuffers;
  registration.group = group;
  registration.flags = flags;
  os_error_ = ring.register_with(IORING_REGISTER_PBUF_RING, &registration, 1);
  if (os_error_ != 0) return;
  auto* const shared = reinterpret_cast<io_uring_buf_ring*>(entries_.data());
  io_uring_buf_ring_init(shared);
  for (std::uint32_t i = 0; i < kBuffers; ++i) {
    io_uring_buf_ring_add(shared, bytes_.data() + std::size_t{i} * kBufferBytes, kBufferBytes,
                          static_cast<unsigned short>(i), io_uring_buf_ring_mask(kBuffers),
                          static_cast<int>(i));
  }
  io_uring_buf_ring_advance(shared, static_cast<int>(kBuffers));
}

}  // namespace feedbench::transports::io_uring_trial
