#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// The little HTTP that the relay cannot do without: an exchange sends nothing before it has been
/// asked to upgrade.
namespace feedbench::baselines {

/// The text of a WebSocket upgrade request with a fresh random key.
/// host: the authority as it stands in the URL ("127.0.0.1:9443"). target: path and query.
std::string upgrade_request(std::string_view host, std::string_view target);

/// What a response head says, once it is whole.
struct UpgradeAnswer {
  bool accepted = false;  ///< The status is 101.
  std::size_t head_bytes =
      0;  ///< Length of the head with its empty line; the first frame begins here.
  std::string status_line;  ///< For the error text: "HTTP/1.1 404 Not Found".
};

inline constexpr std::size_t kResponseHeadBytesMax = 16 * 1024;

/// received: all bytes of the connection so far. Returns nothing while the head is incomplete. A
/// head that is still incomplete at kResponseHeadBytesMax is an answer that is not accepted.
/// Sec-WebSocket-Accept is not looked at: this is the floor, and it speaks to the mock exchange
/// alone.
std::optional<UpgradeAnswer> read_upgrade_answer(std::string_view received);

}  // namespace feedbench::baselines
