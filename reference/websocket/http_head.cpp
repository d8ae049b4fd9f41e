#include "reference/websocket/http_head.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <limits>

namespace feedbench::websocket {

namespace beast_http = boost::beast::http;

namespace http {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string to_std(boost::beast::string_view text) { return {text.data(), text.size()}; }

template <class Parser>
HeadError parse(Parser& parser, const std::string& text, Head& head) {
  // The size was limited while the head was gathered.
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  parser.skip(true);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(text), error);
  if (error) return {error.message(), error == beast_http::error::bad_version};
  if (!parser.is_header_done()) return {"incomplete head", false};
  head.version = parser.get().version();
  for (const auto& field : parser.get()) {
    head.headers.push_back({to_std(field.name_string()), to_std(field.value())});
  }
  return {};
}

}  // namespace

bool equal_no_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_token(std::string_view text) noexcept {
  if (text.empty()) return false;
  for (const char c : text) {
    const bool alphanumeric = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
    if (!alphanumeric &&
        (c == '\0' || std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos))
      return false;
  }
  return true;
}

bool is_field_value(std::string_view text) noexcept {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) return false;
  }
  return true;
}

bool is_graphic(std::string_view text) noexcept {
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

std::vector<std::string_view> split_list(std::string_view value) {
  std::vector<std::string_view> elements;
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    const std::string_view element = trimmed(value.substr(0, comma));
    if (!element.empty()) elements.push_back(element);
    if (comma == std::string_view::npos) break;
    value.remove_prefix(comma + 1);
  }
  return elements;
}

std::size_t count_headers(std::span<const HttpHeader> headers, std::string_view name) noexcept {
  std::size_t count = 0;
  for (const HttpHeader& header : headers) {
    if (equal_no_case(header.name, name)) ++count;
  }
  return count;
}

bool lists_token(std::span<const HttpHeader> headers, std::string_view name,
                 std::string_view token) {
  for (const HttpHeader& header : headers) {
    if (!equal_no_case(header.name, name)) continue;
    for (const std::string_view element : split_list(header.value)) {
      if (equal_no_case(element, token)) return true;
    }
  }
  return false;
}

std::string shown(std::string_view text) {
  std::string result(text.substr(0, 120));
  for (char& c : result) {
    if (c < ' ' || c > '~') c = '.';
  }
  if (text.size() > 120) result += "...";
  return result;
}

Gathered gather_head(std::string& head, std::span<const std::byte> bytes,
                     std::size_t head_bytes_max, std::size_t& consumed_bytes) {
  const std::size_t before = head.size();
  const std::size_t room = head_bytes_max - before;
  const std::size_t count = bytes.size() < room ? bytes.size() : room;
  head.append(reinterpret_cast<const char*>(bytes.data()), count);
  // The blank line may begin up to three bytes before what was just fed.
  const std::size_t end = head.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end != std::string::npos) head.resize(end + 4);
  consumed_bytes = head.size() - before;
  for (std::size_t i = before; i < head.size(); ++i) {
    const auto byte = static_cast<unsigned char>(head[i]);
    if ((byte < 0x20 && byte != '\r' && byte != '\n' && byte != '\t') || byte == 0x7F)
      return Gathered::not_text;
  }
  if (end != std::string::npos) return Gathered::whole;
  return head.size() == head_bytes_max ? Gathered::too_long : Gathered::need_more;
}

HeadError parse_request_head(const std::string& text, Head& head) {
  beast_http::request_parser<beast_http::empty_body> parser;
  HeadError error = parse(parser, text, head);
  head.method = to_std(parser.get().method_string());
  head.target = to_std(parser.get().target());
  return error;
}

HeadError parse_response_head(const std::string& text, Head& head) {
  beast_http::response_parser<beast_http::empty_body> parser;
  HeadError error = parse(parser, text, head);
  head.status = parser.get().result_int();
  head.reason = to_std(parser.get().reason());
  return error;
}

}  // namespace http

std::string_view find_header(std::span<const HttpHeader> headers, std::string_view name) noexcept {
  for (const HttpHeader& header : headers) {
    if (http::equal_no_case(header.name, name)) return header.value;
  }
  return {};
}

}  // namespace feedbench::websocket
