#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/upstream/backoff.hpp"
#include "reference/upstream/handed_link.hpp"
#include "reference/upstream/log_ingest.hpp"
#include "reference/upstream/resolve.hpp"
#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/upstream_login.hpp"
#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/url.hpp"
#include "transports/hand_over.hpp"
#include "transports/tls/tls_session.hpp"
#include "transports/transport.hpp"

namespace feedbench::upstream {

struct LinkOptions {
  websocket::WsUrl url;
  venues::LoginOptions login;
  std::int64_t backoff_first_ns = 100'000'000;
  std::int64_t backoff_longest_ns = 30'000'000'000;
  std::int64_t open_timeout_ns =
      10'000'000'000;  ///< Connect, TLS, WebSocket handshake and login together.
  std::int64_t idle_ns =
      30'000'000'000;  ///< Ping after this much silence, give up after twice as much.
  bool nic_stamps = true;
  std::vector<std::string> subprotocols = {};       ///< Offered in the handshake.
  std::vector<websocket::HttpHeader> headers = {};  ///< Sent in the handshake.
  std::uint64_t seed = 1;                           ///< Of the backoff's jitter.
  /// Take mask and handshake keys from `seed` too, instead of from the kernel: for simulations alone, whose every byte is
  /// to come again. On a network such keys would be guessed.
  bool reproducible = false;
};

/// What a message for the venue came to.
enum class SendResult : std::uint8_t {
  taken,     ///< It leaves next.
  not_live,  ///< No connection is logged in now.
  too_much,  ///< The venue does not read: kSendBytesMax wait already.
};

/// The proxy's one connection to the venue, through all its lives: resolve, connect, TLS, WebSocket handshake, login,
/// data, loss, wait, again. Plaintext bytes go straight into the log: received there (ws), or decrypted there (wss).
///
/// Owner: upstream_opened(), upstream_ready(), upstream_lost(text, was_open, wait_ns), upstream_refused(text), upstream_published(),
/// upstream_must_wait() -> bool: the log must not grow now; the owner calls decrypt_held_input() when it may.
/// upstream_conn(conn): the connection's callbacks are to come here from now on.
/// upstream_resolve(host, port): find the endpoints without holding up this thread, and call resolved() with them.
/// upstream_answer(text): a control message of the venue, while watch_answers() is on.
/// upstream_handed_over(link): what came of hand_over(). upstream_resumed(): what was adopted is live here.
/// refused is said only while no connection has ever been ready: then trying again will not help. After that every end
/// is a loss, and the link tries again for ever.
/// thread: the polling thread. Allocation: on connecting and for control frames alone.
template <class T, class Owner>
class UpstreamLink {
 public:
  using Conn = transports::Conn;

  /// tls: needed for wss:// URLs, and must outlive the link; may be null for ws://.
  UpstreamLink(T& transport, LogIngest& ingest, Owner& owner, LinkOptions options,
               tls::TlsContext* tls)
      : transport_(transport),
        ingest_(ingest),
        owner_(owner),
        options_(std::move(options)),
        tls_context_(tls),
        backoff_(options_.backoff_first_ns, options_.backoff_longest_ns, options_.seed),
        mask_keys_(options_.reproducible ? websocket::MaskKeys(options_.seed)
                                         : websocket::MaskKeys()) {}

  [[nodiscard]] bool owns(Conn conn) const noexcept { return conn == conn_; }
  [[nodiscard]] Conn conn() const noexcept { return conn_; }
  [[nodiscard]] bool live() const noexcept { return state_ == State::live; }
  /// Nothing is open and nothing will be.
  [[nodiscard]] bool ended() const noexcept { return state_ == State::stopped && !conn_.valid(); }

  /// Starts an attempt. errors are reported as lost or refused.
  void start() {
    state_ = State::resolving;
    deadline_ = transport_.now() + options_.open_timeout_ns;
    where_ = options_.url.host;
    auto numeric = numeric_endpoint(options_.url.host, options_.url.port);
    if (numeric) return resolved(std::move(*numeric));
    owner_.upstream_resolve(options_.url.host, options_.url.port);
  }

