#pragma once

#include <string>
#include <utility>

namespace feedbench::venues {

/// A key and its secret. Never prints itself: there is no stream operator and no formatter, and
/// what it hands out has to be asked for by name. A token (OAuth) is a secret whose key is "oauth".
class Credentials {
 public:
  Credentials() = default;
  Credentials(std::string key, std::string secret)
      : key_(std::move(key)), secret_(std::move(secret)) {}

  [[nodiscard]] bool empty() const noexcept { return key_.empty() && secret_.empty(); }
  [[nodiscard]] const std::string& reveal_key() const noexcept { return key_; }
  [[nodiscard]] const std::string& reveal_secret() const noexcept { return secret_; }
  bool operator==(const Credentials&) const = default;

 private:
  std::string key_;
  std::string secret_;
};

}  // namespace feedbench::venues
