#pragma once

#include <string>
#include <string_view>

namespace feedbench::venues {

/// Appends the base64 text of `bytes` (standard alphabet, padded) to `text`. source: RFC 4648
/// section 4.
void append_base64(std::string_view bytes, std::string& text);

/// Replaces `bytes` by what `text` encodes. Strict: standard alphabet, padded, no white space,
/// unused bits zero. returns false, and leaves `bytes` unspecified, for anything else.
bool decode_base64(std::string_view text, std::string& bytes);

}  // namespace feedbench::venues
