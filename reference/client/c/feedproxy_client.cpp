#include "reference/client/c/feedproxy_client.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/client/client.hpp"

/// The C interface is a thin shell: it turns exceptions into codes, and counts who uses a mapped log.

using feedproxy::Client;
using feedproxy::Errc;
using feedproxy::Error;
using feedproxy::Notice;

/// The last failure. Keeping its sentence must not fail itself.
struct fp_failure {
  fp_error code = FP_OK;
  std::string kept;
  const char* text = "";

  fp_error set(Errc errc, const char* what) noexcept {
    code = static_cast<fp_error>(errc);
    try {
      kept = what;
      text = kept.c_str();
    } catch (...) {
      text = "out of memory";
    }
    return code;
  }
  /// To be called in a handler: of the exception that is being handled.
  fp_error set_caught() noexcept {
    try {
      throw;
    } catch (const Error& error) {
      return set(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      return set(Errc::system, "out of memory");
    } catch (const std::exception& error) {
      return set(Errc::system, error.what());
    } catch (...) {
      return set(Errc::system, "something that is no exception was thrown");
    }
  }
};

namespace {

static_assert(sizeof(fp_message) == 128);
static_assert(FP_FEEDS_MAX == feedproxy::control::kFeedsPerClientMax);
static_assert(FP_SEND_BYTES_MAX == Client::send_bytes_max());
static_assert(FP_ERROR_STOPPING == static_cast<int>(Errc::stopping));
static_assert(FP_NOTICE_LOG == static_cast<int>(Notice::Kind::log));
static_assert(FP_GAP_PROXY_LOST == static_cast<int>(feedproxy::GapReason::proxy_lost));
static_assert(FP_PULL_CLOSED == static_cast<int>(feedproxy::Pull::closed));
static_assert(FP_UNKNOWN == feedproxy::kUnknown);

constexpr std::chrono::milliseconds kTimeoutMax = std::chrono::hours(24);
constexpr std::size_t kSpawnWordsMax = 256;

fp_failure& failure_of_create() noexcept {
  static thread_local fp_failure failure;
  return failure;
}

std::string text_of(const char* given) { return given == nullptr ? std::string() : given; }

void require(bool holds, const char* otherwise) {
  if (!holds) throw Error(Errc::bad_request, otherwise);
}

/// The options as this library knows them, whichever version the program was compiled with. throws Error: the program
/// sets something that this library is too old for.
template <class Options>
Options known_part(const Options* given) {
  Options options{};
  if (given == nullptr) return options;
  const std::size_t size = given->size;
  require(size >= sizeof(std::size_t) && size <= 4096,
          "the options' size is not set (to sizeof of their type)");
  std::memcpy(&options, given, std::min(size, sizeof options));
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  require(std::all_of(bytes + std::min(size, sizeof options), bytes + size,
                      [](unsigned char byte) { return byte == 0; }),
          "the options set something that this version of the library does not know");
  for (const std::uint8_t byte : options.reserved)
    require(byte == 0, "a reserved byte of the options is not 0");
  return options;
}

feedproxy::ClientOptions converted(const fp_client_options& given) {
  feedproxy::ClientOptions options;
  options.path = text_of(given.path);
  options.token = text_of(given.token);
  for (const char* const* word = given.spawn; word != nullptr && *word != nullptr; ++word) {
    require(options.spawn.size() < kSpawnWordsMax, "spawn has more than 256 words");
    options.spawn.emplace_back(*word);
  }
  require(given.timeout_ms >= 0 && given.timeout_ms <= kTimeoutMax.count(),
          "timeout_ms must be from 0 to 86400000");
  require(given.spin_ns >= -1 && given.spin_ns <= 1'000'000'000,
          "spin_ns must be from -1 to 1000000000");
  if (given.timeout_ms > 0) options.timeout = std::chrono::milliseconds(given.timeout_ms);
  if (given.spin_ns != 0)
    options.spin = std::chrono::nanoseconds(std::max<std::int64_t>(given.spin_ns, 0));
  options.reconnect = given.reconnect != 0;
  options.pre_fault = given.lazy_mapping == 0;
  return options;
}

feedproxy::OpenOptions converted(const fp_open_options& given) {
  return {.url = text_of(given.url),
          .credentials = text_of(given.credentials),
          .headers = text_of(given.headers),
          .subprotocol = text_of(given.subprotocol),
          .venue = text_of(given.venue),
          .last_values = given.last_values != 0,
          .now = given.now != 0};
}

std::string_view message_to_venue(const void* bytes, std::size_t length) {
  require(bytes != nullptr || length == 0, "bytes is NULL");
  return length == 0 ? std::string_view()
                     : std::string_view(static_cast<const char*>(bytes), length);
}

feedproxy::Opcode checked(int opcode) {
  require(opcode == FP_TEXT || opcode == FP_BINARY, "the opcode must be FP_TEXT or FP_BINARY");
  return static_cast<feedproxy::Opcode>(opcode);
}

}  // namespace

struct fp_log {
  std::atomic<std::uint32_t> users{1};
  std::shared_ptr<const feedproxy::MappedLog> mapped;
};

struct fp_client {
  /// The log of a feed that was read; one use of it is ours.
  struct FeedLog {
    fp_feed feed = 0;
    fp_log* log = nullptr;
  };