  /// The answer to upstream_resolve(). One that comes too late is passed over.
  void resolved(const Endpoints& endpoints) {
    if (state_ != State::resolving) return;
    if (!endpoints) return lose(endpoints.error().message);
    state_ = State::connecting;
    const transports::Endpoint& endpoint = (*endpoints)[backoff_.attempts() % endpoints->size()];
    auto conn = transport_.connect(endpoint, connection_options());
    if (!conn) return lose(conn.error().message);
    conn_ = *conn;
    where_ = transports::to_string(endpoint);
    owner_.upstream_conn(conn_);
  }

  /// Closes for good: a Close frame if the venue listens, then the connection.
  void stop() {
    const bool talks = state_ == State::live || state_ == State::login;
    state_ = State::stopped;
    if (!conn_.valid()) return;
    if (talks) send_close(websocket::CloseCode::normal, "");
    close_when_flushed();
  }

  /// Cuts the connection that stop() did not end in time.
  void abort() {
    if (conn_.valid()) transport_.abort(conn_);
  }

  /// Ends this link and lets another go on with its connection: upstream_handed_over() follows, once and for all. Bytes
  /// that have come are published first. Where nothing can go on (not logged in, TLS 1.2, a transport that cannot) the
  /// connection is closed, and what follows says that a new one is needed.
  void hand_over() {
    handing_over_ = true;
    if (state_ == State::adopting) return;  // on_open() follows at once, and this again
    const bool can_go_on = !tls_ || tls_->can_give_away();
    if (state_ != State::live || !can_go_on || !transports::HandsOver<T>) {
      stop();
      if (!conn_.valid()) owner_.upstream_handed_over(nothing_to_hand_over());
    } else if (!sending_.empty()) {
      transport_.cancel_send(conn_);  // on_sent() follows
    } else {
      let_go();
    }
  }
  /// Instead of start(): goes on with what another link handed over.
  void adopt(HandedLink handed) {
    generation_ = handed.generation;
    handing_over_ = false;
    if constexpr (transports::HandsOver<T>) {
      if (handed.connection.valid()) {
        state_ = State::adopting;
        where_ = handed.where;
        auto conn = transport_.adopt(std::move(handed.connection), connection_options());
        if (!conn) return lose(conn.error().message);
        conn_ = *conn;
        adopted_ = std::move(handed);
        return owner_.upstream_conn(conn_);
      }
    }
    start();
  }

  /// Sends one message to the venue.
  SendResult send_message(websocket::Opcode opcode, std::span<const std::byte> payload) {
    if (state_ != State::live) return SendResult::not_live;
    if (waiting_.size() + payload.size() > kSendBytesMax) return SendResult::too_much;
    send_masked(opcode, payload);
    return SendResult::taken;
  }
  /// Take the venue's control messages out of the stream and hand them to the owner. Costs a look at each message.
  void watch_answers(bool on) noexcept {
    watching_ = on;
    if (state_ == State::live) ingest_.filtering(on);
  }

  /// Ciphertext stands in the receive buffer that upstream_must_wait() kept from the log: nothing may be received over it.
  [[nodiscard]] bool holds_input() const noexcept { return holds_input_; }
  void decrypt_held_input() {
    if (std::exchange(holds_input_, false) && wants_input()) decrypt(held_rx_);
  }

  std::span<std::byte> receive_space() noexcept {
    const bool to_log = !tls_ && (state_ == State::login || state_ == State::live);
    return to_log ? ingest_.space() : std::span<std::byte>(head_buffer_);
  }

  void on_open() {
    if (state_ == State::adopting) return go_on();
    auto handshake = websocket::ClientHandshake::create(
        {options_.url.host_header(), options_.url.target, options_.subprotocols, options_.headers,
         kHeadBytes, handshake_nonce()});
    auto login = venues::UpstreamLogin::create(options_.login);
    if (!handshake) return refuse(handshake.error().message);
    if (!login) return refuse(login.error().message);
    handshake_.emplace(std::move(*handshake));
    login_.emplace(std::move(*login));
    ingest_.reset();
    ingest_.generation(++generation_);
    head_buffer_.resize(tls_context_ != nullptr ? kCipherBytes : kHeadBytes);
    state_ = State::handshake;
    if (options_.url.tls) {
      auto session = tls_context_->new_session();
      if (!session) return refuse(session.error().message);
      tls_.emplace(std::move(*session));
      tls_->start();
    }
    send_plain(handshake_->request());  // with TLS it waits until the session is established
  }

