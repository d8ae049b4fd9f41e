#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

/// Reading the small files of /proc and /sys. What is not there, or not as expected, is nothing. thread: any.
namespace feedbench::measure {

/// First line without the blanks around it; nothing if the file is missing or empty.
inline std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string::npos) return std::nullopt;
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

/// The number a text begins with.
inline std::optional<std::uint64_t> number_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  std::istringstream in(*text);
  std::uint64_t value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
}

/// "always [madvise] never" -> "madvise".
inline std::optional<std::string> bracketed(std::optional<std::string> text) {
  if (!text) return std::nullopt;
  const std::size_t open = text->find('[');
  const std::size_t close = text->find(']');
  if (open == std::string::npos || close == std::string::npos) return text;
  return text->substr(open + 1, close - open - 1);
}

}  // namespace feedbench::measure
