#include "reference/local/control_server.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "reference/client/packet_socket.hpp"
#include "reference/local/admission.hpp"
#include "reference/local/control_session.hpp"
#include "reference/local/handing_over.hpp"
#include "reference/local/proxy_state.hpp"
#include "reference/local/status_text.hpp"
#include "reference/local/succession.hpp"
#include "transports/quiet_thread.hpp"

namespace feedbench::local {

using feedproxy::Errc;
using feedproxy::control::Descriptors;
using feedproxy::control::Event;
using feedproxy::control::Head;
using feedproxy::control::Kind;
using feedproxy::control::Packet;
using feedproxy::control::Transfer;
using transports::MonotonicInstant;

namespace {

constexpr int kPacketsPerTurn = 64;

MonotonicInstant now() { return transports::MonotonicInstant::now(); }

}  // namespace

class ControlServer::Loop final : public Audience {
 public:
  Loop(ControlOptions options, FeedPort& port, ListeningSocket listener, rings::Descriptor wake,
       Admission admission)
      : options_(std::move(options)),
        port_(port),
        listener_(std::move(listener)),
        wake_(std::move(wake)),
        admission_(admission),
        registry_(options_.registry, port, *this),
        inbox_(feedproxy::control::kPacketBytesMax) {
    port_.events.on_post([](void* context) { static_cast<Loop*>(context)->wake(); }, this);
  }
  ~Loop() override { port_.events.on_post(nullptr, nullptr); }

  FeedRegistry& registry() noexcept { return registry_; }
  [[nodiscard]] const std::string& path() const noexcept { return listener_.path(); }