  fp_client(std::string name, feedproxy::ClientOptions options)
      : client(std::move(name), std::move(options)) {}
  fp_client(const fp_client&) = delete;
  fp_client& operator=(const fp_client&) = delete;
  ~fp_client() {
    for (const FeedLog& each : logs) fp_log_release(each.log);
  }

  /// What of a feed's log is held; null: nothing yet. Lets go of one that the feed does not read any more: the messages
  /// handed out last lay in it.
  FeedLog* log_of(fp_feed feed) noexcept {
    for (FeedLog& each : logs) {
      if (each.feed != feed) continue;
      if (each.log != nullptr && each.log->mapped != client.log(feed))
        fp_log_release(std::exchange(each.log, nullptr));
      return &each;
    }
    return nullptr;
  }
  /// Holds the log of a message just taken.
  FeedLog* hold_log(fp_feed feed) {
    FeedLog* of = log_of(feed);
    if (of == nullptr) of = &logs.emplace_back(FeedLog{feed, nullptr});
    if (of->log != nullptr) return of;
    auto made = std::make_unique<fp_log>();
    made->mapped = client.log(feed);
    of->log = made.release();
    return of;
  }
  void forget_log(fp_feed feed) noexcept {
    std::erase_if(logs, [feed](const FeedLog& each) {
      if (each.feed != feed) return false;
      fp_log_release(each.log);
      return true;
    });
  }
  Client client;
  fp_failure failure;
  Notice notice;              // the last one taken: its text
  std::string status;         // the last one asked for
  std::vector<FeedLog> logs;  // at most one a feed that is open
};

namespace {

/// Calls and says how it went; nothing gets past it.
template <class Call>
fp_error attempt(fp_client* client, Call&& call) noexcept {
  if (client == nullptr) return FP_ERROR_BAD_REQUEST;
  try {
    call(client->client);
    return FP_OK;
  } catch (...) {
    return client->failure.set_caught();
  }
}

/// Of a call that says yes or no: 1, 0, or -1.
template <class Call>
int ask(fp_client* client, Call&& call) noexcept {
  bool yes = false;
  const fp_error error = attempt(client, [&](Client& of) { yes = call(of); });
  return error == FP_OK ? static_cast<int>(yes) : -1;
}

template <class Call>
fp_error ask_async(fp_client* client, std::uint32_t* request, Call&& call) noexcept {
  return attempt(client, [&](Client& of) {
    require(request != nullptr, "request is NULL");
    *request = call(of);
  });
}

void tell(const Notice& notice, fp_notice& out) noexcept {
  out = {};
  out.kind = static_cast<std::uint32_t>(notice.kind);
  out.request = notice.request;
  out.feed = notice.feed;
  out.flag = notice.flag ? 1 : 0;
  out.error = static_cast<std::uint32_t>(notice.error);
  out.level = static_cast<std::uint32_t>(notice.level);
  out.text = notice.text.c_str();
}

void tell(const feedproxy::Gap& gap, fp_gap& out) noexcept {
  out.missed_messages = gap.missed_messages;
  out.missed_bytes = gap.missed_bytes;
  out.reason = static_cast<std::uint32_t>(gap.reason);
  out.reserved = 0;
}

void tell(const feedproxy::Message& message, fp_log* log, fp_message& out) noexcept {
  const feedproxy::Stamps stamps = message.stamps();
  out.payload = reinterpret_cast<const std::uint8_t*>(message.payload.data());
  out.length = message.payload.size();
  out.sequence = message.sequence;
  out.stamps[FP_STAMP_NIC] = stamps.nic.ticks;
  out.stamps[FP_STAMP_WAKE] = stamps.wake.ticks;
  out.stamps[FP_STAMP_READ] = stamps.read.ticks;
  out.stamps[FP_STAMP_PLAIN] = stamps.plain.ticks;
  out.stamps[FP_STAMP_PARSED] = stamps.parsed.ticks;
  out.stamps[FP_STAMP_HANDLER] = stamps.handler.ticks;
  out.offset = message.frame->offset;
  out.log = message.assembled ? nullptr : log;
  out.feed = message.feed;
  out.topic = message.topic;
  out.opcode = static_cast<std::uint8_t>(message.opcode);
  out.assembled = message.assembled ? 1 : 0;
  out.last_value = message.last_value ? 1 : 0;
  std::memset(out.reserved, 0, sizeof out.reserved);
}

}  // namespace

extern "C" {

uint32_t fp_abi_version(void) { return FP_ABI_VERSION; }

const char* fp_error_text(const fp_client* client) {
  return (client == nullptr ? failure_of_create() : client->failure).text;
}

fp_error fp_error_code(const fp_client* client) {
  return (client == nullptr ? failure_of_create() : client->failure).code;
}

// The client.

fp_client* fp_client_create(const char* name, const fp_client_options* options) {
  try {
    return std::make_unique<fp_client>(text_of(name), converted(known_part(options))).release();
  } catch (...) {
    failure_of_create().set_caught();
    return nullptr;
  }
}

void fp_client_destroy(fp_client* client) { delete client; }

int64_t fp_server_pid(const fp_client* client) {
  return client == nullptr ? 0 : client->client.server_pid();
}

const char* fp_server_version(const fp_client* client) {
  return client == nullptr ? "" : client->client.server_version().c_str();
}

int fp_connected(const fp_client* client) {
  return client != nullptr && client->client.connected() ? 1 : 0;
}

const char* fp_status(fp_client* client) {
  const fp_error error = attempt(client, [&](Client& of) { client->status = of.status(); });
  return error == FP_OK ? client->status.c_str() : nullptr;
}

fp_error fp_set_log_level(fp_client* client, int level) {
  return attempt(client, [&](Client& of) {
    require(level >= FP_LOG_TRACE && level <= FP_LOG_OFF,
            "the level must be from FP_LOG_TRACE to FP_LOG_OFF");
    of.set_log_level(static_cast<feedproxy::LogLevel>(level));
  });
}

// Feeds.

fp_error fp_open(fp_client* client, const fp_open_options* options, fp_feed* feed, int* is_new) {
  return attempt(client, [&](Client& of) {
    require(feed != nullptr, "feed is NULL");
    const feedproxy::Opened opened = of.open(converted(known_part(options)));
    *feed = opened.feed;
    if (is_new != nullptr) *is_new = opened.is_new ? 1 : 0;
  });
}

fp_error fp_close(fp_client* client, fp_feed feed) {
  const fp_error error = attempt(client, [&](Client& of) { of.close(feed); });
  if (client != nullptr) client->forget_log(feed);
  return error;
}

fp_error fp_send(fp_client* client, fp_feed feed, const void* bytes, size_t length, int opcode) {
  return attempt(
      client, [&](Client& of) { of.send(feed, message_to_venue(bytes, length), checked(opcode)); });
}

fp_error fp_subscribe(fp_client* client, fp_feed feed, const char* symbol, const char* kind,
                      const char* request, const char* release, int* existing) {
  return attempt(client, [&](Client& of) {
    const bool was_there =
        of.subscribe(feed, text_of(symbol), text_of(kind), text_of(request), text_of(release));
    if (existing != nullptr) *existing = was_there ? 1 : 0;
  });
}

fp_error fp_unsubscribe(fp_client* client, fp_feed feed, const char* symbol, const char* kind) {
  return attempt(client, [&](Client& of) { of.unsubscribe(feed, text_of(symbol), text_of(kind)); });
}

fp_error fp_open_async(fp_client* client, const fp_open_options* options, uint32_t* request) {
  return ask_async(client, request,
                   [&](Client& of) { return of.open_async(converted(known_part(options))); });
}

fp_error fp_close_async(fp_client* client, fp_feed feed, uint32_t* request) {
  if (client != nullptr && request != nullptr) client->forget_log(feed);
  return ask_async(client, request, [&](Client& of) { return of.close_async(feed); });
}

fp_error fp_send_async(fp_client* client, fp_feed feed, const void* bytes, size_t length,
                       int opcode, uint32_t* request) {
  return ask_async(client, request, [&](Client& of) {
    return of.send_async(feed, message_to_venue(bytes, length), checked(opcode));
  });
}

fp_error fp_subscribe_async(fp_client* client, fp_feed feed, const char* symbol, const char* kind,
                            const char* request_text, const char* release, uint32_t* request) {
  return ask_async(client, request, [&](Client& of) {
    return of.subscribe_async(feed, text_of(symbol), text_of(kind), text_of(request_text),
                              text_of(release));
  });
}

fp_error fp_unsubscribe_async(fp_client* client, fp_feed feed, const char* symbol, const char* kind,
                              uint32_t* request) {
  return ask_async(client, request, [&](Client& of) {
    return of.unsubscribe_async(feed, text_of(symbol), text_of(kind));
  });
}

int fp_next_notice(fp_client* client, fp_notice* notice) {
  return ask(client, [&](Client& of) {
    require(notice != nullptr, "notice is NULL");
    if (!of.next_notice(client->notice)) return false;
    tell(client->notice, *notice);
    return true;
  });
}

int fp_answer(fp_client* client, uint32_t request, int64_t timeout_ms, fp_notice* notice) {
  return ask(client, [&](Client& of) {
    require(notice != nullptr, "notice is NULL");
    const auto limit = std::clamp<std::int64_t>(timeout_ms, 0, kTimeoutMax.count());
    if (!of.answer(request, std::chrono::milliseconds(limit), client->notice)) return false;
    tell(client->notice, *notice);
    return true;
  });
}

// Reading.

fp_log* fp_log_retain(fp_log* log) {
  if (log != nullptr) log->users.fetch_add(1, std::memory_order_relaxed);
  return log;
}

void fp_log_release(fp_log* log) {
  if (log != nullptr && log->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete log;
}

int fp_log_intact(const fp_log* log, uint64_t offset) {
  return log != nullptr && log->mapped->intact(offset) ? 1 : 0;
}

int fp_message_intact(const fp_message* message) {
  if (message == nullptr) return 0;
  return message->assembled != 0 ? 1 : fp_log_intact(message->log, message->offset);
}

fp_pull fp_next(fp_client* client, fp_feed feed, fp_message* message, fp_gap* gap) {
  std::size_t count = 0;
  const fp_pull pulled = fp_read(client, feed, message, 1, &count, gap);
  return count == 1 ? FP_PULL_MESSAGE : pulled;
}

fp_pull fp_read(fp_client* client, fp_feed feed, fp_message* messages, size_t messages_max,
                size_t* messages_count, fp_gap* gap) {
  fp_pull pulled = FP_PULL_MESSAGE;
  if (messages_count != nullptr) *messages_count = 0;
  const fp_error error = attempt(client, [&](Client& of) {
    require(messages != nullptr && messages_max > 0, "there is no room for a message");
    require(messages_count != nullptr && gap != nullptr, "messages_count or gap is NULL");
    fp_client::FeedLog* log = client->log_of(feed);
    feedproxy::Message message;
    feedproxy::Gap missing;
    for (std::size_t count = 0; count < messages_max; *messages_count = ++count) {
      pulled = static_cast<fp_pull>(of.next(feed, message, missing));
      if (pulled != FP_PULL_MESSAGE) break;
      if (log == nullptr || log->log == nullptr) log = client->hold_log(feed);
      tell(message, log->log, messages[count]);
      if (message.assembled) {  // the next one would take its place
        *messages_count = count + 1;
        break;
      }
    }
    if (pulled != FP_PULL_GAP) return;
    tell(missing, *gap);
  });
  return error == FP_OK ? pulled : FP_PULL_ERROR;
}

uint64_t fp_lag(const fp_client* client, fp_feed feed) {
  return client == nullptr ? 0 : client->client.lag(feed);
}

int fp_readable(const fp_client* client, fp_feed feed) {
  return client != nullptr && client->client.readable(feed) ? 1 : 0;
}

int fp_wait(fp_client* client, fp_feed feed, int64_t timeout_ns) {
  constexpr std::int64_t kNsMax = std::chrono::nanoseconds(kTimeoutMax).count();
  return ask(client, [&](Client& of) {
    return of.wait(std::chrono::nanoseconds(std::clamp<std::int64_t>(timeout_ns, 0, kNsMax)), feed);
  });
}

int fp_fd(fp_client* client) {
  int fd = -1;
  attempt(client, [&](Client& of) { fd = of.fd(); });
  return fd;
}

int fp_arm(fp_client* client, fp_feed feed) {
  return ask(client, [&](Client& of) { return of.arm(feed); });
}

}  // extern "C"
