#include "transports/io_uring/operation_trials.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <string>

#include "transports/loopback_pair.hpp"

namespace feedbench::transports::io_uring_trial {
namespace {

constexpr std::size_t kChunkBytes = 40;
constexpr char kNothingCame[] = "submitted, but no completion came within a second";

using Chunk = std::array<char, 3 * kChunkBytes>;

/// A pair to try something on; records in the feature that there is none.
bool connected(const LoopbackPair& pair, KernelFeature& feature) {
  if (pair.os_error == 0) return true;
  feature.untried("no loopback connection to try it on: " + explain_errno(pair.os_error),
                  pair.os_error);
  return false;
}

/// Registers a group of buffers; records the refusal.
bool registered(const BufferGroup& buffers, KernelFeature& feature) {
  if (buffers.os_error() == 0) return true;
  feature.fails("the kernel refuses such a buffer ring: " + explain_errno(buffers.os_error()),
                buffers.os_error());
  return false;
}

bool send_bytes(int descriptor, std::size_t bytes) {
  const Chunk chunk{};
  return ::send(descriptor, chunk.data(), bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

/// Submits what is queued and waits for one completion; records in the feature when that fails.
std::optional<Completion> carry_out(TrialRing& ring, KernelFeature& feature) {
  if (const int os_error = ring.submit(); os_error != 0) {
    feature.fails("not accepted: " + explain_errno(os_error), os_error);
    return std::nullopt;
  }
  const auto completion = ring.wait();
  if (!completion) {
    feature.fails(kNothingCame);
  } else if (completion->result < 0) {
    feature.fails("refused: " + explain_errno(-completion->result), -completion->result);
    return std::nullopt;
  }
  return completion;
}

io_uring_sqe* queue_receive(TrialRing& ring, int descriptor, const BufferGroup& buffers) {
  io_uring_sqe* const entry = ring.entry();
  io_uring_prep_recv(entry, descriptor, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = buffers.group();
  return entry;
}

/// A zero-copy send has two completions: what was sent, and later that the memory is free again.
void see_zero_copy(TrialRing& ring, const Completion& sent, KernelFeature& feature) {
  if (!sent.has(IORING_CQE_F_MORE)) return feature.works();
  const auto notice = ring.wait();
  if (!notice) return feature.fails("sent, but the kernel never gave the memory back");
  const auto use = static_cast<std::uint32_t>(notice->result);
  feature.works((use & kZeroCopyCopied) != 0 ? "over loopback the kernel copies all the same" : "");
}

/// queue(entry): fills in the operation. Asks the kernel to say whether it copied, where it can.
template <class Queue>
void try_zero_copy(TrialRing& ring, KernelFeature& feature, const Queue& queue) {
  for (const std::uint16_t flags : {kReportZeroCopyUse, std::uint16_t{0}}) {
    io_uring_sqe* const entry = ring.entry();
    queue(entry);
    entry->ioprio |= flags;
    const auto sent = carry_out(ring, feature);
    if (sent) return see_zero_copy(ring, *sent, feature);
    if (feature.os_error != EINVAL) return;
  }
}

}  // namespace

void try_multishot_accept(TrialRing& ring, KernelFeature& feature) {
  const LoopbackListener listener = listen_on_loopback();
  if (listener.os_error != 0) {
    return feature.untried("no loopback listener: " + explain_errno(listener.os_error),
                           listener.os_error);
  }
  io_uring_prep_multishot_accept(ring.entry(), listener.descriptor.get(), nullptr, nullptr,
                                 SOCK_CLOEXEC);
  if (const int os_error = ring.submit(); os_error != 0) {
    return feature.fails("not accepted: " + explain_errno(os_error), os_error);
  }
  const rings::Descriptor peer = connect_to_loopback(listener.port);
  const auto accepted = ring.wait();
  if (!accepted) {
    feature.fails(kNothingCame);
  } else if (accepted->result < 0) {
    feature.fails("refused: " + explain_errno(-accepted->result), -accepted->result);
  } else {
    ::close(accepted->result);
    accepted->has(IORING_CQE_F_MORE) ? feature.works()
                                     : feature.fails("it accepted one connection and ended");
  }
  // An armed accept is ended before its socket is closed, and its last completion taken.
  ::shutdown(listener.descriptor.get(), SHUT_RDWR);
  if (feature.available == true) static_cast<void>(ring.wait());
}

void try_multishot_receive(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  const BufferGroup buffers(ring, 1);
  if (!registered(buffers, feature)) return;
  queue_receive(ring, pair.accepted.get(), buffers)->ioprio |= IORING_RECV_MULTISHOT;
  if (!send_bytes(pair.connecting.get(), kChunkBytes)) return feature.untried("send failed", errno);
  const auto received = carry_out(ring, feature);
  if (!received) return;
  if (!received->has(IORING_CQE_F_MORE)) return feature.fails("it received once and ended");
  feature.works();
  ::shutdown(pair.connecting.get(), SHUT_WR);
  static_cast<void>(ring.wait());  // the end of the stream ends the operation
}

void try_incremental_buffers(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  const BufferGroup buffers(ring, 2, kBufferRingIncremental);
  if (!registered(buffers, feature)) return;
  queue_receive(ring, pair.accepted.get(), buffers);
  if (!send_bytes(pair.connecting.get(), kChunkBytes)) return feature.untried("send failed", errno);
  const auto received = carry_out(ring, feature);
  if (!received) return;
  received->has(kCompletionBufferMore)
      ? feature.works()
      : feature.fails("registered, but a buffer filled in part was given up whole");
}

void try_receive_bundle(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  const BufferGroup buffers(ring, 3);
  if (!registered(buffers, feature)) return;
  constexpr std::size_t kTwoBuffers = 3 * kChunkBytes;
  static_assert(kTwoBuffers > BufferGroup::kBufferBytes);
  if (!send_bytes(pair.connecting.get(), kTwoBuffers)) return feature.untried("send failed", errno);
  queue_receive(ring, pair.accepted.get(), buffers)->ioprio |= kBundle;
  const auto received = carry_out(ring, feature);
  if (!received) return;
  static_cast<std::size_t>(received->result) == kTwoBuffers
      ? feature.works()
      : feature.fails("one receive filled one buffer alone");
}

void try_send_bundle(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  const BufferGroup buffers(ring, 4);
  if (!registered(buffers, feature)) return;
  io_uring_sqe* const entry = ring.entry();
  io_uring_prep_send(entry, pair.connecting.get(), nullptr, 0, MSG_NOSIGNAL);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = buffers.group();
  entry->ioprio |= kBundle;
  const auto sent = carry_out(ring, feature);
  if (!sent) return;
  const auto all = BufferGroup::kBuffers * BufferGroup::kBufferBytes;
  static_cast<std::uint32_t>(sent->result) == all ? feature.works()
                                                  : feature.fails("one send took one buffer alone");
}

void try_zero_copy_send(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  Chunk chunk{};
  try_zero_copy(ring, feature, [&](io_uring_sqe* entry) {
    io_uring_prep_send_zc(entry, pair.connecting.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL,
                          0);
  });
}

void try_zero_copy_sendmsg(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  Chunk chunk{};
  iovec range{chunk.data(), chunk.size()};
  msghdr message{};
  message.msg_iov = &range;
  message.msg_iovlen = 1;
  try_zero_copy(ring, feature, [&](io_uring_sqe* entry) {
    io_uring_prep_sendmsg_zc(entry, pair.connecting.get(), &message, MSG_NOSIGNAL);
  });
}

void try_registered_file(TrialRing& ring, KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (!connected(pair, feature)) return;
  const int descriptor = pair.connecting.get();
  if (const int result = io_uring_register_files(&ring.raw(), &descriptor, 1); result != 0) {
    return feature.fails("refused: " + explain_errno(-result), -result);
  }
  const Chunk chunk{};
  io_uring_sqe* const entry = ring.entry();
  io_uring_prep_send(entry, 0, chunk.data(), chunk.size(), MSG_NOSIGNAL);
  entry->flags |= IOSQE_FIXED_FILE;
  if (carry_out(ring, feature)) feature.works();
  io_uring_unregister_files(&ring.raw());
}

void try_registered_buffer(TrialRing& ring, KernelFeature& feature) {
  const MappedArray<std::byte> page(4096, MappedArray<std::byte>::Pages::at_once);
  const iovec range{const_cast<std::byte*>(&page[0]), page.size()};
  if (const int result = io_uring_register_buffers(&ring.raw(), &range, 1); result != 0) {
    return feature.fails(result == -ENOMEM ? "refused: over the limit of locked memory (ulimit -l)"
                                           : "refused: " + explain_errno(-result),
                         -result);
  }
  feature.works();
  io_uring_unregister_buffers(&ring.raw());
}

}  // namespace feedbench::transports::io_uring_trial
