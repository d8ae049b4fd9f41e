#pragma once

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reference/downstream/client_hub.hpp"
#include "reference/local/feed_port.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/mailbox.hpp"
#include "reference/program/status_lines.hpp"
#include "reference/program/stop_signals.hpp"
#include "reference/proxy/activity.hpp"
#include "reference/proxy/config.hpp"
#include "reference/proxy/feed.hpp"
#include "transports/hand_over.hpp"
#include "transports/transport.hpp"

namespace feedbench::proxy {

/// What the proxy is made of before its transport is chosen; outlives the Proxy.
struct ProxyParts {
  const ProxyConfig& config;
  program::StatusLines& status;
  upstream::FeedParts* configured = nullptr;  ///< The upstream of the configuration; null: none.
  local::FeedPort* port = nullptr;  ///< To the local clients' thread; null: there are none.
  /// Listening sockets taken over from another process; those of config.listen are used, others are closed.
  std::vector<rings::Descriptor>* listeners = nullptr;
  std::function<void()> serving = [] {};  ///< Called once, when everything listens.
  /// Called once, at the end: nobody else may look at the upstreams' logs from here on.
  std::function<void()> ended = [] {};
};

/// The data thread: upstreams, their logs and the WebSocket clients. The transport's handler, which sends each callback
/// to the part that owns the connection. T: a Transport.
template <class T>
class Proxy {
 public:
  using Conn = transports::Conn;
  using ProxyFeed = Feed<T, Proxy>;
  using FeedCommand = local::FeedCommand;
  using FeedEvent = local::FeedEvent;

  Proxy(T& transport, ProxyParts parts)
      : transport_(transport), parts_(parts), feed_of_(connections_max(parts.config)) {
    if (parts_.configured == nullptr) return;
    hub_.emplace(transport, parts_.configured->log, hub_options(parts_.config));
    feeds_.push_back(
        {nullptr, std::make_unique<ProxyFeed>(transport_, *this, *parts_.configured, &*hub_)});
    main_ = feeds_.front().feed.get();
  }

  /// Serves until a stop signal or command (kExitOk) or until the configured upstream has refused for good (kExitRefused).
  int run() {
    start();
    while (turn()) {
    }
    return exit_code_;
  }

  /// What the transport must have room for: beside the clients the upstreams, and one client too many.
  static std::uint32_t connections_max(const ProxyConfig& config) {
    return config.clients_max + 2 + (config.local_socket.empty() ? 0 : config.feeds_max);
  }

  void start() {
    resolved_->on_post(wake_transport, &transport_);
    if (parts_.port != nullptr) parts_.port->commands.on_post(wake_transport, &transport_);
    if (main_ != nullptr) main_->start();
  }

  ~Proxy() {
    resolved_->on_post(nullptr, nullptr);
    if (parts_.port != nullptr) parts_.port->commands.on_post(nullptr, nullptr);
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Ends as after a stop signal: tells everybody, then turn() says false.
  void stop() {
    if (!stopping_) begin_stop(transport_.now());
  }

  /// One turn of the event loop: what is ready, then what is due. false: stopped, everything is closed.
  bool turn() {
    const bool spin = parts_.config.wait == transports::Wait::spin;
    transport_.poll(*this, spin ? next_tick_ : next_due());
    if (main_ != nullptr) main_->resume_if_paused();
    if (parts_.port != nullptr && parts_.port->commands.waiting()) [[unlikely]]
      take_commands();
    if (reap_) [[unlikely]]
      reap_feeds();
    if (handed_) [[unlikely]]
      finish_hand_over();
    if (spin) {
      note_gap();
      // The clock and the stop flag are looked at now and then: each look costs as much as a message.
      if ((++turns_ & 255) != 0) return true;
    }
    if (resolved_->waiting()) take_resolved();
    const transports::MonotonicInstant now = transport_.now();
    if (program::StopSignals::requested()) stop();
    return now < next_due() || tick(now);
  }

  /// The next tick, or what a link has set itself since the last: a callback may have lost the upstream meanwhile.
  [[nodiscard]] transports::MonotonicInstant next_due() const noexcept {
    if (stopping_) return next_tick_;
    transports::MonotonicInstant due = handed_ ? std::min(next_tick_, hand_over_by_) : next_tick_;
    for (const Slot& slot : feeds_) {
      const transports::MonotonicInstant wanted = slot.feed->link().next_deadline();
      if (ticked_at_ < wanted && wanted < due) due = wanted;
    }
    return due;
  }

  // The transport's handler.
  void on_open(Conn conn, bool accepted) {
    accepted ? hub_->on_open(conn) : feed_of_[conn.index]->link().on_open();
  }
  void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps& rx) {
    ProxyFeed* const feed = feed_of_[conn.index];
    feed != nullptr ? feed->link().on_receive(bytes, rx) : hub_->on_receive(conn, bytes);
  }
  void on_sent(Conn conn, std::size_t bytes) {
    ProxyFeed* const feed = feed_of_[conn.index];
    feed != nullptr ? feed->link().on_sent(bytes) : hub_->on_sent(conn, bytes);
  }
  void on_close(Conn conn, transports::CloseInfo info) {
    ProxyFeed* const feed = std::exchange(feed_of_[conn.index], nullptr);
    if (feed == nullptr) return hub_->on_close(conn, info);
    feed->link().on_close(info);
    reap_ = true;
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn conn) { return feed_of_[conn.index]->receive_space(); }

