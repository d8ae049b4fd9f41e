#include "transports/io_uring/io_uring_features.hpp"

#include <cerrno>
#include <memory>
#include <string>

#include "transports/io_uring/operation_trials.hpp"
#include "transports/io_uring/trial_ring.hpp"

namespace feedbench::transports {
namespace {

using io_uring_trial::BufferGroup;
using io_uring_trial::TrialRing;

constexpr std::uint32_t kNapiBusyPollUs = 50;

std::string why_no_ring(int os_error) {
  switch (os_error) {
    case ENOSYS:
      return "this kernel has no io_uring";
    case EPERM:
    case EACCES:
      return "forbidden: the setting kernel.io_uring_disabled or a seccomp filter";
    case ENOMEM:
      return "over the limit of locked memory (ulimit -l)";
    default:
      return "no ring can be made: " + explain_errno(os_error);
  }
}

void try_setup(unsigned flags, KernelFeature& feature) {
  const TrialRing ring(flags);
  if (ring.os_error() == 0) return feature.works();
  feature.fails(ring.os_error() == EINVAL ? "this kernel does not know the flag"
                                          : "refused: " + explain_errno(ring.os_error()),
                ring.os_error());
}

void try_buffer_ring(TrialRing& ring, KernelFeature& feature) {
  const BufferGroup buffers(ring, 1);
  if (buffers.os_error() == 0) return feature.works();
  feature.fails("refused: " + explain_errno(buffers.os_error()), buffers.os_error());
}

void try_napi(TrialRing& ring, KernelFeature& feature) {
  io_uring_abi::NapiRegistration registration;
  registration.busy_poll_us = kNapiBusyPollUs;
  const int os_error = ring.register_with(io_uring_abi::kRegisterNapi, &registration, 1);
  if (os_error == 0) return feature.works("on network cards alone, not on loopback");
  feature.fails(
      os_error == EINVAL ? "this kernel does not know it" : "refused: " + explain_errno(os_error),
      os_error);
}

void try_registered_ring(TrialRing& ring, KernelFeature& feature) {
  const int result = io_uring_register_ring_fd(&ring.raw());
  if (result == 1) return feature.works();
  feature.fails("refused: " + explain_errno(-result), -result);
}

/// Something to try on a ring of its own. operation: which the kernel must list first; kNoOperation is none.
struct Trial {
  const char* id;
  const char* name;
  const char* meaning;
  int operation;
  void (*carry_out)(TrialRing&, KernelFeature&);
};
constexpr int kNoOperation = -1;

/// A way to set a ring up.
struct Setup {
  const char* id;
  const char* name;
  const char* meaning;
  unsigned flags;
};

constexpr Setup kSetups[] = {
    {"io_uring.single_issuer", "SINGLE_ISSUER",
     "one thread alone submits: the kernel locks less; feedbench uses it",
     IORING_SETUP_SINGLE_ISSUER},
    {"io_uring.defer_taskrun", "DEFER_TASKRUN",
     "completions run when they are asked for; feedbench uses it",
     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
    {"io_uring.coop_taskrun", "COOP_TASKRUN",
     "completions do not interrupt the program; used where DEFER_TASKRUN is absent",
     IORING_SETUP_COOP_TASKRUN},
    {"io_uring.sqpoll", "SQPOLL", "a kernel thread submits; it needs a core of its own",
     IORING_SETUP_SQPOLL},
};

constexpr Trial kTrials[] = {
    {"io_uring.buffer_ring", "provided buffer ring",
     "the kernel picks where received bytes go; feedbench uses it", kNoOperation, try_buffer_ring},
    {"io_uring.incremental_buffers", "incremental buffers",
     "one buffer is filled by several receives (IOU_PBUF_RING_INC)", kNoOperation,
     io_uring_trial::try_incremental_buffers},
    {"io_uring.multishot_accept", "multishot accept",
     "one request accepts all connections; feedbench uses it", IORING_OP_ACCEPT,
     io_uring_trial::try_multishot_accept},
    {"io_uring.multishot_recv", "multishot recv",
     "one request receives everything to come; feedbench uses it", IORING_OP_RECV,
     io_uring_trial::try_multishot_receive},
    {"io_uring.recv_bundle", "recv bundle", "one receive fills several buffers", IORING_OP_RECV,
     io_uring_trial::try_receive_bundle},
    {"io_uring.send_bundle", "send bundle", "one request sends several buffers", IORING_OP_SEND,
     io_uring_trial::try_send_bundle},
    {"io_uring.send_zc", "SEND_ZC", "sends without copying", IORING_OP_SEND_ZC,
     io_uring_trial::try_zero_copy_send},
    {"io_uring.sendmsg_zc", "SENDMSG_ZC", "the same from several places", IORING_OP_SENDMSG_ZC,
     io_uring_trial::try_zero_copy_sendmsg},
    {"io_uring.registered_files", "registered files", "sockets looked up once, not at each request",
     kNoOperation, io_uring_trial::try_registered_file},
    {"io_uring.registered_buffers", "registered buffers", "memory pinned once", kNoOperation,
     io_uring_trial::try_registered_buffer},
    {"io_uring.registered_ring", "registered ring",
     "the ring itself looked up once; feedbench uses it", kNoOperation, try_registered_ring},
    {"io_uring.napi", "NAPI busy poll",
     "a waiting thread asks the network card instead of sleeping", kNoOperation, try_napi},
};

void try_one(const Trial& trial, const io_uring_probe* listed, KernelFeature& feature) {
  if (trial.operation != kNoOperation && listed != nullptr &&
      io_uring_opcode_supported(listed, trial.operation) == 0) {
    return feature.fails("the kernel does not list this operation", EOPNOTSUPP);
  }
  TrialRing ring;
  if (const int os_error = ring.os_error(); os_error != 0) {
    return feature.untried(why_no_ring(os_error), os_error);
  }
  try {
    trial.carry_out(ring, feature);
  } catch (const Error& error) {
    feature.untried(error.message, error.os_error);
  }
}

}  // namespace

std::vector<KernelFeature> probe_io_uring_features() {
  std::vector<KernelFeature> features;
  int no_ring = 0;
  {
    const TrialRing plain;
    no_ring = plain.os_error();
  }
  const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> listed(
      no_ring == 0 ? io_uring_get_probe() : nullptr, io_uring_free_probe);
  const auto add = [&](const auto& entry, const auto& carry_out) {
    KernelFeature& feature =
        features.emplace_back(KernelFeature{entry.id, entry.name, entry.meaning, {}, {}, 0});
    no_ring == 0 ? carry_out(feature) : feature.untried(why_no_ring(no_ring), no_ring);
  };
  for (const Setup& setup : kSetups) {
    add(setup, [&](KernelFeature& feature) { try_setup(setup.flags, feature); });
  }
  for (const Trial& trial : kTrials) {
    add(trial, [&](KernelFeature& feature) { try_one(trial, listed.get(), feature); });
  }
  return features;
}

}  // namespace feedbench::transports
