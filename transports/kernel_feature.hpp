#pragma once

#include <optional>
#include <string>
#include <utility>

namespace feedbench::transports {

/// One feature of the running kernel, tried for real and not guessed from a version.
struct KernelFeature {
  std::string id;       ///< Stable name for programs: "io_uring.send_zc".
  std::string name;     ///< As its documentation calls it: "SEND_ZC".
  std::string meaning;  ///< What it is for, one clause.
  std::optional<bool>
      available;  ///< true: it worked. false: it was refused. Absent: it could not be tried.
  std::string
      reason;  ///< What was seen, or why it is absent or untried. May be empty when available.
  int os_error = 0;  ///< errno of the refusal; 0 when there is none.

  /// Records that it worked. seen: what was observed, may be empty.
  void works(std::string seen = {}) {
    available = true;
    reason = std::move(seen);
    os_error = 0;
  }
  /// Records a refusal, or that what was expected did not happen (os_error 0).
  void fails(std::string why, int refused_with = 0) {
    available = false;
    reason = std::move(why);
    os_error = refused_with;
  }
  /// Records that it could not be tried.
  void untried(std::string why, int prevented_by = 0) {
    available = std::nullopt;
    reason = std::move(why);
    os_error = prevented_by;
  }
};

/// "EINVAL: Invalid argument", the name left out where the C library has none.
std::string explain_errno(int os_error);

}  // namespace feedbench::transports
