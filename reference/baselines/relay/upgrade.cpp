#include "reference/baselines/relay/upgrade.hpp"

#include <random>

namespace feedbench::baselines {
namespace {

/// 16 random bytes in base64, drawn symbol by symbol.
std::string random_key() {
  static constexpr std::string_view kSymbols =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static constexpr std::string_view kLastSymbols = "AQgw";  // the 22nd symbol carries two bits
  std::random_device random;
  std::string key;
  for (int i = 0; i < 21; ++i) key += kSymbols[random() % kSymbols.size()];
  key += kLastSymbols[random() % kLastSymbols.size()];
  return key + "==";
}

}  // namespace

std::string upgrade_request(std::string_view host, std::string_view target) {
  std::string text = "GET ";
  text.append(target).append(" HTTP/1.1\r\nHost: ").append(host);
  text.append(
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
      "13\r\nSec-WebSocket-Key: ");
  text.append(random_key()).append("\r\n\r\n");
  return text;
}

std::optional<UpgradeAnswer> read_upgrade_answer(std::string_view received) {
  static constexpr std::string_view kEnd = "\r\n\r\n";
  const std::string_view head = received.substr(0, kResponseHeadBytesMax);
  const auto end = head.find(kEnd);
  if (end == std::string_view::npos && head.size() < kResponseHeadBytesMax) return std::nullopt;

  UpgradeAnswer answer;
  answer.status_line = std::string(head.substr(0, std::min(head.find("\r\n"), std::size_t{120})));
  if (end == std::string_view::npos) return answer;
  answer.head_bytes = end + kEnd.size();
  answer.accepted = head.starts_with("HTTP/1.1 101 ") || head.starts_with("HTTP/1.1 101\r");
  return answer;
}

}  // namespace feedbench::baselines
