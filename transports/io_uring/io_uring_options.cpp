#include "transports/io_uring/io_uring_options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace feedbench::transports {
namespace {

constexpr char kKnown[] =
    "registered_files, receive_bundles, incremental_buffers, zero_copy=BYTES, submission_thread, "
    "submission_thread=CORE, no_deferred_task_run";

/// A switch of the command line and the value that giving it sets.
struct Switch {
  std::string_view name;
  bool IoUringOptions::*member;
  bool value;
};
constexpr Switch kSwitches[] = {
    {"registered_files", &IoUringOptions::registered_files, true},
    {"receive_bundles", &IoUringOptions::receive_bundles, true},
    {"incremental_buffers", &IoUringOptions::incremental_buffers, true},
    {"submission_thread", &IoUringOptions::submission_thread, true},
    {"no_deferred_task_run", &IoUringOptions::deferred_task_run, false},
};

std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Applies one word. returns what is wrong with it, or nothing.
std::string take_word(std::string_view word, IoUringOptions& options) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  if (equals == std::string_view::npos) {
    for (const Switch& each : kSwitches) {
      if (each.name != name) continue;
      options.*each.member = each.value;
      return {};
    }
    return name == "zero_copy" ? "says from how many bytes on: zero_copy=65536"
                               : std::string("there is no such option; known: ") + kKnown;
  }
  const auto number = number_in(word.substr(equals + 1));
  if (name == "zero_copy") {
    if (!number || *number == 0) return "wants a number of bytes above zero: zero_copy=65536";
    options.zero_copy_bytes = *number;
  } else if (name == "submission_thread") {
    if (!number || *number > 65'535) return "wants the number of a core: submission_thread=1";
    options.submission_thread = true;
    options.submission_core = static_cast<int>(*number);
  } else {
    for (const Switch& each : kSwitches)
      if (each.name == name) return "takes no value";
    return std::string("there is no such option; known: ") + kKnown;
  }
  return {};
}

}  // namespace

Expected<IoUringOptions> parse_io_uring_options(const std::vector<std::string>& words) {
  IoUringOptions options;
  std::vector<std::string_view> seen;
  for (const std::string& word : words) {
    const std::string_view name = std::string_view(word).substr(0, word.find('='));
    if (std::find(seen.begin(), seen.end(), name) != seen.end())
      return tl::unexpected(Error{word + ": given twice", 0});
    seen.push_back(name);
    if (std::string wrong = take_word(word, options); !wrong.empty())
      return tl::unexpected(Error{word + ": " + wrong, 0});
  }
  return options;
}

std::string to_string(const IoUringOptions& options) {
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
  for (const Switch& each : kSwitches) {
    const bool thread_of_a_core =
        each.member == &IoUringOptions::submission_thread && options.submission_core >= 0;
    if (options.*each.member == each.value)
      add(std::string(each.name) +
          (thread_of_a_core ? "=" + std::to_string(options.submission_core) : ""));
  }
  if (options.zero_copy_bytes != 0) add("zero_copy=" + std::to_string(options.zero_copy_bytes));
  return text;
}

}  // namespace feedbench::transports