  // The feeds' owner.
  void feed_conn(ProxyFeed& feed, Conn conn) { feed_of_[conn.index] = &feed; }
  void feed_resolve(ProxyFeed& feed, const std::string& host, std::uint16_t port) {
    const auto started = upstream::resolve_elsewhere(
        host, port, [box = resolved_, id = feed.id()](upstream::Endpoints found) {
          box->post({id, std::move(found)});
        });
    if (!started) resolved_->post({feed.id(), tl::make_unexpected(started.error())});
  }
  void feed_opened(ProxyFeed& feed) {
    spdlog::info("{}upstream open: {}", name_of(feed), shown(feed));
    if (&feed == main_) parts_.status.event("upstream_open");
  }
  void feed_ready(ProxyFeed& feed) {
    spdlog::info("{}upstream ready", name_of(feed));
    if (&feed == main_) {
      parts_.status.event("upstream_ready");
      activity_.upstream_ready(feed.log().stats(), transport_.now());
    }
    tell(feed, FeedEvent::Kind::ready);
  }
  void feed_lost(ProxyFeed& feed, const std::string& why, bool was_open, std::int64_t wait_ns) {
    spdlog::warn("{}upstream {}: {}; trying again in {} ms", name_of(feed),
                 was_open ? "lost" : "not reached", why, wait_ns / 1'000'000);
    if (&feed == main_)
      parts_.status.event("upstream_lost", {{"reason", why}, {"was_open", was_open}});
    tell(feed, FeedEvent::Kind::lost, why, wait_ns);
  }
  void feed_refused(ProxyFeed& feed, const std::string& why) {
    spdlog::error("{}upstream refused: {}", name_of(feed), why);
    tell(feed, FeedEvent::Kind::refused, why);
    if (&feed != main_) return;
    parts_.status.event("upstream_refused", {{"reason", why}});
    exit_code_ = program::kExitRefused;
    begin_stop(transport_.now());
  }
  /// kept: another process was to have its connection, and gave it back.
  void feed_resumed(ProxyFeed& feed, bool kept) {
    spdlog::info("{}upstream {}: {}", name_of(feed), kept ? "kept" : "taken over", shown(feed));
    if (&feed != main_) return;
    parts_.status.event("upstream_ready");
    activity_.upstream_ready(feed.log().stats(), transport_.now());
  }
  void feed_handed_over(ProxyFeed& feed, upstream::HandedLink link) {
    // A feed that was being removed may let go when the others have been handed over already.
    if (handed_) handed_->feeds.push_back({feed.id(), feed.log().head_sequence(), std::move(link)});
  }
  void feed_answer(ProxyFeed& feed, std::string_view text) {
    tell(feed, FeedEvent::Kind::answer, std::string(text));
  }

 private:
  static constexpr std::int64_t kTickNs = 500'000'000;
  static constexpr std::int64_t kStopTickNs = 10'000'000;
  /// Clients and upstreams that do not answer the Close are cut after this.
  static constexpr std::int64_t kStopWaitNs = 2'000'000'000;

  struct Slot {
    std::unique_ptr<upstream::FeedParts>
        parts;  // null: the configuration's, which are the caller's
    std::unique_ptr<ProxyFeed> feed;
    bool removing = false;
    transports::MonotonicInstant give_up_at{};
  };
  struct Resolved {
    upstream::FeedId feed;
    upstream::Endpoints endpoints;
  };

  static void wake_transport(void* context) { static_cast<T*>(context)->wake(); }

