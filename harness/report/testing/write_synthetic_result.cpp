// Writes a made-up result for the tests of scripts/plot: write_synthetic_result KIND FILE
#include <cstdio>
#include <exception>

#include "harness/report/testing/synthetic_result.hpp"

int main(int argc, char** argv) {
  using namespace feedbench::report;
  if (argc != 3) {
    std::fputs("usage: write_synthetic_result full|one_count|all_skipped|invalid_only FILE\n",
               stderr);
    return 2;
  }
  try {
    write_result(testing::synthetic_result(testing::synthetic_kind(argv[1])), argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
