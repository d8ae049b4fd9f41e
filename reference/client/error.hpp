#pragma once

#include <stdexcept>
#include <string>

#include "reference/client/protocol.hpp"

namespace feedproxy {

/// What a blocking call of the client throws: one sentence, and why.
class Error : public std::runtime_error {
 public:
  Error(Errc code, const std::string& what) : std::runtime_error(what), code_(code) {}
  [[nodiscard]] Errc code() const noexcept { return code_; }

 private:
  Errc code_;
};

}  // namespace feedproxy
