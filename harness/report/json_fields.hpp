#pragma once

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "harness/report/result.hpp"

namespace feedbench::report {

/// `null` for what is absent.
template <typename T>
void put(Json& json, const char* key, const std::optional<T>& value) {
  json[key] = value ? Json(*value) : Json(nullptr);
}

/// Reading one JSON object with errors that say where: "groups[2].cases[0].name is not of the expected type".
class Fields {
 public:
  /// where: path of the object inside the file, empty for the whole.
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw std::runtime_error(fmt::format("{} is not an object", place()));
  }

  /// throws if the member is missing or of another type.
  template <typename T>
  void get(const char* key, T& into) const {
    try {
      value(key).get_to(into);
    } catch (const Json::exception&) {
      throw std::runtime_error(fmt::format("{} is not of the expected type", path(key)));
    }
  }
  /// `null` and a missing member give nothing.
  template <typename T>
  void get(const char* key, std::optional<T>& into) const {
    if (!json_.contains(key) || json_.at(key).is_null()) {
      into.reset();
      return;
    }
    T found{};
    get(key, found);
    into = std::move(found);
  }

  [[nodiscard]] const Json& value(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) throw std::runtime_error(fmt::format("{} is missing", path(key)));
    return *found;
  }
  [[nodiscard]] Fields object(const char* key) const { return {value(key), path(key)}; }
  [[nodiscard]] bool absent(const char* key) const {
    return !json_.contains(key) || json_.at(key).is_null();
  }

  /// Calls visit(Fields) for every object of the array.
  template <typename Visit>
  void each(const char* key, Visit&& visit) const {
    const Json& array = value(key);
    if (!array.is_array()) throw std::runtime_error(fmt::format("{} is not an array", path(key)));
    for (std::size_t i = 0; i < array.size(); ++i)
      visit(Fields(array[i], fmt::format("{}[{}]", path(key), i)));
  }

  [[nodiscard]] std::string path(const char* key) const {
    return where_.empty() ? key : where_ + "." + key;
  }

 private:
  [[nodiscard]] std::string place() const { return where_.empty() ? "the whole" : where_; }

  const Json& json_;
  std::string where_;
};

}  // namespace feedbench::report