  void on_receive(std::span<std::byte> bytes, const transports::RxStamps& rx) {
    heard_ = true;
    if (state_ == State::waiting || state_ == State::stopped) return;  // said goodbye already
    if (tls_) return take_cipher(bytes, rx);
    if (state_ == State::handshake) return take_head(bytes, rx);
    take_frames(bytes.size(), rx);
  }

  void on_sent(std::size_t bytes) {
    if (handing_over_ && state_ == State::live) [[unlikely]] {
      sending_.erase(0, bytes);
      return let_go();
    }
    std::string().swap(sending_);
    flush();
  }

  void on_close(transports::CloseInfo info) {
    const bool was_stopped = state_ == State::stopped;
    if (handing_over_) [[unlikely]]
      return finish_hand_over(info);
    conn_ = Conn{};
    if (was_stopped || state_ == State::waiting) return forget_connection();
    std::string why = where_ + ": " + std::string(transports::to_string(info.reason));
    if (tls_ && info.reason == transports::CloseReason::peer &&
        tls_->end_of_input() == tls::TlsStatus::failed)
      why = tls_->error();
    const bool said =
        (info.reason == transports::CloseReason::refused && info.os_error == ECONNREFUSED) ||
        (info.reason == transports::CloseReason::timed_out && info.os_error == ETIMEDOUT) ||
        (info.reason == transports::CloseReason::reset && info.os_error == ECONNRESET);
    if (info.os_error != 0 && !said) why += std::string(" (") + std::strerror(info.os_error) + ")";
    lose(venue_said_.empty() ? why : venue_said_);
  }

  /// Timeouts and the next attempt. Call at next_deadline() or about once a second.
  void on_time(transports::MonotonicInstant now) {
    if (handing_over_) return;
    if (state_ == State::waiting && now >= retry_at_)
      return conn_.valid() ? transport_.abort(conn_) : start();
    const bool opening = state_ == State::resolving || state_ == State::connecting ||
                         state_ == State::handshake || state_ == State::login;
    if (opening && now >= deadline_)
      return lose(where_ + ": not open after " +
                  std::to_string(options_.open_timeout_ns / 1'000'000) + " ms");
    if (state_ == State::live) watch_silence(now);
  }
  [[nodiscard]] transports::MonotonicInstant next_deadline() const noexcept {
    return state_ == State::waiting ? retry_at_ : deadline_;
  }

  // The ingest's sink.
  void on_control(websocket::Opcode opcode, std::span<const std::byte> payload) {
    if (opcode == websocket::Opcode::ping) {
      send_frame(websocket::Opcode::pong, payload);
    } else if (opcode == websocket::Opcode::close) {
      const websocket::CloseStatus status = websocket::parse_close_payload(payload);
      venue_said_ = where_ + ": the venue closed with " + std::to_string(status.code) +
                    (status.reason.empty() ? "" : " " + std::string(status.reason));
      close_pending_ = true;
      close_code_ = status.fault == websocket::Fault::none
                        ? static_cast<websocket::CloseCode>(status.code)
                        : websocket::CloseCode::protocol_error;
    }
  }
  bool keep(websocket::Opcode, std::span<const std::byte> payload) {
    const std::string_view text = websocket::as_text(payload);
    const bool control = is_venue_control(text);
    if (state_ == State::live) {
      if (control && watching_) owner_.upstream_answer(text);
      if (!control || !ends_the_session(text)) return control;
    }
    follow(login_->on_message(text));
    return control;
  }

 private:
  static constexpr std::size_t kHeadBytes = 16 * 1024;
  static constexpr std::size_t kCipherBytes = 256 * 1024;
  static constexpr std::size_t kSendBytesMax = 256 * 1024;

  enum class State : std::uint8_t {
    waiting,
    resolving,
    connecting,
    handshake,
    login,
    live,
    adopting,
    stopped
  };

  [[nodiscard]] bool is_venue_control(std::string_view text) const {
    switch (options_.login.venue) {
      case venues::Venue::binance:
        return venues::binance::is_answer(text);
      case venues::Venue::alpaca:
        return venues::alpaca::control_of(text).kind != venues::alpaca::ControlKind::none;
      default:
        return false;
    }
  }

