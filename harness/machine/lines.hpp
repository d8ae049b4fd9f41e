#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/machine/machine_facts.hpp"

/// The facts in words: what a person reads on the screen, and a program in the JSON.
namespace feedbench::machine {

/// One fact.
struct Line {
  enum class Kind { feature, value };
  std::string id;    ///< stable, for programs: "io_uring.send_zc"
  std::string name;  ///< of the feature or quantity
  Kind kind = Kind::value;
  std::optional<bool> available;  ///< of a feature; absent: could not be tried
  /// Of a value. std::monostate: there is none, or it is not known; the text tells which.
  std::variant<std::monostate, double, std::string> value;
  std::string unit;  ///< of a number
  std::string text;  ///< the answer as shown: "yes", "8 MiB"
  std::string note;  ///< one clause: what it means, or why not
};

struct Group {
  std::string id;
  std::string title;
  std::vector<Line> lines;
};

/// What costs performance on this machine, and what to do about it, in one line.
struct Advice {
  std::string about;  ///< id of the line that shows it
  std::string text;
};

[[nodiscard]] Line feature_line(const transports::KernelFeature& feature);
[[nodiscard]] Line yes_or_no(std::string id, std::string name, std::optional<bool> available,
                             std::string note);
[[nodiscard]] Line number_line(std::string id, std::string name, double value, std::string unit,
                               std::string text, std::string note);
[[nodiscard]] Line text_line(std::string id, std::string name, std::string value, std::string note);
/// text: "unknown", "none", "absent", "no limit".
[[nodiscard]] Line line_without_value(std::string id, std::string name, std::string text,
                                      std::string note);

/// "unknown" when absent, "none" when empty.
[[nodiscard]] Line value_or_none(std::string id, std::string name,
                                 const std::optional<std::string>& value, std::string note);
/// "24 us", "9.5 ns".
[[nodiscard]] std::string duration_text(double ns);

/// All groups in the order in which they are shown. O(facts). thread: any.
[[nodiscard]] std::vector<Group> describe(const MachineFacts& facts);
/// Its parts.
[[nodiscard]] std::vector<Group> describe_transports(const TransportFacts& facts);
[[nodiscard]] Group describe_memory(const MemoryFacts& facts);
[[nodiscard]] Group describe_cores(const CoreFacts& facts);
[[nodiscard]] Group describe_clock(const ClockFacts& facts);
[[nodiscard]] Group describe_costs(const MachineFacts& facts);

}  // namespace feedbench::machine
