// How the ring is made, with which options, and how it ends.
#include "transports/io_uring/io_uring_transport.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <memory>

namespace feedbench::transports {
namespace {

constexpr std::size_t kBufferBytesMin = 1024;
constexpr unsigned kSubmissionThreadIdleMs =
    50;                                        // then it sleeps, and the next submission wakes it
constexpr std::uint32_t kIndexMax = 1u << 24;  // what user_data has room for

std::uint32_t buffer_count(const IoUringOptions& ring) {
  return std::bit_ceil(std::clamp(ring.receive_buffers, 1u, ProvidedBuffers::kCountMax));
}

std::size_t buffer_bytes(const TransportOptions& options, const IoUringOptions& ring) {
  const std::size_t each = options.receive_buffer_bytes / buffer_count(ring);
  return std::max((each + 63) / 64 * 64, kBufferBytesMin);
}

Error open_error(std::string_view detail, int os_error, std::string_view hint = {}) {
  return sockets::make_error("open io_uring", detail, os_error, hint);
}

std::string_view setup_hint(int os_error) {
  switch (os_error) {
    case EPERM:
      return "kernel.io_uring_disabled or a seccomp filter forbids it; use epoll";
    case ENOSYS:
      return "this kernel has no io_uring; use epoll";
    case ENOMEM:
      return "raise the locked-memory limit with ulimit -l";
    default:
      return {};
  }
}

}  // namespace

IoUringTransport::IoUringTransport(const TransportOptions& options, const IoUringOptions& ring)
    : options_(options),
      ring_options_(ring),
      table_(options.connections_max),
      send_messages_(options.connections_max),
      receive_messages_(options.connections_max),
      buffers_(buffer_count(ring), buffer_bytes(options, ring), ring.incremental_buffers),
      wake_descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (options.connections_max >= kIndexMax) {
    throw open_error("connections_max is above 16 million", EINVAL);
  }
  if (wake_descriptor_.get() < 0) throw open_error("eventfd", errno);
  set_up_ring();
  require_kernel();
  set_up_options();
  stamped_template_.msg_controllen = kStampControlBytes;
  queue_wake_watch();
}

// The ring starts disabled, so that it belongs to the thread that polls first and not to the one
// that made it.
void IoUringTransport::set_up_ring() {
  struct Mode {
    unsigned flags;
    const char* name;
  };
  static constexpr Mode kModes[] = {
      {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
       "deferred task run"},
      {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "cooperative task run"},
      {0, "plain"}};
  static constexpr Mode kSubmissionThread[] = {
      {IORING_SETUP_SQPOLL | IORING_SETUP_SINGLE_ISSUER, "no task run of its own"}};
  std::span<const Mode> modes = std::span(kModes).subspan(ring_options_.deferred_task_run ? 0 : 1);
  if (ring_options_.submission_thread) modes = kSubmissionThread;
  std::string reason;
  int result = -ENOSYS;
  for (const Mode& mode : modes) {
    io_uring_params parameters{};
    parameters.flags = mode.flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
    parameters.cq_entries = std::bit_ceil(ring_options_.queue_entries) * 4;
    if (ring_options_.submission_thread) {
      parameters.sq_thread_idle = kSubmissionThreadIdleMs;
      if (ring_options_.submission_core >= 0) {
        parameters.flags |= IORING_SETUP_SQ_AFF;
        parameters.sq_thread_cpu = static_cast<unsigned>(ring_options_.submission_core);
      }
    }
    result = io_uring_queue_init_params(ring_options_.queue_entries, &ring_.raw, &parameters);
    if (result == 0) {
      ring_.live = true;
      mode_ = mode.name;
      if (!reason.empty()) mode_ += " (" + reason + ")";
      return;
    }
    if (!reason.empty()) reason += ", ";
    reason += std::string(mode.name) + ": " + std::generic_category().message(-result);
    if (result != -EINVAL) break;
  }
  std::string what = "set up a ring of " + std::to_string(ring_options_.queue_entries) + " entries";
  std::string_view hint = setup_hint(-result);
  if (ring_options_.submission_thread) what += " with a submission thread";
  if (ring_options_.submission_core >= 0) {
    what += " on core " + std::to_string(ring_options_.submission_core);
    if (result == -EINVAL) hint = "is there such a core, and may this process use it (taskset -p)?";
  }
  throw open_error(what, -result, hint);
}

