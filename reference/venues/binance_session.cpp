#include "reference/venues/binance_session.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace feedbench::venues::binance {

namespace dom = simdjson::dom;

namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;
constexpr std::size_t kIdBytesMax = 36;

/// Errors come nested on the wire, whatever the documentation's flat examples say.
std::string error_answer(int code, std::string_view text, std::string_view id) {
  return fmt::format(R"({{"error":{{"code":{},"msg":"{}"}},"id":{}}})", code, text, id);
}

std::string null_answer(std::string_view id) {
  return fmt::format(R"({{"result":null,"id":{}}})", id);
}

/// Text of the client inside an error message of ours.
std::string escaped(std::string_view text) {
  std::string safe;
  for (const char byte : text.substr(0, 64)) {
    const bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
    safe += plain ? byte : '?';
  }
  return safe;
}

bool is_id_text(std::string_view id) {
  return id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), [](char byte) {
           return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                  (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_';
         });
}

/// The id as it has to stand in the answer; nothing if it is no id.
std::optional<std::string> echo_of(const dom::element& id) {
  std::int64_t number = 0;
  std::string_view text;
  if (id.get(number) == simdjson::SUCCESS) return std::to_string(number);
  if (id.get(text) == simdjson::SUCCESS && is_id_text(text)) return fmt::format("\"{}\"", text);
  if (id.is_null()) return "null";
  return std::nullopt;
}

}  // namespace

struct Session::Request {
  std::string method;
  std::string id = "null";
  std::vector<std::string> names;  // the strings of params, in order
  std::vector<bool> flags;         // the booleans of params, in order
  std::size_t params = 0;          // how many there are, of any type
  bool first_is_string = false;
  std::string fault;  // the whole answer, if the request is malformed

  static Request parse(std::string_view text);

 private:
  void read_params(const dom::array& array);
};

void Session::Request::read_params(const dom::array& array) {
  for (const dom::element& param : array) {
    std::string_view name;
    bool flag = false;
    if (param.get(name) == simdjson::SUCCESS) {
      first_is_string = first_is_string || params == 0;
      names.emplace_back(name);
    } else if (param.get(flag) == simdjson::SUCCESS) {
      flags.push_back(flag);
    }
    ++params;
  }
}

Session::Request Session::Request::parse(std::string_view text) {
  Request request;
  dom::parser parser;
  dom::element root;
  dom::object object;
  const std::size_t columns = text.size();
  if (parser.parse(text.data(), text.size(), true).get(root) != simdjson::SUCCESS) {
    const bool starts_well = text.starts_with('{') || text.starts_with('[');
    request.fault = fmt::format(
        R"({{"error":{{"code":3,"msg":"Invalid JSON: expected value at line 1 column {}"}}}})",
        starts_well ? columns : 1);
    return request;
  }
  const auto invalid = [&](std::string_view what) {
    request.fault = error_answer(2, fmt::format("Invalid request: {}", what), request.id);
    return request;
  };
  if (root.get(object) != simdjson::SUCCESS) {
    return invalid(fmt::format("missing field `method` at line 1 column {}", columns));
  }
  dom::element id;
  if (object["id"].get(id) == simdjson::SUCCESS) {
    const auto echo = echo_of(id);
    if (!echo) return invalid("request ID must be an unsigned integer");
    request.id = *echo;
  }
  std::string_view method;
  if (object["method"].get(method) != simdjson::SUCCESS) {
    return invalid(fmt::format("missing field `method` at line 1 column {}", columns));
  }
  request.method = method;
  dom::array params;
  if (object["params"].get(params) == simdjson::SUCCESS) request.read_params(params);
  return request;
}

Session::Session(Target target) : combined_(target.combined), streams_(std::move(target.streams)) {}

std::optional<Reply> Session::over_limit(std::int64_t now_ns) {
  std::int64_t& oldest = recent_ns_[messages_ % kMessagesPerSecondMax];
  const bool over = messages_ >= kMessagesPerSecondMax && now_ns - oldest < kSecond_ns;
  oldest = now_ns;
  ++messages_;
  if (over) return Reply{{}, 1008, "Too many requests"};
  return std::nullopt;
}

Reply Session::on_control(std::int64_t now_ns) { return over_limit(now_ns).value_or(Reply{}); }

