#pragma once

#include <nlohmann/json_fwd.hpp>

#include "reference/monitor/model.hpp"

namespace feedbench::monitor {

/// The picture as one object: what is not known is null. docs/feedproxy.md lists the keys.
nlohmann::json to_json(const Picture& picture);

}  // namespace feedbench::monitor
