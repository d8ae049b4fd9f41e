#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace feedbench::venues::alpaca {

/// One object of a frame. Both views point into the frame; empty where the object has no such key.
struct Message {
  std::string_view type;    ///< "T": t q b d u s l c x i o, or success, error, subscription.
  std::string_view symbol;  ///< "S"; empty for control messages.
};

/// Walks the objects of one frame (a JSON array) without parsing it: keys "T" and "S" are where the
/// venue puts them, first and second; objects of another order are found by a slower scan. Any
/// bytes are safe; on what is not an array of objects the walk ends early.
class MessageScanner {
 public:
  explicit MessageScanner(std::string_view frame) noexcept;
  /// The next object; false at the end.
  bool next(Message& message) noexcept;

 private:
  std::string_view frame_;
  std::size_t position_;
  std::size_t object_ =
      std::string_view::npos;  // the object left unfinished behind its symbol, if any
};

/// Calls visit(const Message&) for each object of the frame. Cost: some 10 ns an object of the
/// venue's key order.
template <class Visit>
void for_each_message(std::string_view frame, Visit&& visit) {
  MessageScanner scanner(frame);
  Message message;
  while (scanner.next(message)) visit(static_cast<const Message&>(message));
}

/// The channel that carries messages of type T ("t" -> "trades", "c" -> "corrections"); empty for
/// control messages.
[[nodiscard]] std::string_view channel_of_type(std::string_view type) noexcept;

enum class ControlKind : std::uint8_t { none, connected, authenticated, subscription, error };

/// A control message of the venue, which stands alone in its array.
struct Control {
  ControlKind kind = ControlKind::none;
  int code = 0;      ///< error
  std::string text;  ///< error: "msg"
};
/// none for data. Data frames are told apart by their first bytes (some ns); control frames are
/// parsed.
[[nodiscard]] Control control_of(std::string_view frame);

}  // namespace feedbench::venues::alpaca