  /// thread: any.
  void wake() noexcept {
    const std::uint64_t one = 1;
    while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
  void stop() noexcept {
    stopping_ = true;
    go();
    wake();
  }
  void go() noexcept {
    go_ = true;
    go_.notify_one();
  }

  /// What another process had: its clients and their feeds, for go_on() to serve.
  transports::Expected<void> restore(ProxyState& state) {
    next_user_ = state.next_user;
    for (ProxyState::Session& saved : state.sessions) {
      auto session = std::make_unique<ControlSession>(saved.id, std::move(saved.socket),
                                                      ucred{saved.pid, saved.uid, 0},
                                                      now() + options_.hello_timeout_ns);
      if (saved.page.valid()) {
        auto bell = ClientBell::adopt(std::move(saved.page), std::move(saved.doorbell));
        if (!bell) return tl::make_unexpected(bell.error());
        session->bell = std::move(*bell);
        session->name = saved.name;
        session->monitor = saved.monitor;
        session->log_level = saved.log_level;
        session->greeted = true;
        if (!saved.monitor) ++served;
        ++clients;
      }
      sessions_.push_back(std::move(session));
    }
    if (users() > options_.clients_max)
      return tl::make_unexpected(transports::Error{
          fmt::format("take over from the running proxy: {} local clients are connected, and "
                      "--local-clients-max is {}",
                      users(), options_.clients_max),
          0});
    note_log_level();
    taken_over_ = &state;
    return registry_.restore(state, bell_of(), now());
  }

  void run() {
    go_.wait(false);
    idle_since_ = now();
    const bool served_here = !stopping_;  // if not, others serve these clients
    if (!stopping_ && taken_over_ != nullptr) {
      listener_.own();
      registry_.go_on(*taken_over_, bell_of(), idle_since_);
      tell_replaced();
    }
    while (!stopping_ && !handed_over_) {
      if (successor_) [[unlikely]] {
        serve_successor();
        continue;
      }
      wait();
      if (polled_[0].revents != 0) {
        std::uint64_t count = 0;
        static_cast<void>(::read(wake_.get(), &count, sizeof count));
      }
      for (FeedEvent& event : port_.events.take()) take_event(std::move(event));
      for (std::size_t i = 0; i < sessions_.size() && !successor_; ++i)
        serve(*sessions_[i], polled_[i + 2].revents);
      if (successor_) continue;
      if (polled_[1].revents != 0) accept_all();
      on_time();
      reap();
    }
    if (!handed_over_ && served_here) tell_all(Event::stopping, "the proxy stops");
  }

  void tell(UserId user, const Head& head, const std::vector<std::string>& texts,
            const std::vector<int>& descriptors) override {
    for (const auto& session : sessions_)
      if (session->id == user)
        return session->tell(texts.empty()
                                 ? feedproxy::control::encode(head)
                                 : feedproxy::control::encode(head, within_packet(texts.front())),
                             descriptors);
  }

  std::atomic<std::uint64_t> clients{0};
  std::atomic<std::uint64_t> served{0};
  std::atomic<std::uint64_t> refused{0};

 private:
  static constexpr std::size_t kSentenceBytesMax = 4096;
  static std::string_view within_packet(const std::string& text) {
    return std::string_view(text).substr(0, kSentenceBytesMax);
  }

  void wait() {
    polled_.clear();
    polled_.push_back({wake_.get(), POLLIN, 0});
    polled_.push_back({listener_.get(), POLLIN, 0});
    for (const auto& session : sessions_) {
      const int events = POLLIN | (session->wants_to_write() ? POLLOUT : 0);
      polled_.push_back({session->socket.get(), static_cast<short>(events), 0});
    }
    const std::int64_t left_ns = next_due().ns - now().ns;
    constexpr std::int64_t kLongestMs = 60'000;
    const int timeout_ms =
        static_cast<int>(std::clamp<std::int64_t>((left_ns + 999'999) / 1'000'000, 0, kLongestMs));
    if (::poll(polled_.data(), polled_.size(), timeout_ms) < 0)
      for (pollfd& each : polled_) each.revents = 0;
  }

  [[nodiscard]] MonotonicInstant next_due() const {
    MonotonicInstant due = registry_.next_deadline();
    for (const auto& session : sessions_)
      if (!session->greeted) due = std::min(due, session->hello_until);
    if (options_.linger_ns >= 0 && nobody_here() && !stop_asked_)
      due = std::min(due, idle_since_ + linger_ns());
    return due;
  }

  /// One that has clients' errors behind it and nothing else is in the way of the next attempt.
  [[nodiscard]] std::int64_t linger_ns() const {
    return had_clients_ && !registry_.was_of_use() ? options_.linger_unused_ns : options_.linger_ns;
  }
  /// Monitors are nobody.
  [[nodiscard]] bool nobody_here() const {
    return std::all_of(sessions_.begin(), sessions_.end(),
                       [](const auto& session) { return session->monitor; });
  }

  void on_time() {
    const MonotonicInstant at = now();
    registry_.on_time(at);
    for (const auto& session : sessions_)
      if (!session->greeted && at >= session->hello_until) session->end("said nothing");
    if (options_.linger_ns >= 0 && nobody_here() && !stop_asked_ &&
        at >= idle_since_ + linger_ns()) {
      stop_asked_ = true;
      spdlog::info("no local client for {} ms: stopping", linger_ns() / 1'000'000);
      FeedCommand stop;
      stop.kind = FeedCommand::Kind::stop;
      port_.commands.post(std::move(stop));
    }
  }

  void accept_all() {
    for (int i = 0; i < kPacketsPerTurn; ++i) {
      rings::Descriptor peer(
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!peer.valid()) {
        // Out of descriptors: the peer stays in the backlog. Do not spin on it.
        if (errno == EMFILE || errno == ENFILE) ::poll(nullptr, 0, 50);
        return;
      }
      ucred who{};
      socklen_t length = sizeof who;
      if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0 ||
          !admission_.admits(who)) {
        refuse(peer, Errc::not_allowed, "this proxy serves another user");
      } else if (sessions_.size() >= options_.clients_max + places_kept_for(who)) {
        refuse(peer, Errc::too_many,
               fmt::format("{} local clients are connected, which is the most this proxy takes",
                           sessions_.size()));
      } else {
        sessions_.push_back(std::make_unique<ControlSession>(next_user_++, std::move(peer), who,
                                                             now() + options_.hello_timeout_ns));
      }
    }
  }

  /// Of the proxy's own user: for those who only look, or take over, however many clients there are.
  static std::size_t places_kept_for(const ucred& peer) noexcept {
    constexpr std::size_t kPlacesKept = 8;
    return peer.uid == ::geteuid() || peer.uid == 0 ? kPlacesKept : 0;
  }
  [[nodiscard]] std::size_t users() const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(), [](const auto& session) {
          return session->greeted && !session->monitor && !session->ended;
        }));
  }

