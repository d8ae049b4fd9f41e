#include "transports/kernel_feature.hpp"

#include <cstring>

namespace feedbench::transports {

std::string explain_errno(int os_error) {
  const char* name = ::strerrorname_np(os_error);
  const char* text = ::strerrordesc_np(os_error);
  std::string out = name == nullptr ? "error " + std::to_string(os_error) : std::string(name);
  if (text != nullptr) out += std::string(": ") + text;
  return out;
}

}  // namespace feedbench::transports
