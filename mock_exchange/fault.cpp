#include "mock_exchange/fault.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace feedbench::mock_exchange {

using transports::Error;
using transports::Expected;

namespace {

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_duration_ns(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 3> kUnits = {
      {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}}};
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit(stopped, static_cast<std::size_t>(end - stopped));
  for (const auto& [name, factor] : kUnits) {
    const double ns = value * factor;
    if (unit == name && std::isfinite(ns) && ns > 0 && ns < 1e15)
      return static_cast<std::int64_t>(ns);
  }
  return std::nullopt;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t colon = text.find(':');
    parts.push_back(text.substr(0, colon));
    if (colon == std::string_view::npos) return parts;
    text.remove_prefix(colon + 1);
  }
}

std::optional<Fault> read_fault(std::string_view text) {
  auto parts = split(text);
  Fault fault;
  if (parts.size() > 1 && parts.back() == "every") {
    fault.every_connection = true;
    parts.pop_back();
  }
  if (parts[0] == "refuse-auth") {
    fault.kind = Fault::Kind::refuse_auth;
    fault.every_connection = true;
    return parts.size() == 1 ? std::optional(fault) : std::nullopt;
  }
  if (parts[0] == "close-mid-frame") {
    fault.kind = Fault::Kind::close_mid_frame;
  } else if (parts[0] == "reset" || parts[0] == "rst") {
    fault.kind = Fault::Kind::reset;
  } else if (parts[0] == "stall") {
    fault.kind = Fault::Kind::stall;
  } else {
    return std::nullopt;
  }
  const bool stall = fault.kind == Fault::Kind::stall;
  if (parts.size() != (stall ? 3U : 2U)) return std::nullopt;
  const auto count = parse_count(parts[1]);
  if (!count) return std::nullopt;
  fault.after_frames = *count;
  if (stall) {
    const auto duration_ns = parse_duration_ns(parts[2]);
    if (!duration_ns) return std::nullopt;
    fault.duration_ns = *duration_ns;
  }
  return fault;
}

}  // namespace

Expected<Fault> parse_fault(std::string_view text) {
  if (const auto fault = read_fault(text)) return *fault;
  return tl::unexpected(
      Error{fmt::format("fault '{}' is not understood (say close-mid-frame:N, reset:N or "
                        "stall:N:250ms, each with :every "
                        "at the end for every connection, or refuse-auth)",
                        text)});
}

std::string to_string(const Fault& fault) {
  const char* every = fault.every_connection ? ":every" : "";
  switch (fault.kind) {
    case Fault::Kind::close_mid_frame:
      return fmt::format("close-mid-frame:{}{}", fault.after_frames, every);
    case Fault::Kind::reset:
      return fmt::format("reset:{}{}", fault.after_frames, every);
    case Fault::Kind::stall:
      return fmt::format("stall:{}:{}us{}", fault.after_frames, fault.duration_ns / 1000, every);
    case Fault::Kind::refuse_auth:
      return "refuse-auth";
  }
  return "?";
}

}  // namespace feedbench::mock_exchange