  void refuse(const rings::Descriptor& peer, Errc code, const std::string& why) {
    ++refused;
    spdlog::warn("a local client was refused: {}", why);
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::failed);
    head.code = static_cast<std::uint32_t>(code);
    static_cast<void>(
        feedproxy::control::send_packet(peer.get(), feedproxy::control::encode(head, why)));
  }

  void serve(ControlSession& session, short ready) {
    if ((ready & POLLOUT) != 0) session.flush();
    if ((ready & (POLLIN | POLLHUP | POLLERR)) == 0) return;
    for (int i = 0; i < kPacketsPerTurn && !session.ended && !successor_; ++i) {
      std::size_t bytes = 0;
      Descriptors descriptors;
      switch (
          feedproxy::control::receive_packet(session.socket.get(), inbox_, bytes, descriptors)) {
        case Transfer::would_block:
          return;
        case Transfer::ended:
          return session.end("");
        case Transfer::too_large:
          return session.end("sent a packet larger than any that a client sends");
        case Transfer::failed:
          return session.end(std::strerror(errno));
        case Transfer::done:
          break;
      }
      const auto packet = feedproxy::control::decode(std::span(inbox_).first(bytes));
      if (!packet) return session.end("sent a packet that contradicts itself");
      take(session, *packet);
    }
  }

  void take(ControlSession& session, const Packet& packet) {
    if (!session.greeted) return greet(session, packet);
    const MonotonicInstant at = now();
    const std::uint32_t request = packet.head.request;
    const auto& texts = packet.texts;
    switch (packet.kind()) {
      case Kind::open: {
        OpenRequest wanted;
        wanted.feed = packet.head.feed;
        wanted.url = texts[0];
        wanted.credentials = texts[1];
        wanted.headers = texts[2];
        wanted.subprotocol = texts[3];
        wanted.venue = texts[4];
        wanted.flags = packet.head.values[0];
        wanted.watch = session.monitor;
        wanted.timeout_ns =
            static_cast<std::int64_t>(std::min<std::uint64_t>(packet.head.values[1], 3'600'000)) *
            1'000'000;
        return registry_.open(session.id, request, wanted, session.bell, at);
      }
      case Kind::close:
        return registry_.close(session.id, request, packet.head.feed, at);
      case Kind::send: {
        const auto opcode = static_cast<websocket::Opcode>(packet.head.code);
        if (opcode != websocket::Opcode::text && opcode != websocket::Opcode::binary)
          return fail(session, request, Errc::bad_request, "a message is text or binary");
        return registry_.send(session.id, request, packet.head.feed, opcode, texts[0]);
      }
      case Kind::subscribe:
        return registry_.subscribe(session.id, request, packet.head.feed,
                                   {std::string(texts[0]), std::string(texts[1]),
                                    std::string(texts[2]), std::string(texts[3])},
                                   at);
      case Kind::unsubscribe:
        return registry_.unsubscribe(session.id, request, packet.head.feed, texts[0], texts[1], at);
      case Kind::set_log_level:
        session.log_level = packet.head.code;
        note_log_level();
        return done(session, request, {}, "", {});
      case Kind::status:
        return tell_status(session, request);
      case Kind::replace:
        return begin_hand_over(session, packet);
      default:
        return session.end("sent a request that this version does not know");
    }
  }

