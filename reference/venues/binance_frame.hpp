#pragma once

#include <array>
#include <string_view>

namespace feedbench::venues::binance {

/// Room for a stream name that has to be put together (raw frames). Names are far shorter.
using NameBuffer = std::array<char, 96>;

/// True if the frame is wrapped as {"stream":"...","data":...}.
[[nodiscard]] inline bool is_combined(std::string_view frame) noexcept {
  return frame.starts_with(R"({"stream":")");
}

/// The stream name of a combined frame, by a scan of its first bytes alone; empty for any other
/// frame. The view points into the frame. Cost: some ns, whatever the frame's size. thread: any.
[[nodiscard]] std::string_view stream_of_combined(std::string_view frame) noexcept;

/// The stream name of a raw frame, put together in `buffer` from event type and symbol
/// ("btcusdt@trade"). Empty where the frame does not say: partial depth (`lastUpdateId`) names no
/// symbol, answers are no events. Diff depth is called "<symbol>@depth" whatever its speed, since
/// the frame does not tell. Handles arrays
/// ("!ticker@arr") and bookTicker without `e`. Reads top-level keys only as far as it must.
[[nodiscard]] std::string_view stream_of_raw(std::string_view frame, NameBuffer& buffer) noexcept;

/// Either of the two.
[[nodiscard]] std::string_view stream_of(std::string_view frame, NameBuffer& buffer) noexcept;

/// The value of "data" in a combined frame: what the same connection would carry in raw form. Empty
/// for other frames.
[[nodiscard]] std::string_view data_of_combined(std::string_view frame) noexcept;

/// True for the notice that the server is about to close ({"e":"serverShutdown",...}, raw or
/// combined).
[[nodiscard]] bool is_server_shutdown(std::string_view frame) noexcept;

/// True for an answer to a control request ({"result":...,"id":...} or {"error":...}).
[[nodiscard]] bool is_answer(std::string_view frame) noexcept;

/// "btcusdt@depth@100ms" -> "btcusdt"; "!ticker@arr" -> "". The part before the first '@', if it
/// names a symbol.
[[nodiscard]] std::string_view symbol_of_stream(std::string_view stream) noexcept;
/// "btcusdt@depth@100ms" -> "depth@100ms"; "!ticker@arr" -> "!ticker@arr".
[[nodiscard]] std::string_view type_of_stream(std::string_view stream) noexcept;

}  // namespace feedbench::venues::binance
