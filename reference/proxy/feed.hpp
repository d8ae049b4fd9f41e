#pragma once

#include <memory>
#include <string>
#include <utility>

#include "reference/downstream/client_hub.hpp"
#include "reference/local/wake_list.hpp"
#include "reference/upstream/feed_parts.hpp"
#include "transports/transport.hpp"

namespace feedbench::proxy {

/// One upstream and its log on the data thread: what the venue sends is published, then handed to the WebSocket clients
/// (if this is the feed they get), and the local clients that sleep are woken.
///
/// Owner: feed_conn(feed, conn), feed_resolve(feed, host, port), feed_opened(feed), feed_ready(feed),
/// feed_lost(feed, why, was_open, wait_ns), feed_refused(feed, why), feed_answer(feed, text), feed_resumed(feed, kept),
/// feed_handed_over(feed, link).
/// thread: the polling thread. T: a Transport.
template <class T, class Owner>
class Feed {
 public:
  using Conn = transports::Conn;

  /// parts: outlive the feed. hub: the WebSocket clients that get this feed, or null.
  Feed(T& transport, Owner& owner, upstream::FeedParts& parts, downstream::ClientHub<T>* hub)
      : transport_(transport),
        owner_(owner),
        parts_(parts),
        hub_(hub),
        ingest_(parts.log, parts.ingest),
        link_(transport, ingest_, *this, parts.link, parts.tls ? &*parts.tls : nullptr) {
    link_.watch_answers(parts.watching);
  }

  /// Connects, or goes on with what another process handed over.
  void start() {
    if (!parts_.adopted) return link_.start();
    link_.adopt(std::move(*parts_.adopted));
    parts_.adopted.reset();
  }

  [[nodiscard]] upstream::FeedId id() const noexcept { return parts_.id; }
  [[nodiscard]] upstream::FeedParts& parts() noexcept { return parts_; }
  [[nodiscard]] rings::FeedLogWriter& log() noexcept { return parts_.log; }
  [[nodiscard]] upstream::UpstreamLink<T, Feed>& link() noexcept { return link_; }
  [[nodiscard]] const upstream::UpstreamLink<T, Feed>& link() const noexcept { return link_; }
  [[nodiscard]] local::WakeList& wake_list() noexcept { return wake_list_; }

  std::span<std::byte> receive_space() {
    if (must_wait() || link_.holds_input()) [[unlikely]] {
      paused_ = true;
      return {};
    }
    return link_.receive_space();
  }

  /// Goes on if it was paused and the log may grow again: first by what the link has received already, then by what
  /// comes.
  void resume_if_paused() {
    if (!paused_ || must_wait()) return;
    paused_ = false;
    link_.decrypt_held_input();
    if (!link_.holds_input()) transport_.resume_receive(link_.conn());
  }

  void set_state(rings::WriterState state) {
    parts_.log.stats().writer_state.store(static_cast<std::uint32_t>(state),
                                          std::memory_order_relaxed);
  }

  // The link's owner.
  void upstream_conn(Conn conn) { owner_.feed_conn(*this, conn); }
  void upstream_resolve(const std::string& host, std::uint16_t port) {
    owner_.feed_resolve(*this, host, port);
  }
  void upstream_published() {
    wake_list_.ring();
    if (hub_ != nullptr) hub_->publish();
  }
  [[nodiscard]] bool upstream_must_wait() {
    paused_ |= must_wait();
    return must_wait();
  }
  void upstream_opened() {
    parts_.log.stats().upstream_connects.add();
    owner_.feed_opened(*this);
  }
  void upstream_ready() {
    set_state(rings::WriterState::live);
    owner_.feed_ready(*this);
  }
  void upstream_lost(const std::string& why, bool was_open, std::int64_t wait_ns) {
    set_state(rings::WriterState::upstream_lost);
    (was_open ? parts_.log.stats().upstream_losses : parts_.log.stats().upstream_failures).add();
    owner_.feed_lost(*this, why, was_open, wait_ns);
  }
  void upstream_refused(const std::string& why) { owner_.feed_refused(*this, why); }
  void upstream_answer(std::string_view text) { owner_.feed_answer(*this, text); }
  /// The connection is the one that was: it was counted when it came up, here or in the process before.
  void upstream_resumed() {
    set_state(rings::WriterState::live);
    owner_.feed_resumed(*this, std::exchange(given_away_, false));
  }
  void upstream_handed_over(upstream::HandedLink link) {
    given_away_ = true;
    owner_.feed_handed_over(*this, std::move(link));
  }

 private:
  [[nodiscard]] bool must_wait() const { return hub_ != nullptr && hub_->log_must_wait(); }

  T& transport_;
  Owner& owner_;
  upstream::FeedParts& parts_;
  downstream::ClientHub<T>* hub_;
  local::WakeList wake_list_;
  upstream::LogIngest ingest_;
  upstream::UpstreamLink<T, Feed> link_;
  bool paused_ = false;
  bool given_away_ = false;  // the connection is another process's, until it comes back
};

}  // namespace feedbench::proxy
