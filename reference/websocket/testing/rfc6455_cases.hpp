#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "reference/websocket/testing/frames.hpp"

/// The numbered cases of the public conformance suite (compression aside) as data: what a test peer
/// sends, and what the endpoint under test must do. The same table drives both roles.
namespace feedbench::websocket::testing {

enum class Chop { frames, whole, bytes, fixed };

enum class Ending {
  clean,  ///< The peer closes at the end (with 1000 unless the case sends its own Close); it is
          ///< answered in kind.
  fails,  ///< The endpoint fails the connection with `close_code`.
  informational,  ///< Either is allowed; nothing may be sent after the Close.
};

/// One message or pong the endpoint must send, before its Close.
struct Reply {
  Opcode opcode = Opcode::text;
  std::string payload;
};

struct Rfc6455Case {
  std::vector<RawFrame> frames;  ///< What the peer sends.
  std::vector<Reply> replies;    ///< What must come back, in order.
  Ending ending = Ending::clean;
  unsigned close_code =
      0;  ///< clean: of the endpoint's Close (0: as the peer's; 1005: empty); fails: of its Close.
  Chop chop = Chop::frames;
  std::size_t chop_bytes = 0;  ///< fixed
  bool sends_close = false;    ///< `frames` hold a Close; none is added.
  std::size_t rounds = 1;      ///< Sequential round trips of `frames` and `replies`.
  /// [frames] or empty: how many replies must be out once that frame was fed (instead of waiting
  /// for a pause).
  std::vector<std::size_t> replies_after_frame;
  /// Fail-fast cases: pieces of one text message. The one at `failing_piece` must fail the
  /// connection at once, the ones before it must not. Each is a fragment of its own, or all lie in
  /// the payload of a single frame.
  std::vector<std::string> pieces;
  std::size_t failing_piece = 0;
  bool pieces_are_frames = false;
};

struct NamedCase {
  std::string number;                 ///< "6.12.3"
  std::function<Rfc6455Case()> make;  ///< Made when run: the large ones are tens of MiB.
};

/// All 301 cases, in the suite's order.
std::vector<NamedCase> rfc6455_cases();

}  // namespace feedbench::websocket::testing
