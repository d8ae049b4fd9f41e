#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transports/transport.hpp"

/// What an exchange does wrong on request, so that clients can be tested against it.
namespace feedbench::mock_exchange {

struct Fault {
  enum class Kind : std::uint8_t {
    close_mid_frame,  ///< After `after_frames` frames, half of the next one, then FIN without a
                      ///< Close frame.
    reset,            ///< After `after_frames` frames, a TCP reset.
    stall,        ///< After `after_frames` frames, nothing for `duration_ns`; the schedule goes on
                  ///< meanwhile.
    refuse_auth,  ///< Alpaca: error 402 to every login. Other venues: HTTP 401 to the upgrade.
  };
  Kind kind = Kind::close_mid_frame;
  std::uint64_t after_frames = 0;  ///< Frames sent to the connection before it happens.
  std::int64_t duration_ns = 0;    ///< stall.
  bool every_connection =
      false;  ///< false: it happens once, to the first connection that gets there.
  bool operator==(const Fault&) const = default;
};

/// "close-mid-frame:N", "reset:N", "stall:N:250ms" (also us, s), each with ":every" at the end for
/// every connection; "refuse-auth". errors: one sentence that names the text.
transports::Expected<Fault> parse_fault(std::string_view text);
std::string to_string(const Fault& fault);

}  // namespace feedbench::mock_exchange
