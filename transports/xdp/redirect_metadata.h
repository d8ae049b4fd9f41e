// What the XDP program writes in front of each frame. Shared by the program and its reader.
#ifndef FEEDBENCH_REDIRECT_METADATA_H
#define FEEDBENCH_REDIRECT_METADATA_H

#include <linux/types.h>

#define REDIRECT_METADATA_MARK 0x6665656462656e63ULL

struct redirect_metadata {
  __u64 mark;    // tai_ns ^ REDIRECT_METADATA_MARK: tells it from what an earlier frame left there
  __u64 tai_ns;  // CLOCK_TAI when the program ran
};

#endif