void IoUringTransport::require_kernel() {
  constexpr unsigned kFeatures =
      IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG;
  const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
      io_uring_get_probe_ring(&ring_.raw), io_uring_free_probe);
  // Multishot receive came with Linux 6.0 and has no flag of its own; zero-copy send came with it.
  const bool modern = probe != nullptr && io_uring_opcode_supported(probe.get(), IORING_OP_SEND_ZC);
  if ((ring_.raw.features & kFeatures) != kFeatures || !modern) {
    throw open_error("multishot receive needs Linux 6.0", ENOSYS, "use epoll on this kernel");
  }
}

// What was asked for by name and cannot be had is an error: a comparison must compare what it says.
void IoUringTransport::set_up_options() {
  const auto refused = [](const std::string& what, int os_error, const char* needs) {
    return open_error(what, os_error, needs);
  };
  if (ring_options_.receive_bundles && (ring_.raw.features & io_uring_abi::kFeatureBundle) == 0)
    throw refused("receive_bundles", EOPNOTSUPP, "they came with Linux 6.10");
  if (const int os_error = buffers_.register_with(ring_.raw); os_error != 0) {
    const bool incremental = ring_options_.incremental_buffers && os_error == EINVAL;
    throw refused(incremental ? "incremental_buffers" : "register the receive buffers", os_error,
                  incremental ? "they came with Linux 6.12" : "");
  }
  if (ring_options_.registered_files) {
    const int result = io_uring_register_files_sparse(&ring_.raw, options_.connections_max);
    if (result != 0)
      throw refused(
          "registered_files for " + std::to_string(options_.connections_max) + " connections",
          -result, result == -EMFILE ? "raise the limit of open files (ulimit -n)" : "");
  }
  if (options_.busy_poll_us != 0) {
    io_uring_abi::NapiRegistration registration;
    registration.busy_poll_us = options_.busy_poll_us;
    // By system call: the packaged library does not know it.
    const long result = ::syscall(__NR_io_uring_register, ring_.raw.ring_fd,
                                  io_uring_abi::kRegisterNapi, &registration, 1);
    if (result != 0) throw refused("busy_poll_us", errno, "it came with Linux 6.9");
  }
  const std::string asked = to_string(ring_options_);
  if (!asked.empty()) mode_ += ", " + asked;
}

Expected<void> IoUringTransport::register_memory(std::span<const std::byte> memory) {
  if (ring_options_.zero_copy_bytes == 0) return {};
  std::vector<iovec> stretches;
  for (std::size_t at = 0; at < memory.size(); at += kRegisteredStretchBytes) {
    const auto stretch = memory.subspan(at, std::min(memory.size() - at, kRegisteredStretchBytes));
    stretches.push_back({const_cast<std::byte*>(stretch.data()), stretch.size()});
  }
  const int result = io_uring_register_buffers(&ring_.raw, stretches.data(),
                                               static_cast<unsigned>(stretches.size()));
  if (result != 0) {
    return tl::unexpected(sockets::make_error(
        "register memory io_uring", std::to_string(memory.size()) + " bytes", -result,
        result == -ENOMEM  ? "raise the limit of locked memory (ulimit -l), or leave zero copy off"
        : result == -EBUSY ? "memory is registered already"
                           : ""));
  }
  registered_ = memory;
  return {};
}

IoUringTransport::~IoUringTransport() {
  stop_listening();
  // The ring is torn down in the background and would hold the sockets open meanwhile: what it
  // waits for is cancelled first.
  cancel_now(0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  if (ring_options_.registered_files) io_uring_unregister_files(&ring_.raw);
  for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
    if (table_[i].state != ConnectionState::free && table_[i].descriptor >= 0) {
      if (in_flight(table_[i])) ::shutdown(table_[i].descriptor, SHUT_WR);
      ::close(table_[i].descriptor);
    }
  }
  for (unsigned left = io_uring_cq_ready(&ring_.raw); left > 0; --left) {
    io_uring_cqe* completion = nullptr;
    if (io_uring_peek_cqe(&ring_.raw, &completion) != 0) break;
    const auto kind = static_cast<Kind>(completion->user_data & 0xFF);
    if (kind == Kind::accept && completion->res >= 0) ::close(completion->res);
    io_uring_cqe_seen(&ring_.raw, completion);
  }
}

void IoUringTransport::enable() noexcept {
  enabled_ = true;
  // By system call: the shared library of liburing 2.3 does not export io_uring_enable_rings().
  ::syscall(__NR_io_uring_register, ring_.raw.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  ring_.raw.flags &= ~IORING_SETUP_R_DISABLED;
  io_uring_register_ring_fd(
      &ring_.raw);  // saves a reference count an enter; nothing is lost without it
  counters_.system_calls += 2;
}

}  // namespace feedbench::transports