  void greet(ControlSession& session, const Packet& packet) {
    const auto refuse_it = [&](Errc code, const std::string& why) {
      ++refused;
      fail(session, packet.head.request, code, why);
      session.end("refused: " + why);
    };
    if (packet.kind() != Kind::hello || packet.head.values[0] != feedproxy::control::kMagic)
      return session.end("did not begin with a hello");
    if (packet.head.values[1] != feedproxy::control::kVersion)
      return refuse_it(Errc::wrong_version,
                       fmt::format("this proxy speaks version {} of the protocol, the client {}",
                                   feedproxy::control::kVersion, packet.head.values[1]));
    if (!equal_secrets(packet.texts[1], options_.token))
      return refuse_it(Errc::not_allowed, "the token is missing or wrong");
    if (!is_client_name(packet.texts[0]))
      return refuse_it(Errc::bad_request,
                       "a client's name has 1 to 64 letters, digits and -_.: characters");
    const bool monitor = (packet.head.values[2] & feedproxy::control::kHelloMonitor) != 0;
    if (!monitor && users() >= options_.clients_max)
      return refuse_it(
          Errc::too_many,
          fmt::format("{} local clients are connected, which is the most this proxy takes",
                      users()));
    auto bell = ClientBell::create();
    if (!bell) return refuse_it(Errc::system, bell.error().message);
    session.name = packet.texts[0];
    session.greeted = true;
    session.monitor = monitor;
    session.bell = std::move(*bell);
    if (!monitor) {
      ++served;
      had_clients_ = true;
    }
    ++clients;
    spdlog::info("local client {} (pid {}) connected", session.name, session.pid);
    done(session, packet.head.request, {static_cast<std::uint64_t>(::getpid()), 0, 0},
         FEEDBENCH_VERSION, {session.bell->page_descriptor(), session.bell->doorbell_descriptor()});
    session.bell->give_away();
  }

