#pragma once

#include "transports/io_uring/trial_ring.hpp"
#include "transports/kernel_feature.hpp"

/// One io_uring operation each, carried out over a loopback connection of its own. Each records in `feature` what it saw.
/// thread: the ring's. errors: recorded; memory that is not there throws Error. Cost: some 100 us each.
namespace feedbench::transports::io_uring_trial {

void try_multishot_accept(TrialRing& ring, KernelFeature& feature);
void try_multishot_receive(TrialRing& ring, KernelFeature& feature);
void try_incremental_buffers(TrialRing& ring, KernelFeature& feature);
void try_receive_bundle(TrialRing& ring, KernelFeature& feature);
void try_send_bundle(TrialRing& ring, KernelFeature& feature);
void try_zero_copy_send(TrialRing& ring, KernelFeature& feature);
void try_zero_copy_sendmsg(TrialRing& ring, KernelFeature& feature);
void try_registered_file(TrialRing& ring, KernelFeature& feature);
void try_registered_buffer(TrialRing& ring, KernelFeature& feature);

}  // namespace feedbench::transports::io_uring_trial