  static downstream::HubOptions hub_options(const ProxyConfig& config) {
    downstream::HubOptions options;
    options.connections_max = connections_max(config);
    options.clients_max = config.clients_max;
    options.lag_max_bytes = config.client_lag_max_bytes;
    options.handshake_timeout_ns = config.client_handshake_timeout_ms * std::int64_t{1'000'000};
    options.close_timeout_ns = config.client_close_timeout_ms * std::int64_t{1'000'000};
    options.allow_origin = config.allow_origin;
    return options;
  }

  [[nodiscard]] std::string name_of(const ProxyFeed& feed) const {
    return &feed == main_ ? "" : "feed " + std::to_string(feed.id()) + ": ";
  }
  /// Without the query, which may hold a token.
  static std::string shown(ProxyFeed& feed) {
    const websocket::WsUrl& url = feed.parts().link.url;
    return (url.tls ? "wss://" : "ws://") + url.host_header() +
           url.target.substr(0, url.target.find('?'));
  }

  Slot* find(upstream::FeedId id) {
    const auto found = std::find_if(feeds_.begin(), feeds_.end(),
                                    [id](const Slot& slot) { return slot.feed->id() == id; });
    return found == feeds_.end() ? nullptr : &*found;
  }

  void tell(ProxyFeed& feed, FeedEvent::Kind kind, std::string text = {},
            std::int64_t wait_ns = 0) {
    if (parts_.port == nullptr) return;
    FeedEvent event;
    event.kind = kind;
    event.feed = feed.id();
    event.text = std::move(text);
    event.wait_ns = wait_ns;
    parts_.port->events.post(std::move(event));
  }

  [[gnu::cold]] void take_commands() {
    for (FeedCommand& command : parts_.port->commands.take()) take(command);
  }

  void take(FeedCommand& command) {
    if (command.kind == FeedCommand::Kind::add) return add(command);
    if (command.kind == FeedCommand::Kind::hand_over) return hand_over();
    if (command.kind == FeedCommand::Kind::take_back) return take_back(*command.handed);
    if (command.kind == FeedCommand::Kind::stop) return stop();
    Slot* const slot = find(command.feed);
    if (slot == nullptr) return;
    FeedEvent event;
    event.feed = command.feed;
    event.tag = command.tag;
    switch (command.kind) {
      case FeedCommand::Kind::remove:
        slot->removing = reap_ = true;
        slot->give_up_at = transport_.now() + kStopWaitNs;
        slot->feed->link().stop();
        return;
      case FeedCommand::Kind::attach:
        if (command.bell) slot->feed->wake_list().attach(std::move(command.bell));
        event.kind = FeedEvent::Kind::attached;
        break;
      case FeedCommand::Kind::detach:
        return slot->feed->wake_list().detach(command.bell);
      case FeedCommand::Kind::send:
        event.kind = FeedEvent::Kind::sent;
        event.result =
            slot->feed->link().send_message(command.opcode, websocket::as_bytes(command.text));
        if (command.tag == 0) return;
        break;
      case FeedCommand::Kind::watch_answers:
        return slot->feed->link().watch_answers(command.on);
      default:
        return;
    }
    parts_.port->events.post(std::move(event));
  }

  /// Lets go of everything that another process can go on with; handed_over is told when the last upstream has let go.
  [[gnu::cold]] void hand_over() {
    handed_ = std::make_unique<local::HandedFeeds>();
    if constexpr (transports::HandsOver<T>) handed_->listeners = transport_.hand_over_listeners();
    hand_over_by_ = transport_.now() + kStopWaitNs;
    for (Slot& slot : feeds_)
      if (!slot.removing) slot.feed->link().hand_over();
  }
  [[gnu::cold]] void finish_hand_over() {
    const auto missing = static_cast<std::size_t>(std::count_if(
        feeds_.begin(), feeds_.end(), [](const Slot& slot) { return !slot.removing; }));
    if (handed_->feeds.size() < missing) {
      if (transport_.now() >= hand_over_by_)
        for (Slot& slot : feeds_) slot.feed->link().abort();  // a venue that does not let go
      return;
    }
    FeedEvent event;
    event.kind = FeedEvent::Kind::handed_over;
    event.handed = std::move(handed_);
    parts_.port->events.post(std::move(event));
  }
  /// Who was to take over is gone: this process goes on.
  [[gnu::cold]] void take_back(local::HandedFeeds& handed) {
    if constexpr (transports::HandsOver<T>) {
      for (rings::Descriptor& listener : handed.listeners)
        if (auto again = transport_.adopt_listener(std::move(listener), {}); !again)
          spdlog::error("WebSocket clients cannot come any more: {}", again.error().message);
    }
    for (local::HandedFeeds::Feed& each : handed.feeds)
      if (Slot* const slot = find(each.id)) slot->feed->link().adopt(std::move(each.link));
  }

