#pragma once

#include <cstddef>
#include <string_view>

/// A walk over the members of one JSON object without parsing it: enough to find a key near the
/// start of a frame and to step over what lies between. It trusts the venue to send JSON, so it
/// does not validate; any bytes are safe.
namespace feedbench::venues::json_scan {

inline constexpr std::size_t kNone = std::string_view::npos;

inline std::size_t skip_space(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() &&
         (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) {
    ++at;
  }
  return at;
}

/// at: the opening quote. returns the index of the closing quote, or kNone.
inline std::size_t end_of_string(std::string_view text, std::size_t at) noexcept {
  for (std::size_t from = at + 1;;) {
    const std::size_t quote = text.find('"', from);
    if (quote == kNone) return kNone;
    std::size_t backslashes = 0;
    while (text[quote - 1 - backslashes] == '\\')
      ++backslashes;  // ends at the opening quote at the latest
    if (backslashes % 2 == 0) return quote;
    from = quote + 1;
  }
}

/// at: the first byte of a value. returns the index just behind it, or kNone.
inline std::size_t skip_value(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return kNone;
  if (text[at] == '"') {
    const std::size_t quote = end_of_string(text, at);
    return quote == kNone ? kNone : quote + 1;
  }
  if (text[at] != '{' && text[at] != '[') {
    std::size_t end = at;  // a number, true, false or null: up to what can follow a value
    while (end < text.size() && text[end] > ' ' && text[end] != ',' && text[end] != '}' &&
           text[end] != ']') {
      ++end;
    }
    return end == at || end == text.size() ? kNone : end;
  }
  std::size_t depth = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char byte = text[i];
    if (byte == '"') {
      i = end_of_string(text, i);
      if (i == kNone) return kNone;
    } else if (byte == '{' || byte == '[') {
      ++depth;
    } else if (byte == '}' || byte == ']') {
      if (--depth == 0) return i + 1;
    }
  }
  return kNone;
}

struct Member {
  std::string_view key;    ///< Between the quotes, escapes as they stand.
  std::string_view value;  ///< As it stands: strings with their quotes.
};

/// The text between the quotes of a string value; empty for any other value.
inline std::string_view string_of(std::string_view value) noexcept {
  return value.size() >= 2 && value.front() == '"' ? value.substr(1, value.size() - 2)
                                                   : std::string_view{};
}

/// Usage: ObjectScanner scan(text, index_of_brace); while (scan.next(member)) ...; scan.end()
class ObjectScanner {
 public:
  ObjectScanner(std::string_view text, std::size_t brace) noexcept
      : text_(text), at_(brace < text.size() && text[brace] == '{' ? brace + 1 : kNone) {}

  /// The next member; false at the end of the object, or where the text is no JSON.
  bool next(Member& member) noexcept {
    if (at_ == kNone || end_ != kNone) return false;
    at_ = skip_space(text_, at_);
    if (at_ < text_.size() && text_[at_] == ',') at_ = skip_space(text_, at_ + 1);
    if (at_ >= text_.size()) return fail();
    if (text_[at_] == '}') {
      end_ = at_ + 1;
      return false;
    }
    if (text_[at_] != '"') return fail();
    const std::size_t quote = end_of_string(text_, at_);
    if (quote == kNone) return fail();
    member.key = text_.substr(at_ + 1, quote - at_ - 1);
    at_ = skip_space(text_, quote + 1);
    if (at_ >= text_.size() || text_[at_] != ':') return fail();
    at_ = skip_space(text_, at_ + 1);
    const std::size_t behind = skip_value(text_, at_);
    if (behind == kNone) return fail();
    member.value = text_.substr(at_, behind - at_);
    at_ = behind;
    return true;
  }

  /// The index just behind the closing brace once next() returned false; kNone where the text is no
  /// JSON.
  [[nodiscard]] std::size_t end() const noexcept { return end_; }

 private:
  bool fail() noexcept {
    at_ = kNone;
    return false;
  }
  std::string_view text_;
  std::size_t at_;
  std::size_t end_ = kNone;
};

}  // namespace feedbench::venues::json_scan