  /// A live session's answers are its clients' business (one client's mistake must not end all); these few are the end.
  [[nodiscard]] bool ends_the_session(std::string_view text) const {
    if (options_.login.venue != venues::Venue::alpaca) return false;
    const int code = venues::alpaca::control_of(text).code;
    return code == 404 || code == 406 || code == 407;
  }

  /// Empty: the handshake draws its own.
  std::string handshake_nonce() {
    std::string nonce;
    for (std::size_t i = 0; options_.reproducible && i < 4; ++i) {
      const websocket::MaskKey key = mask_keys_.next();
      nonce.append(reinterpret_cast<const char*>(&key), sizeof(key));
    }
    return nonce;
  }

  [[nodiscard]] transports::ConnOptions connection_options() const noexcept {
    transports::ConnOptions options;
    options.nic_stamps = options_.nic_stamps;
    options.lend_memory = true;
    options.late_ack = true;
    return options;
  }

  [[nodiscard]] HandedLink nothing_to_hand_over() const {
    HandedLink handed;
    handed.generation = generation_;
    handed.where = where_;
    return handed;
  }
  void let_go() {
    if constexpr (transports::HandsOver<T>) transport_.hand_over(conn_);
  }
  void finish_hand_over(transports::CloseInfo info) {
    HandedLink handed = nothing_to_hand_over();
    if constexpr (transports::HandsOver<T>) {
      const bool can_go_on = !tls_ || tls_->can_give_away();
      if (info.reason == transports::CloseReason::handed_over && state_ == State::live &&
          can_go_on) {
        handed.connection = transport_.take_handed_over();
        handed.unfinished = websocket::as_text(ingest_.unfinished());
        handed.unsent = std::move(sending_);
        while (take_waiting(), !sending_.empty()) handed.unsent += std::exchange(sending_, {});
        if (tls_) {
          handed.tls = tls_->give_away();
          handed.unfinished += std::exchange(handed.tls->plain, {});
        }
      }
    }
    conn_ = Conn{};
    state_ = State::stopped;
    forget_connection();
    owner_.upstream_handed_over(std::move(handed));
  }

  /// What was adopted is open here.
  void go_on() {
    auto login = venues::UpstreamLogin::resumed(options_.login);
    if (!login) return lose(login.error().message);
    if (adopted_.tls) {
      auto session = tls::TlsSession::resume(*adopted_.tls);
      if (!session) return lose(session.error().message);
      tls_.emplace(std::move(*session));
      head_buffer_.resize(kCipherBytes);
    }
    login_.emplace(std::move(*login));
    ingest_.reset();
    ingest_.generation(generation_);
    state_ = State::live;
    ever_ready_ = heard_ = true;
    ingest_.filtering(watching_);
    ready_at_ = transport_.now();
    deadline_ = ready_at_ + options_.idle_ns;
    HandedLink handed = std::exchange(adopted_, {});
    owner_.upstream_resumed();
    sending_ = std::move(handed.unsent);
    if (!sending_.empty()) send_now();
    take_copied(websocket::as_bytes(handed.unfinished), {});
    if (tls_ && wants_input()) decrypt({});  // what the process before had not opened
    if (handing_over_ && state_ == State::live) hand_over();
  }

  [[nodiscard]] bool wants_input() const noexcept {
    return state_ == State::handshake || state_ == State::login || state_ == State::live;
  }

  void take_cipher(std::span<const std::byte> bytes, const transports::RxStamps& rx) {
    tls_->feed(bytes);
    decrypt(rx);
  }

  void decrypt(const transports::RxStamps& rx) {
    tls::TlsRead read;
    do {
      const bool head = state_ == State::handshake;
      const std::span<std::byte> into = head ? std::span<std::byte>(plain_head_) : ingest_.space();
      read = tls_->read(into);
      if (read.bytes == 0) continue;
      // Stage 1 belongs to the last byte received, so to the last plaintext this chunk gives.
      transports::RxStamps stamps = rx;
      if (read.status == tls::TlsStatus::ok) stamps.nic = {};
      if (head)
        take_head(into.first(read.bytes), stamps);
      else
        take_frames(read.bytes, stamps);
      if (read.status == tls::TlsStatus::ok && owner_.upstream_must_wait()) {
        holds_input_ = true;
        held_rx_ = rx;
      }
    } while (read.status == tls::TlsStatus::ok && wants_input() && !holds_input_);
    flush();
    if (read.status != tls::TlsStatus::failed || state_ == State::waiting ||
        state_ == State::stopped)
      return;
    tls_->refused_certificate() ? refuse(tls_->error()) : lose(tls_->error());
  }

