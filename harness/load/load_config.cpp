#include "harness/load/load_config.hpp"

#include <nlohmann/json.hpp>

#include "harness/measure/histogram_codec.hpp"

namespace feedbench::load {
namespace {

using nlohmann::json;

json histogram_json(const measure::Histogram& histogram) {
  return {{"v2", measure::encode_v2_base64(histogram)},
          {"overflow", histogram.overflow_count()},
          {"largest", histogram.max()},
          {"negative", histogram.negative_count()}};
}

measure::Histogram histogram_from(const json& from) {
  measure::Histogram out = measure::decode_v2_base64(from.at("v2").get<std::string>());
  if (const auto overflow = from.at("overflow").get<std::uint64_t>(); overflow > 0) {
    out.add_overflow(overflow, from.at("largest").get<std::int64_t>());
  }
  out.add_negative(from.at("negative").get<std::uint64_t>());
  return out;
}

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

std::optional<double> number_or_absent(const json& from) {
  return from.is_null() ? std::nullopt : std::optional<double>(from.get<double>());
}

}  // namespace

json to_json(const LoadConfig& c) {
  return {{"session_file", c.session_file},
          {"payload_bytes", c.payload_bytes},
          {"frames", c.frames},
          {"seed", c.seed},
          {"venue", c.venue},
          {"pace_kind", static_cast<int>(c.pace.kind)},
          {"pace_value", c.pace.value},
          {"listen_address", c.listen_address},
          {"tls_certificate_file", c.tls_certificate_file},
          {"tls_key_file", c.tls_key_file},
          {"clients_via", c.clients_via},
          {"clients", c.clients},
          {"warm_up_s", c.warm_up_s},
          {"measure_s", c.measure_s},
          {"drain_s", c.drain_s},
          {"window_bytes", c.window_bytes},
          {"stall_at_s", c.stall_at_s},
          {"stall_s", c.stall_s}};
}

LoadConfig load_config_from_json(const json& from) {
  LoadConfig c;
  from.at("session_file").get_to(c.session_file);
  from.at("payload_bytes").get_to(c.payload_bytes);
  from.at("frames").get_to(c.frames);
  from.at("seed").get_to(c.seed);
  from.at("venue").get_to(c.venue);
  c.pace.kind = static_cast<mock_exchange::Pace::Kind>(from.at("pace_kind").get<int>());
  from.at("pace_value").get_to(c.pace.value);
  from.at("listen_address").get_to(c.listen_address);
  from.at("tls_certificate_file").get_to(c.tls_certificate_file);
  from.at("tls_key_file").get_to(c.tls_key_file);
  from.at("clients_via").get_to(c.clients_via);
  from.at("clients").get_to(c.clients);
  from.at("warm_up_s").get_to(c.warm_up_s);
  from.at("measure_s").get_to(c.measure_s);
  from.at("drain_s").get_to(c.drain_s);
  from.at("window_bytes").get_to(c.window_bytes);
  from.at("stall_at_s").get_to(c.stall_at_s);
  from.at("stall_s").get_to(c.stall_s);
  return c;
}

json to_json(const LoadReport& r) {
  return {{"frames_sent", r.frames_sent},
          {"bytes_sent", r.bytes_sent},
          {"frames_sent_window", r.frames_sent_window},
          {"frames_delivered", r.frames_delivered},
          {"bytes_delivered", r.bytes_delivered},
          {"frames_missing", r.frames_missing},
          {"window_s", r.window_s},
          {"window_begin_tsc", r.window_begin_tsc},
          {"window_end_tsc", r.window_end_tsc},
          {"paced", r.paced},
          {"response", histogram_json(r.response)},
          {"service", histogram_json(r.service)},
          {"send_lag", histogram_json(r.send_lag)},
          {"system_cpu_s", or_null(r.system_cpu_s)},
          {"load_cpu_s", or_null(r.load_cpu_s)},
          {"occupancy", r.occupancy},
          {"loop_gap_ns_max", r.loop_gap_ns_max},
          {"loop_turns", r.loop_turns},
          {"send_log_overflow", r.send_log_overflow},
          {"bytes_unverified", r.bytes_unverified},
          {"control_frames", r.control_frames},
          {"clients_failed", r.clients_failed},
          {"clients_closed", r.clients_closed},
          {"clients_evicted", r.clients_evicted},
          {"first_failure", r.first_failure},
          {"mismatches", r.mismatches},
          {"tsc_hz", r.tsc_hz},
          {"tsc_error_ns", r.tsc_error_ns}};
}

LoadReport load_report_from_json(const json& from) {
  LoadReport r;
  from.at("frames_sent").get_to(r.frames_sent);
  from.at("bytes_sent").get_to(r.bytes_sent);
  from.at("frames_sent_window").get_to(r.frames_sent_window);
  from.at("frames_delivered").get_to(r.frames_delivered);
  from.at("bytes_delivered").get_to(r.bytes_delivered);
  from.at("frames_missing").get_to(r.frames_missing);
  from.at("window_s").get_to(r.window_s);
  from.at("window_begin_tsc").get_to(r.window_begin_tsc);
  from.at("window_end_tsc").get_to(r.window_end_tsc);
  from.at("paced").get_to(r.paced);
  r.response = histogram_from(from.at("response"));
  r.service = histogram_from(from.at("service"));
  r.send_lag = histogram_from(from.at("send_lag"));
  r.system_cpu_s = number_or_absent(from.at("system_cpu_s"));
  r.load_cpu_s = number_or_absent(from.at("load_cpu_s"));
  from.at("occupancy").get_to(r.occupancy);
  from.at("loop_gap_ns_max").get_to(r.loop_gap_ns_max);
  from.at("loop_turns").get_to(r.loop_turns);
  from.at("send_log_overflow").get_to(r.send_log_overflow);
  from.at("bytes_unverified").get_to(r.bytes_unverified);
  from.at("control_frames").get_to(r.control_frames);
  from.at("clients_failed").get_to(r.clients_failed);
  from.at("clients_closed").get_to(r.clients_closed);
  from.at("clients_evicted").get_to(r.clients_evicted);
  from.at("first_failure").get_to(r.first_failure);
  from.at("mismatches").get_to(r.mismatches);
  from.at("tsc_hz").get_to(r.tsc_hz);
  from.at("tsc_error_ns").get_to(r.tsc_error_ns);
  return r;
}

}  // namespace feedbench::load
