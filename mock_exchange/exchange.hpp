#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mock_exchange/fault.hpp"
#include "mock_exchange/prepared_session.hpp"
#include "mock_exchange/schedule.hpp"
#include "mock_exchange/send_log.hpp"
#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"
#include "transports/clock.hpp"
#include "transports/transport.hpp"

namespace boost::asio {
class io_context;
}

/// A stand-in for a venue: accepts WebSocket connections, speaks the venue's protocol, replays a
/// prepared session.
namespace feedbench::mock_exchange {

class Server;  // the inside

/// When a connection's replay begins.
enum class Start : std::uint8_t {
  on_subscribe,  ///< Each connection has its own replay, from the beginning, once it is ready
                 ///< (logged in, subscribed).
  shared,        ///< One replay for all, begun by Exchange::start(). Who comes later joins where it
                 ///< stands.
};

/// What happens to a connection that was sent the whole replay.
enum class WhenDone : std::uint8_t {
  keep,   ///< Stays open: pings, answers, no more frames.
  close,  ///< Is closed with code 1000.
};

/// What whoever runs a server wants to read in its log: one line.
struct Note {
  enum class Level : std::uint8_t { info, warning };
  Level level = Level::info;
  std::string text;  ///< Printable ASCII, whatever a client sent; at most kTextBytesMax.
  static constexpr std::size_t kTextBytesMax = 300;
};

struct ExchangeOptions {
  transports::Endpoint listen;  ///< Port 0: any free port; Exchange::endpoint() tells which.
  venues::Venue venue = venues::Venue::raw;
  std::shared_ptr<const PreparedSession> session;  ///< What is replayed. Required.
  Pace pace;
  std::uint64_t loops = 1;  ///< Or kLoopForever.
  Start start = Start::shared;
  WhenDone when_done = WhenDone::keep;

  std::string tls_certificate_file;  ///< PEM chain. Given together with the key: wss instead of ws.
  std::string tls_key_file;          ///< PEM.

  /// Alpaca: what clients must present. Empty: any key and secret are good.
  venues::Credentials credentials;

  /// Alpaca: connections that may be logged in at a time; one more is answered with error 406.
  std::size_t logins_max = SIZE_MAX;

  double tsc_hz = 0;  ///< Ticks a second of `now`. Required; from transports::TscClock.
  /// The clock of everything here: schedule, pings, limits, timeouts. Tests give their own.
  transports::TscInstant (*now)() noexcept = &transports::TscInstant::now;

  /// Where the frames of one connection are logged: of the first that is sent one, and when it is
  /// gone, of the next. Not owned; outlives the exchange. May be null.
  SendLogWriter* send_log = nullptr;

  std::vector<Fault> faults;  ///< See fault.hpp.

  std::size_t write_bytes_max = 256 * 1024;  ///< One write call carries at most about this much.
  int send_buffer_bytes = 0;  ///< SO_SNDBUF of each connection; 0 leaves the kernel's auto-tuning.
  /// A connection that is more than this many due frames behind is closed (Alpaca: error 407 first;
  /// code 1008).
  std::uint64_t lag_frames_max = UINT64_MAX;
  std::size_t connections_max = 10'000;  ///< More are accepted and closed at once (counted).

  /// Server pings; 0: none. Default (-1): each 20 s for Binance, none for others, as far as is
  /// documented.
  std::int64_t ping_interval_ns = -1;
  /// A connection whose pong is later than this is closed with 1008.
  std::int64_t pong_timeout_ns = 60'000'000'000;
  /// From accept to the upgrade request's last byte.
  std::int64_t handshake_timeout_ns = 10'000'000'000;

  /// Called when a connection becomes ready and when it is gone, from inside io_context::run/poll
  /// or pump(). Optional.
  std::function<void()> on_change;

  /// Told when a client is connected, refused, closed by us or gone, and when a replay is done; never
  /// for a frame. From inside io_context::run/poll or pump(). Optional: without it no text is made.
  std::function<void(const Note&)> on_note;
};

/// Single writer: the exchange's thread.
struct ExchangeCounters {
  std::uint64_t accepted = 0;           ///< TCP connections.
  std::uint64_t refused_full = 0;       ///< Closed at once because connections_max was reached.
  std::uint64_t handshakes_failed = 0;  ///< TLS or HTTP.
  std::uint64_t ready = 0;              ///< Connections that ever became ready.
  std::uint64_t closed = 0;             ///< Connections that ended, all kinds.
  std::uint64_t protocol_errors = 0;    ///< Clients that broke RFC 6455.
  std::uint64_t policy_closes = 0;      ///< Closed with 1008: limits, lag.
  std::uint64_t pong_timeouts = 0;
  std::uint64_t frames_sent = 0;          ///< Session frames whose last byte a socket accepted.
  std::uint64_t bytes_sent = 0;           ///< Session bytes (plain, before TLS).
  std::uint64_t control_frames_sent = 0;  ///< Pongs, pings, closes and answers.
  std::uint64_t messages_received = 0;    ///< Whole messages of clients.
  std::uint64_t writes = 0;               ///< Write calls that carried session bytes.
  std::uint64_t writes_partial = 0;       ///< Of those: the socket took less than asked.
  std::uint64_t lag_ticks_max = 0;        ///< Longest from intended to sent; not at max pace.
  std::uint64_t lag_frames_max = 0;  ///< Most due frames a connection was behind after a write.
  std::uint64_t faults_injected = 0;
  /// Why the last connection ended that did not end in order; one sentence, empty if none did.
  std::string last_fault;
};

/// thread: one, the one that runs the io_context. Not copyable; destroy it before the io_context.
/// The driver loop is `io.poll(); exchange.pump();` to spin. To sleep, wait in io.run_one() with a
/// timer set to next_due(), then pump(): main.cpp does that.
class Exchange {
 public:
  /// Listens. errors: one sentence (address in use, no session, certificate or key unusable, tsc_hz
  /// missing).
  static transports::Expected<std::unique_ptr<Exchange>> create(boost::asio::io_context& io,
                                                                ExchangeOptions options);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] transports::Endpoint endpoint() const;
  /// "ws://127.0.0.1:9443" or "wss://...".
  [[nodiscard]] std::string url() const;

  [[nodiscard]] std::size_t connections() const noexcept;
  /// Connections that are open, logged in and subscribed to something.
  [[nodiscard]] std::size_t sessions_ready() const noexcept;

  /// Start::shared: frame 0 is intended at `at` (now, or soon). Called once.
  void start(transports::TscInstant at);
  [[nodiscard]] bool started() const noexcept;

  /// Sends every frame that is due, as far as the sockets take it; handles pings and timeouts.
  /// Never blocks, never sleeps. Cost when nothing is due: one clock reading and one comparison. At
  /// max pace: one write a ready connection.
  void pump();

  /// When pump() will have something to do again: absent if that depends on sockets alone, in the
  /// past if at once.
  [[nodiscard]] transports::TscInstant next_due() const noexcept;

  /// Start::shared: the whole replay is due and every ready connection has it. Start::on_subscribe:
  /// at least one connection was served to the end and none is being served.
  [[nodiscard]] bool finished() const noexcept;

  /// Stops accepting and closes every connection with 1001; the io_context must run on until
  /// connections() is 0 (bounded: two seconds, for connections that do not answer).
  void shut_down();

  [[nodiscard]] const ExchangeCounters& counters() const noexcept;

 private:
  explicit Exchange(std::unique_ptr<Server> server);
  std::unique_ptr<Server> server_;
};

}  // namespace feedbench::mock_exchange
