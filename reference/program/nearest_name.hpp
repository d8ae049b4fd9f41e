#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace feedbench::program {

/// The known name that is fewest edits away from `name`, or empty when none is near (more than a third of its letters).
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

/// "unknown WHAT 'NAME' (did you mean 'X'?)", or with the list of what is known when nothing is near.
std::string unknown_name(std::string_view what, std::string_view name,
                         const std::vector<std::string>& known);

}  // namespace feedbench::program
