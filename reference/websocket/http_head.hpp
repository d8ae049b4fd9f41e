#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reference/websocket/handshake.hpp"

/// Inside of the handshake: HTTP heads and the grammar of their values. Not for use outside this
/// folder.
namespace feedbench::websocket::http {

bool equal_no_case(std::string_view a, std::string_view b) noexcept;
/// RFC 9110 token: not empty, no separators.
bool is_token(std::string_view text) noexcept;
/// A header value that cannot end its line: visible characters, space, tab, and bytes from 0x80.
bool is_field_value(std::string_view text) noexcept;
/// Graphic ASCII only: fit for a request target or a Host.
bool is_graphic(std::string_view text) noexcept;
/// The elements of a comma-separated list, trimmed, empty ones left out.
std::vector<std::string_view> split_list(std::string_view value);
std::size_t count_headers(std::span<const HttpHeader> headers, std::string_view name) noexcept;
/// True when any header `name` lists `token`, compared without case.
bool lists_token(std::span<const HttpHeader> headers, std::string_view name,
                 std::string_view token);
/// The bytes as they may be shown in an error: at most 120, control characters replaced.
std::string shown(std::string_view text);

enum class Gathered { need_more, whole, too_long, not_text };

/// Appends to `head` from `bytes` up to and with the blank line that ends it. `consumed_bytes`: how
/// many were taken.
Gathered gather_head(std::string& head, std::span<const std::byte> bytes,
                     std::size_t head_bytes_max, std::size_t& consumed_bytes);

struct Head {
  std::string method;    ///< request
  std::string target;    ///< request
  unsigned version = 0;  ///< 11 for HTTP/1.1
  unsigned status = 0;   ///< response
  std::string reason;    ///< response
  std::vector<HttpHeader> headers;
};

/// Parses a whole head with Boost.Beast. returns an empty text, or what Beast says is wrong; 505 is
/// told by `bad_version`.
struct HeadError {
  std::string text;
  bool bad_version = false;
};
HeadError parse_request_head(const std::string& text, Head& head);
HeadError parse_response_head(const std::string& text, Head& head);

}  // namespace feedbench::websocket::http