  void add(FeedCommand& command) {
    upstream::FeedParts& made = *command.parts;
    feeds_.push_back(
        {std::move(command.parts), std::make_unique<ProxyFeed>(transport_, *this, made, nullptr)});
    if (!stopping_) feeds_.back().feed->start();
  }

  /// Gives back what has been closed.
  [[gnu::cold]] void reap_feeds() {
    reap_ = false;
    for (std::size_t i = 0; i < feeds_.size();) {
      Slot& slot = feeds_[i];
      if (!slot.removing || !slot.feed->link().ended()) {
        ++i;
        continue;
      }
      slot.feed.reset();
      FeedEvent event;
      event.kind = FeedEvent::Kind::removed;
      event.feed = slot.parts->id;
      event.parts = std::move(slot.parts);
      feeds_.erase(feeds_.begin() + static_cast<std::ptrdiff_t>(i));
      parts_.port->events.post(std::move(event));
    }
  }

  [[gnu::cold]] void take_resolved() {
    for (Resolved& answer : resolved_->take())
      if (Slot* const slot = find(answer.feed)) slot->feed->link().resolved(answer.endpoints);
  }

  /// The longest time between two turns of a spinning loop: what this thread's neighbours and its own work cost.
  void note_gap() {
    const transports::TscInstant now = transports::TscInstant::now();
    if (last_turn_.present() && main_ != nullptr)
      main_->log().stats().loop_gap_ticks_max.raise_to(
          static_cast<std::uint64_t>((now - last_turn_).ticks));
    last_turn_ = now;
  }

  /// Timeouts, counters, the end. false: stopped.
  bool tick(transports::MonotonicInstant now) {
    bool ended = true;
    for (Slot& slot : feeds_) {
      slot.feed->link().on_time(now);
      if (slot.removing && now >= slot.give_up_at) slot.feed->link().abort();
      ended = ended && slot.feed->link().ended();
    }
    if (hub_) {
      main_->log().stats().loops.set(transport_.counters().polls);
      hub_->on_time(now);
      ended = ended && hub_->size() == 0;
      activity_.look(main_->log().stats(), now);
      if constexpr (requires { transport_.handshakes_failed(); }) {
        activity_.look_at_handshakes(transport_.handshakes_failed(), transport_.handshake_fault());
        activity_.look_at_offload(transport_.offloaded() != 0, transport_.offload_fault());
      }
    }
    if (stopping_ && (ended || now >= give_up_at_)) return false;
    ticked_at_ = now;
    next_tick_ = now + (stopping_ ? kStopTickNs : kTickNs);
    return true;
  }

  void begin_stop(transports::MonotonicInstant now) {
    stopping_ = true;
    next_tick_ = now;
    give_up_at_ = now + kStopWaitNs;
    if (hub_) {
      transport_.stop_listening();
      hub_->stop();
    }
    for (Slot& slot : feeds_) {
      slot.feed->set_state(rings::WriterState::stopped);
      slot.feed->link().stop();
    }
  }

  T& transport_;
  ProxyParts parts_;
  std::optional<downstream::ClientHub<T>> hub_;  // of the configured upstream
  std::vector<Slot> feeds_;
  ProxyFeed* main_ = nullptr;        // the configured one
  std::vector<ProxyFeed*> feed_of_;  // by Conn::index; null: a WebSocket client
  Activity activity_;
  // Shared with the threads that resolve names, which may outlive this.
  std::shared_ptr<program::Mailbox<Resolved>> resolved_ =
      std::make_shared<program::Mailbox<Resolved>>();
  transports::MonotonicInstant next_tick_;
  transports::MonotonicInstant ticked_at_;
  transports::TscInstant last_turn_;
  std::uint32_t turns_ = 0;
  bool reap_ = false;
  std::unique_ptr<local::HandedFeeds> handed_;  // while the feeds let go
  transports::MonotonicInstant hand_over_by_;
  bool stopping_ = false;
  transports::MonotonicInstant give_up_at_;
  int exit_code_ = program::kExitOk;
};

}  // namespace feedbench::proxy
