#include "reference/venues/venue.hpp"

#include <fmt/format.h>

namespace feedbench::venues {

namespace {

bool is_within(std::string_view host, std::string_view domain) {
  if (!host.ends_with(domain)) return false;
  return host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.';
}

}  // namespace

std::string_view to_string(Venue venue) noexcept {
  switch (venue) {
    case Venue::raw:
      return "raw";
    case Venue::binance:
      return "binance";
    case Venue::alpaca:
      return "alpaca";
  }
  return "unknown";
}

Expected<Venue> venue_from_name(std::string_view name) {
  for (const Venue venue : {Venue::raw, Venue::binance, Venue::alpaca}) {
    if (name == to_string(venue)) return venue;
  }
  return tl::unexpected(
      Error{fmt::format("venue \"{}\" is not known; choose raw, binance or alpaca", name), 0});
}

Expected<Venue> venue_for(std::string_view name, std::string_view host) {
  if (!name.empty()) return venue_from_name(name);
  std::string lower(host);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (is_within(lower, "alpaca.markets")) return Venue::alpaca;
  for (const char* const domain : {"binance.com", "binance.us", "binance.vision"})
    if (is_within(lower, domain)) return Venue::binance;
  return Venue::raw;
}

std::vector<std::string> split_subscriptions(std::string_view list) {
  std::vector<std::string> items;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) items.emplace_back(item);
  }
  return items;
}

}  // namespace feedbench::venues
