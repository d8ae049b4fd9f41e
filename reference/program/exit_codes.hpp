#pragma once

/// What the programs return to the shell; the same numbers in all of them.
namespace feedbench::program {

enum ExitCode : int {
  kExitOk = 0,
  kExitNegative = 1,  ///< It worked, and the answer is no (an invalid run, a gate not passed).
  kExitUsage = 2,     ///< The command line, configuration, scenario or recording is wrong.
  kExitCannotStart =
      3,  ///< Port in use, transport not supported by this kernel, file not there; interface gone.
  kExitRefused = 4,  ///< The upstream refused for good: certificate not trusted, credentials wrong.
};

}  // namespace feedbench::program
