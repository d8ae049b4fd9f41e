#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "reference/upstream/testing/tls_log_fuzz.hpp"

/// Entry point of libFuzzer (Clang, FEEDBENCH_SANITIZE=fuzzer-no-link,address,undefined).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string broken = feedbench::upstream::testing::fuzz_tls_to_log({data, size});
  if (broken.empty()) return 0;
  std::fprintf(stderr, "%s\n", broken.c_str());
  std::abort();
}