  static void done(ControlSession& session, std::uint32_t request,
                   const std::array<std::uint64_t, 3>& values, std::string_view text,
                   const std::vector<int>& descriptors) {
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::done);
    head.request = request;
    head.values = values;
    session.tell(feedproxy::control::encode(head, text), descriptors);
  }
  static void fail(ControlSession& session, std::uint32_t request, Errc code,
                   const std::string& why) {
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::failed);
    head.request = request;
    head.code = static_cast<std::uint32_t>(code);
    session.tell(feedproxy::control::encode(head, why), {});
  }

  void tell_status(ControlSession& session, std::uint32_t request) {
    const rings::Descriptor memory =
        memory_with(status_text(sessions_, registry_, now() - started_));
    if (!memory.valid()) return fail(session, request, Errc::system, "no memory for the status");
    done(session, request, {}, "", {memory.get()});
  }

  void take_event(FeedEvent event) {
    if (event.kind != FeedEvent::Kind::logged) return registry_.on_event(std::move(event), now());
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::event);
    head.code = static_cast<std::uint32_t>(Event::log);
    head.values[0] = event.level;
    for (const auto& session : sessions_)
      if (session->greeted && event.level >= session->log_level)
        session->tell(feedproxy::control::encode(head, within_packet(event.text)), {});
  }

  // Being replaced.

  void begin_hand_over(ControlSession& session, const Packet& packet) {
    if (session.uid != ::geteuid() && session.uid != 0)
      return fail(session, packet.head.request, Errc::not_allowed,
                  "only the user whose proxy this is may replace it");
    spdlog::info("pid {} takes over", session.pid);
    const auto limit_ms = static_cast<std::int64_t>(
        std::min<std::uint64_t>(packet.head.values[0], Succession::kLimitMs));
    successor_.emplace(
        Successor{session.id, packet.head.request, now() + limit_ms * 1'000'000, std::nullopt});
    FeedCommand command;
    command.kind = FeedCommand::Kind::hand_over;
    port_.commands.post(std::move(command));
  }

  [[nodiscard]] ControlSession& successor_session() const {
    return **std::find_if(sessions_.begin(), sessions_.end(), [this](const auto& session) {
      return session->id == successor_->session;
    });
  }

  /// A turn while everything is being handed over: nobody else is served, and what clients say waits in their sockets.
  void serve_successor() {
    ControlSession& session = successor_session();
    std::array<pollfd, 2> polled{{{wake_.get(), POLLIN, 0}, {session.socket.get(), POLLIN, 0}}};
    const std::int64_t left_ns = std::max<std::int64_t>(successor_->until.ns - now().ns, 0);
    const bool lets_go = !successor_->state;  // then nothing but the wake-up counts
    ::poll(polled.data(), lets_go ? 1 : 2,
           static_cast<int>(std::min<std::int64_t>(left_ns / 1'000'000 + 1, 1000)));
    std::uint64_t count = 0;
    if ((polled[0].revents & POLLIN) != 0)
      static_cast<void>(::read(wake_.get(), &count, sizeof count));
    for (FeedEvent& event : port_.events.take()) {
      if (event.kind == FeedEvent::Kind::handed_over)
        hand_over(session, *event.handed);
      else
        take_event(std::move(event));
    }
    if (!lets_go && polled[1].revents != 0) hear_successor(session);
    if (handed_over_ || !successor_->state) return;
    if (now() >= successor_->until) session.end("took too long to take over");
    if (session.ended) take_back();
  }

  /// Everything has let go: puts it together, and gives it away.
  void hand_over(ControlSession& to, HandedFeeds& handed) {
    for (const auto& session : sessions_) {
      if (session->id == to.id) continue;
      if (!session->ended) session->flush();
      if (!session->ended && session->wants_to_write())
        session->end("does not read what it is told");
      if (session->ended) registry_.user_gone(session->id, now());
    }
    ProxyState& state = successor_->state.emplace();
    state.version = FEEDBENCH_VERSION;
    state.next_user = next_user_;
    state.listeners = std::move(handed.listeners);
    registry_.save(handed, now(), state);
    give_state(to, *successor_, sessions_, listener_.get());
  }

  void hear_successor(ControlSession& session) {
    std::size_t bytes = 0;
    Descriptors descriptors;
    const Transfer got =
        feedproxy::control::receive_packet(session.socket.get(), inbox_, bytes, descriptors);
    if (got == Transfer::would_block) return;
    const auto packet = got == Transfer::done
                            ? feedproxy::control::decode(std::span(inbox_).first(bytes))
                            : std::nullopt;
    if (!packet || packet->kind() != Kind::taken)
      return session.end("did not take over what it was given");
    handed_over_ = true;
    listener_.disown();
    done(session, packet->head.request, {}, "", {});
    spdlog::info("replaced by pid {}: stopping", session.pid);
    FeedCommand stop;
    stop.kind = FeedCommand::Kind::stop;
    port_.commands.post(std::move(stop));
  }

  /// Nobody took over: this process goes on as if nothing had been.
  void take_back() {
    auto handed = std::make_unique<HandedFeeds>();
    handed->listeners = std::move(successor_->state->listeners);
    for (ProxyState::Feed& feed : successor_->state->feeds)
      handed->feeds.push_back({feed.id, feed.last_sequence, std::move(feed.link)});
    spdlog::warn("nobody took over ({}): going on",
                 successor_session().ending.empty() ? "it ended" : successor_session().ending);
    successor_.reset();
    registry_.take_back(*handed, now());
    FeedCommand command;
    command.kind = FeedCommand::Kind::take_back;
    command.handed = std::move(handed);
    port_.commands.post(std::move(command));
    reap();
  }

  /// After the events of the feeds: whoever knows of this one knows all.
  void tell_replaced() {
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::event);
    head.code = static_cast<std::uint32_t>(Event::replaced);
    head.values[1] = static_cast<std::uint64_t>(::getpid());
    for (const auto& session : sessions_)
      if (session->greeted) session->tell(feedproxy::control::encode(head, FEEDBENCH_VERSION), {});
  }

  [[nodiscard]] FeedRegistry::BellOf bell_of() const {
    return [this](UserId user) -> std::shared_ptr<ClientBell> {
      for (const auto& session : sessions_)
        if (session->id == user) return session->bell;
      return nullptr;
    };
  }

  void note_log_level() {
    auto least = static_cast<std::uint32_t>(feedproxy::control::LogLevel::off);
    for (const auto& session : sessions_)
      if (!session->ended) least = std::min(least, session->log_level);
    port_.log_level.store(least, std::memory_order_relaxed);
  }

  void tell_all(Event event, const std::string& text) {
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::event);
    head.code = static_cast<std::uint32_t>(event);
    for (const auto& session : sessions_)
      if (session->greeted) session->tell(feedproxy::control::encode(head, text), {});
  }

  /// Lets go of the sessions that have ended.
  void reap() {
    for (std::size_t i = 0; i < sessions_.size();) {
      ControlSession& session = *sessions_[i];
      if (!session.ended) {
        ++i;
        continue;
      }
      if (session.greeted) {
        --clients;
        if (session.ending.empty())
          spdlog::info("local client {} (pid {}) is gone", session.name, session.pid);
        else
          spdlog::warn("local client {} (pid {}) was let go: {}", session.name, session.pid,
                       session.ending);
      } else if (!session.ending.empty()) {
        spdlog::warn("a local client (pid {}) was let go: {}", session.pid, session.ending);
      }
      registry_.user_gone(session.id, now());
      const bool was_monitor = session.monitor;
      sessions_.erase(sessions_.begin() + static_cast<std::ptrdiff_t>(i));
      note_log_level();
      if (!was_monitor && nobody_here()) idle_since_ = now();
    }
  }

  ControlOptions options_;
  FeedPort& port_;
  ListeningSocket listener_;
  rings::Descriptor wake_;
  Admission admission_;
  FeedRegistry registry_;
  std::vector<std::unique_ptr<ControlSession>> sessions_;
  std::vector<pollfd> polled_;  // [0] wake, [1] listener, [i + 2] session i
  std::vector<std::byte> inbox_;
  UserId next_user_ = 1;
  const MonotonicInstant started_ = now();
  MonotonicInstant idle_since_;
  bool stop_asked_ = false;
  bool had_clients_ = false;
  std::optional<Successor> successor_;
  bool handed_over_ = false;
  ProxyState* taken_over_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> go_{false};
};

