#pragma once

namespace feedbench::program {

/// Opens /dev/null where descriptor 0, 1 or 2 is closed. Call first in main(): what is opened later would else get that
/// number, and what is printed would be written into it: into a socket, or the memory that readers share.
void open_standard_descriptors() noexcept;

}  // namespace feedbench::program