  void take_head(std::span<const std::byte> bytes, const transports::RxStamps& rx) {
    const websocket::HandshakeStep step = handshake_->feed(bytes);
    if (step.status == websocket::HandshakeStatus::need_more) return;
    if (step.status == websocket::HandshakeStatus::failed) {
      const unsigned status = handshake_->status();
      const std::string why = where_ + ": " + handshake_->error();
      return status >= 400 && status < 500 && status != 429 ? refuse(why) : lose(why);
    }
    state_ = State::login;
    owner_.upstream_opened();
    ingest_.filtering(options_.login.venue != venues::Venue::raw);
    follow(login_->on_open());
    // Frames that came with the 101: the one time that bytes of the venue are copied.
    take_copied(bytes.subspan(step.consumed_bytes), rx);
  }

  void take_copied(std::span<const std::byte> rest, const transports::RxStamps& rx) {
    while (!rest.empty() && (state_ == State::login || state_ == State::live)) {
      const std::span<std::byte> space = ingest_.space();
      const std::size_t part = std::min(rest.size(), space.size());
      std::memcpy(space.data(), rest.data(), part);
      rest = rest.subspan(part);
      take_frames(part, rest.empty() ? rx : transports::RxStamps{{}, rx.wake, rx.read});
    }
  }

  void take_frames(std::size_t bytes, const transports::RxStamps& rx) {
    const IngestResult result = ingest_.received(bytes, rx, *this);
    if (state_ == State::stopped) return;  // refused by the venue's own words
    if (result.messages != 0) owner_.upstream_published();
    if (result.fault != websocket::Fault::none) {
      const std::string why = where_ + ": the venue broke the protocol: " +
                              std::string(websocket::text_of(result.fault));
      send_close(websocket::close_code_of(result.fault), websocket::text_of(result.fault));
      return lose(why);
    }
    if (std::exchange(close_pending_, false)) {
      send_close(close_code_, "");
      lose(venue_said_);
    }
  }

  void follow(const venues::LoginStep& step) {
    for (const std::string& text : step.send)
      send_frame(websocket::Opcode::text, websocket::as_bytes(text));
    switch (step.status) {
      case venues::LoginStatus::working:
        return;
      case venues::LoginStatus::ready:
        if (state_ != State::login) return;
        state_ = State::live;
        ever_ready_ = true;
        ingest_.filtering(watching_);
        ready_at_ = transport_.now();
        deadline_ = ready_at_ + options_.idle_ns;
        owner_.upstream_ready();
        return;
      case venues::LoginStatus::retry:
        venue_said_ = where_ + ": " + step.error;
        close_pending_ = true;
        return;
      case venues::LoginStatus::refused:
        return refuse(where_ + ": " + step.error);
    }
  }

  void watch_silence(transports::MonotonicInstant now) {
    if (std::exchange(heard_, false)) {
      deadline_ = now + options_.idle_ns;
      pinged_ = false;
    } else if (now >= deadline_ && !pinged_) {
      pinged_ = true;
      deadline_ = now + options_.idle_ns;
      send_frame(websocket::Opcode::ping, {});
    } else if (now >= deadline_) {
      lose(where_ + ": silent, and a ping was not answered");
    }
  }

  void send_frame(websocket::Opcode opcode, std::span<const std::byte> payload) {
    // A pong or two wait at most: a venue that pings without reading is given up.
    if (waiting_.size() > kHeadBytes) return;
    send_masked(opcode, payload);
  }
  void send_masked(websocket::Opcode opcode, std::span<const std::byte> payload) {
    std::string frame(websocket::kHeaderBytesMax + payload.size(), '\0');
    const std::size_t size = websocket::build_client_frame(std::as_writable_bytes(std::span(frame)),
                                                           opcode, payload, mask_keys_.next());
    send_plain(std::string_view(frame).substr(0, size));
  }
  void send_close(websocket::CloseCode code, std::string_view reason) {
    std::array<std::byte, websocket::kControlFrameBytesMax> frame;
    const std::size_t size = websocket::build_client_close(frame, code, mask_keys_.next(), reason);
    send_plain({reinterpret_cast<const char*>(frame.data()), size});
  }

