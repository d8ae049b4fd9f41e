#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "reference/venues/venue.hpp"

/// What the subscription book has to know of each venue: names, requests, answers. Text in, text out.
namespace feedbench::upstream {

/// What a local client asks for.
/// raw: `request` is sent as it is for the first subscriber and `release` for the last one; the request is required, and
/// without a release nothing is sent at the end.
/// binance, alpaca: both are normally empty, and the book builds them. One that is given overrides, is sent as it is and
/// never merged; its answer is then the venue's next (binance: the one with the id that the request holds, if any).
struct SubscriptionRequest {
  std::string symbol;   ///< binance: the part before the first '@', or the whole stream name.
  std::string kind;     ///< binance: the rest of the stream name; alpaca: the channel ("trades").
  std::string request;  ///< Empty: the book builds it.
  std::string release;  ///< Empty: the book builds it; raw: nothing is sent.
};

/// The name that tells keys apart. binance: the stream name, so that ("a@depth", "100ms") and ("a", "depth@100ms") are one.
/// Others: kind and symbol with a byte between them that neither may hold.
[[nodiscard]] std::string key_name(venues::Venue venue, std::string_view symbol,
                                   std::string_view kind);
/// The same for people: "btcusdt@trade", "trades:AAPL".
[[nodiscard]] std::string key_label(venues::Venue venue, std::string_view symbol,
                                    std::string_view kind);

/// Empty, or why a request of a client is refused before anything is sent: a sentence without the offending text.
/// text_bytes_max: of symbol and of kind; request_bytes_max: of request and of release.
[[nodiscard]] std::string fault_of_request(venues::Venue venue, const SubscriptionRequest& request,
                                           std::size_t text_bytes_max,
                                           std::size_t request_bytes_max);

/// What the proxy's own configuration subscribed to at login; nothing of it is ever sent or released by the book.
class PinnedKeys {
 public:
  /// items: as LoginOptions::subscriptions has them ("btcusdt@trade"; "trades:AAPL", "quotes:*", or "AAPL" for trades and
  /// quotes; raw: symbols without kind).
  PinnedKeys(venues::Venue venue, const std::vector<std::string>& items);
  /// alpaca: "*" of a channel covers each of its symbols.
  [[nodiscard]] bool cover(std::string_view symbol, std::string_view kind) const;
  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }

 private:
  venues::Venue venue_;
  std::set<std::string, std::less<>> names_;
};

/// Views of one key.
struct KeyText {
  std::string_view symbol;
  std::string_view kind;
};
/// One request for many keys. venue: binance or alpaca; keys: passed by fault_of_request(); id: binance.
[[nodiscard]] std::string shared_request(venues::Venue venue, bool subscribe,
                                         const std::vector<KeyText>& keys, std::int64_t id);
/// The id in a binance request, as JSON text (7, "a", null); "null" where there is none.
[[nodiscard]] std::string id_of_request(std::string_view request);

/// A control message of the venue, taken apart.
struct VenueAnswer {
  enum class Verdict : std::uint8_t {
    none,      ///< No answer to a request.
    accepted,  ///< binance: the request is done. alpaca: `listed` holds what is subscribed.
    refused,   ///< `error` says why.
  };
  Verdict verdict = Verdict::none;
  std::optional<std::string> id;  ///< binance: as JSON text; nothing if it has none or null.
  std::string error;              ///< The venue's text and code, at most some 500 bytes.
  std::unordered_set<std::string> listed;  ///< alpaca: key_name() of all that is subscribed.
};
/// Answers longer than this are no answers: 10,000 names of the longest kind take a sixth of it.
inline constexpr std::size_t kAnswerBytesMax = 8 * 1024 * 1024;
/// text: any bytes. Cost: a parse of the text.
[[nodiscard]] VenueAnswer read_answer(venues::Venue venue, std::string_view text);

}  // namespace feedbench::upstream
