#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reference/local/control_session.hpp"
#include "reference/local/feed_registry.hpp"

namespace feedbench::local {

/// What a proxy says of itself to who asks (`feedproxy top`): its feeds and clients, as JSON. thread: the control thread.
std::string status_text(const std::vector<std::unique_ptr<ControlSession>>& sessions,
                        const FeedRegistry& registry, std::int64_t uptime_ns);

}  // namespace feedbench::local
