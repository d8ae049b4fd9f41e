#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <string_view>

/// Who may be a local client. Asked once a connection.
namespace feedbench::local {

/// Members of a group may connect, whoever they are; without one the same user alone. Root may everything anyway.
struct Admission {
  std::optional<gid_t> group;

  [[nodiscard]] bool admits(const ucred& peer) const;
};

/// Takes as long whatever the two share, so that a token cannot be guessed letter by letter.
bool equal_secrets(std::string_view a, std::string_view b);

/// 1 to 64 letters, digits and -_.: characters.
bool is_client_name(std::string_view name);

}  // namespace feedbench::local