Reply Session::on_text(std::string_view text, std::int64_t now_ns) {
  if (auto close = over_limit(now_ns)) return *close;
  const Request request = Request::parse(text);
  return Reply{request.fault.empty() ? answer(request) : request.fault, 0, {}};
}

std::string Session::answer(const Request& request) {
  if (request.method == "SUBSCRIBE") return subscribe(request);
  if (request.method == "UNSUBSCRIBE") return unsubscribe(request);
  if (request.method == "LIST_SUBSCRIPTIONS") return list(request);
  if (request.method == "SET_PROPERTY") return set_property(request);
  if (request.method == "GET_PROPERTY") return get_property(request);
  return error_answer(
      2,
      fmt::format("Invalid request: unknown variant `{}`, expected one of `SUBSCRIBE`, "
                  "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` "
                  "at line 1 column {}",
                  escaped(request.method), request.method.size() + 12),
      request.id);
}

bool Session::subscribed(std::string_view stream) const noexcept {
  return std::find(streams_.begin(), streams_.end(), stream) != streams_.end();
}

std::string Session::subscribe(const Request& request) {
  if (request.names.size() != request.params) {
    return error_answer(2, "Invalid request: property name must be a string", request.id);
  }
  if (!std::all_of(request.names.begin(), request.names.end(), is_stream_name)) {
    return error_answer(2, "Invalid request: invalid stream", request.id);
  }
  std::vector<std::string> streams = streams_;
  for (const std::string& name : request.names) {
    if (std::find(streams.begin(), streams.end(), name) != streams.end()) continue;
    if (streams.size() == kStreamsMax) return error_answer(4, "Too many subscriptions", request.id);
    streams.push_back(name);
  }
  if (streams.size() != streams_.size()) ++revision_;
  streams_ = std::move(streams);
  return null_answer(request.id);
}

std::string Session::unsubscribe(const Request& request) {
  if (request.names.size() != request.params) {
    return error_answer(2, "Invalid request: property name must be a string", request.id);
  }
  for (const std::string& name : request.names) {
    if (std::erase(streams_, name) > 0) ++revision_;
  }
  return null_answer(request.id);
}

std::string Session::list(const Request& request) const {
  if (request.params > 0)
    return error_answer(2, "Invalid request: too many parameters", request.id);
  if (streams_.empty()) return fmt::format(R"({{"result":[],"id":{}}})", request.id);
  return fmt::format(R"({{"result":["{}"],"id":{}}})", fmt::join(streams_, R"(",")"), request.id);
}

std::string Session::set_property(const Request& request) {
  if (request.params > 2)
    return error_answer(2, "Invalid request: too many parameters", request.id);
  if (!request.first_is_string) {
    return error_answer(2, "Invalid request: property name must be a string", request.id);
  }
  if (request.names.front() != "combined") return error_answer(0, "Unknown property", request.id);
  if (request.flags.size() != 1) {
    return error_answer(1, "Invalid value type: expected Boolean", request.id);
  }
  if (combined_ != request.flags.front()) ++revision_;
  combined_ = request.flags.front();
  return null_answer(request.id);
}

std::string Session::get_property(const Request& request) const {
  if (request.params > 1)
    return error_answer(2, "Invalid request: too many parameters", request.id);
  if (!request.first_is_string) {
    return error_answer(2, "Invalid request: property name must be a string", request.id);
  }
  if (request.names.front() != "combined") return error_answer(0, "Unknown property", request.id);
  return fmt::format(R"({{"result":{},"id":{}}})", combined_, request.id);
}

namespace {
std::string request_text(std::string_view method, const std::vector<std::string>& streams,
                         std::int64_t id) {
  return fmt::format(R"({{"method":"{}","params":[{}{}{}],"id":{}}})", method,
                     streams.empty() ? "" : "\"", fmt::join(streams, R"(",")"),
                     streams.empty() ? "" : "\"", id);
}
}  // namespace

std::string subscribe_request(const std::vector<std::string>& streams, std::int64_t id) {
  return request_text("SUBSCRIBE", streams, id);
}
std::string unsubscribe_request(const std::vector<std::string>& streams, std::int64_t id) {
  return request_text("UNSUBSCRIBE", streams, id);
}

}  // namespace feedbench::venues::binance