  void send_plain(std::string_view bytes) {
    waiting_.append(bytes);
    flush();
  }

  /// Sends what waits, one send in flight; closes after the last byte if that was asked for.
  void flush() {
    if (!conn_.valid() || !sending_.empty() || (handing_over_ && state_ == State::live)) return;
    take_waiting();
    if (!sending_.empty() && send_now()) return;
    if (closing_) transport_.close(conn_);
  }
  /// false: it has left already.
  bool send_now() {
    const transports::ConstRange range{reinterpret_cast<const std::byte*>(sending_.data()),
                                       sending_.size()};
    if (transport_.send(conn_, std::span(&range, 1)) == transports::SendStatus::pending)
      return true;
    std::string().swap(sending_);
    return false;
  }

  void take_waiting() {
    if (!tls_) {
      sending_ = std::exchange(waiting_, {});
      return;
    }
    if (tls_->established()) {
      tls_->write(websocket::as_bytes(waiting_));
      waiting_.clear();
    }
    // A copy: the session may grow its output while this is in flight. Only control traffic goes this way.
    sending_ = websocket::as_text(tls_->output());
    tls_->consume_output(sending_.size());
  }

  void close_when_flushed() {
    closing_ = true;
    flush();
  }

  void refuse(std::string why) {  // by value: it may be a member that closing clears
    if (ever_ready_) return lose(std::move(why));
    state_ = State::stopped;
    if (conn_.valid()) close_when_flushed();
    owner_.upstream_refused(why);
  }

  void lose(std::string why) {
    const bool was_open = state_ == State::login || state_ == State::live;
    if (state_ == State::live) backoff_.lived(transport_.now().ns - ready_at_.ns);
    state_ = State::waiting;
    if (conn_.valid())
      close_when_flushed();
    else
      forget_connection();
    const std::int64_t wait_ns = backoff_.next_ns();
    retry_at_ = transport_.now() + wait_ns;
    owner_.upstream_lost(why, was_open, wait_ns);
  }

  /// After on_close: memory that was lent or in flight is free again.
  void forget_connection() {
    tls_.reset();
    holds_input_ = false;
    handshake_.reset();
    login_.reset();
    closing_ = false;
    waiting_.clear();
    sending_.clear();
    venue_said_.clear();
    close_pending_ = false;
    pinged_ = false;
    adopted_ = {};
    ingest_.reset();
  }

  T& transport_;
  LogIngest& ingest_;
  Owner& owner_;
  LinkOptions options_;
  tls::TlsContext* tls_context_;
  Backoff backoff_;
  websocket::MaskKeys mask_keys_;
  Conn conn_;
  State state_ = State::waiting;
  bool ever_ready_ = false;
  bool heard_ = false;  // something came since watch_silence() looked
  bool pinged_ = false;
  bool close_pending_ = false;  // the venue's Close came, or its words say that it ends
  bool holds_input_ = false;    // see holds_input()
  bool watching_ = false;       // see watch_answers()
  bool handing_over_ = false;   // see hand_over()
  bool closing_ = false;        // close the connection once all is sent
  websocket::CloseCode close_code_ = websocket::CloseCode::normal;
  std::uint32_t generation_ = 0;
  transports::MonotonicInstant deadline_;
  transports::MonotonicInstant retry_at_;
  transports::MonotonicInstant ready_at_;
  std::string where_;
  std::string venue_said_;
  std::optional<websocket::ClientHandshake> handshake_;
  std::optional<venues::UpstreamLogin> login_;
  std::optional<tls::TlsSession> tls_;
  transports::RxStamps held_rx_;
  HandedLink adopted_;                            // until it is open here
  std::vector<std::byte> head_buffer_;            // the response head, or ciphertext
  std::array<std::byte, kHeadBytes> plain_head_;  // the response head, decrypted
  std::string waiting_;                           // plaintext to send
  std::string sending_;
};

}  // namespace feedbench::upstream