transports::Expected<std::unique_ptr<ControlServer>> ControlServer::create(
    ControlOptions options, FeedPort& port, const upstream::FeedParts* configured,
    const OpenRequest& configured_as, ProxyState* taken_over) {
  const auto refused = [&options](const std::string& why, int os_error) {
    return tl::make_unexpected(
        transports::Error{"serve local clients at " + options.path + ": " + why, os_error});
  };
  Admission admission;
  if (!options.group.empty()) {
    const group* const found = ::getgrnam(options.group.c_str());
    if (found == nullptr) return refused("there is no group " + options.group, 0);
    admission.group = found->gr_gid;
  }
  rings::Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return refused(std::strerror(errno), errno);
  auto listener = taken_over != nullptr
                      ? ListeningSocket::adopt(options.path, std::move(taken_over->local_listener))
                      : ListeningSocket::listen_at(options.path, admission.group.has_value());
  if (!listener) return tl::make_unexpected(listener.error());
  if (admission.group && taken_over == nullptr &&
      ::chown(options.path.c_str(), static_cast<uid_t>(-1), *admission.group) != 0)
    return refused("give it to group " + options.group + ": " + std::strerror(errno), errno);
  const std::string path = options.path;
  auto loop = std::make_unique<Loop>(std::move(options), port, std::move(*listener),
                                     std::move(wake), admission);
  if (configured != nullptr) loop->registry().adopt(*configured, configured_as);
  if (taken_over != nullptr)
    if (auto restored = loop->restore(*taken_over); !restored)
      return tl::make_unexpected(restored.error());
  std::unique_ptr<ControlServer> server(new ControlServer(std::move(loop)));
  auto thread = transports::start_quiet_thread([of = server->loop_.get()] { of->run(); });
  if (!thread)
    return tl::make_unexpected(transports::Error{
        "serve local clients at " + path + ": " + thread.error().message, thread.error().os_error});
  server->thread_ = std::move(*thread);
  return server;
}

ControlServer::ControlServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

ControlServer::~ControlServer() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

void ControlServer::go() { loop_->go(); }

const std::string& ControlServer::path() const noexcept { return loop_->path(); }
std::uint64_t ControlServer::clients() const noexcept { return loop_->clients; }
std::uint64_t ControlServer::served() const noexcept { return loop_->served; }
std::uint64_t ControlServer::refused() const noexcept { return loop_->refused; }

}  // namespace feedbench::local
