#pragma once

#include <cstdint>

namespace feedbench::transports::testing {

/// How many times this process has asked the heap for memory: every malloc(), calloc(), realloc() and aligned variant, and
/// thereby every operator new. Always 0 under a sanitizer, which brings its own heap.
std::uint64_t allocations() noexcept;

/// False under a sanitizer: then the counting tests have nothing to say.
bool allocations_are_counted() noexcept;

}  // namespace feedbench::transports::testing
