#pragma once

#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/client/client_options.hpp"
#include "reference/client/client_page.hpp"
#include "reference/client/error.hpp"
#include "reference/client/feed_reader.hpp"
#include "reference/client/find_proxy.hpp"
#include "reference/client/open_feed.hpp"
#include "reference/client/packet_socket.hpp"
#include "reference/client/protocol.hpp"
#include "transports/clock.hpp"

/// The local client of feedproxy: one upstream WebSocket, shared with every other program of this user, read in place
/// from shared memory. Header-only; C++20, the standard library and Linux.
///
///     feedproxy::Client client{"momentum-1", {.spawn = {"feedproxy"}}};
///     const auto feed = client.open({.url = "wss://stream.data.alpaca.markets/v2/iex", .credentials = "ALPACA"}).feed;
///     client.subscribe(feed, "AAPL", "trades");
///     feedproxy::Message message;
///     feedproxy::Gap gap;
///     for (;;) switch (client.next(feed, message, gap)) {
///       case feedproxy::Pull::message: use(message.text()); break;
///       case feedproxy::Pull::gap:     resync(gap); break;
///       case feedproxy::Pull::none:    client.wait(std::chrono::seconds(1)); break;
///       case feedproxy::Pull::closed:  return;
///     }
namespace feedproxy {

/// One client of a proxy. thread: one at a time, for everything but the static functions. Calls that end in _async
/// return at once, and their answer comes as a Notice; the others block until it is there, and throw Error.
///
/// Bounds: control::kFeedsPerClientMax feeds; a message to the venue of send_bytes_max().
class Client {
 public:
  /// Connects, and starts the proxy if nobody is there and options.spawn says how.
  /// name: 1 to 64 letters, digits and -_.: characters, shown to people. throws Error.
  explicit Client(std::string name, ClientOptions options = {})
      : name_(std::move(name)), options_(std::move(options)) {
    options_.path = socket_path(options_.path);
    connect(deadline());
  }
  ~Client() { forget_proxy(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Opens an upstream, or joins the one that is open already with the same URL, credentials, headers, subprotocol
  /// and venue: as they are meant, not as they are written (an empty venue is what the host's name says). Reading starts
  /// with the first message published after the call. throws Error: what the venue, the proxy or the kernel said.
  Opened open(const OpenOptions& options) {
    const Notice answer = await(open_async(options));
    return {answer.feed, answer.flag};
  }
  /// Lets go of it. The upstream goes with its last user. throws Error if it is not open.
  void close(FeedId feed) { await(close_async(feed)); }
  /// One message to the venue. throws Error: not connected, or too large.
  void send(FeedId feed, std::string_view bytes, Opcode opcode = Opcode::text) {
    await(send_async(feed, bytes, opcode));
  }
  /// Subscribes to kind ("trades", "depth@100ms") of symbol, and returns when the venue has acknowledged it; true: it was
  /// subscribed before. Counted: over all clients the venue is asked once, and told when the last one leaves, or dies.
  /// request, release: what to send for it; needed for a raw upstream, for the others the proxy knows.
  /// throws Error with the venue's own words if it refuses.
  bool subscribe(FeedId feed, std::string_view symbol, std::string_view kind,
                 std::string_view request = {}, std::string_view release = {}) {
    return await(subscribe_async(feed, symbol, kind, request, release)).flag;
  }
  void unsubscribe(FeedId feed, std::string_view symbol, std::string_view kind) {
    await(unsubscribe_async(feed, symbol, kind));
  }
  /// Lines of the proxy's log of at least this level come as notices from now on. throws Error.
  void set_log_level(LogLevel level) {
    control::Head head;
    head.code = static_cast<std::uint32_t>(level);
    await(ask_for({control::Kind::set_log_level}, head));
  }
  /// The proxy's state as JSON: feeds, clients, cursors. throws Error.
  std::string status() {
    await(ask_for({control::Kind::status}, {}));
    return std::exchange(status_, {});
  }

  RequestId open_async(const OpenOptions& options) {
    const std::size_t slot = free_slot();
    auto feed = std::make_unique<Feed>();
    feed->id = next_feed_++;
    feed->options = options;
    feed->slot = slot;
    Feed& made = *feed;
    slots_[slot] = std::move(feed);
    return ask_open(made);
  }
  RequestId close_async(FeedId feed) {
    Feed& of = find_or_throw(feed);
    control::Head head;
    head.feed = of.remote;
    const bool known = of.remote != 0;
    drop(of);
    if (known && connected() && !options_.monitor)
      return ask_for({control::Kind::close, feed}, head);
    return answer_here(feed);
  }
  RequestId send_async(FeedId feed, std::string_view bytes, Opcode opcode = Opcode::text) {
    if (bytes.size() > send_bytes_max())
      throw Error(Errc::too_large, "a message to the venue has " + std::to_string(bytes.size()) +
                                       " bytes; at most " + std::to_string(send_bytes_max()) +
                                       " are taken");
    control::Head head;
    head.feed = find_or_throw(feed).remote;
    head.code = static_cast<std::uint32_t>(opcode);
    return ask_for({control::Kind::send, feed}, head, bytes);
  }
  RequestId subscribe_async(FeedId feed, std::string_view symbol, std::string_view kind,
                            std::string_view request = {}, std::string_view release = {}) {
    Feed& of = find_or_throw(feed);
    of.subscriptions.push_back(
        {std::string(symbol), std::string(kind), std::string(request), std::string(release)});
    try {
      return ask_subscribe(of, of.subscriptions.back());
    } catch (const Error&) {
      of.subscriptions.pop_back();
      throw;
    }
  }
  RequestId unsubscribe_async(FeedId feed, std::string_view symbol, std::string_view kind) {
    Feed& of = find_or_throw(feed);
    of.forget_subscription(symbol, kind);
    control::Head head;
    head.feed = of.remote;
    return ask_for({control::Kind::unsubscribe, feed}, head, symbol, kind);
  }
  /// The answer to a call that ends in _async, taken out of the notices; waits for it at most timeout. false: not there
  /// yet. A lost proxy answers everything (failed: proxy_lost).
  bool answer(RequestId request, std::chrono::milliseconds timeout, Notice& out) {
    if (take_answer(request, out)) return true;
    if (connected() && timeout.count() > 0)
      control::wait_for(socket_.get(), POLLIN, static_cast<int>(timeout.count()));
    look_at_socket_now();
    return take_answer(request, out);
  }
  [[nodiscard]] static constexpr std::size_t send_bytes_max() { return control::kTextBytesMax; }

  /// The next message of one feed, or what else there is (see Pull). Cost: two shared cache lines, no system call; about
  /// every 4,096th time that there is nothing, a look at the socket.
  Pull next(FeedId feed, Message& message, Gap& gap) {
    if (feed == 0 || current_ == nullptr || current_->id != feed) [[unlikely]] {
      current_ = find(feed);
      if (current_ == nullptr) return Pull::closed;
    }
    return next(*current_, message, gap);
  }

  /// The next message of a feed is the first one published from now on; what is in between is no gap.
  void seek_live(FeedId feed) noexcept {
    Feed* const of = find(feed);
    if (of != nullptr && of->reader) of->reader->seek_live();
  }

  /// The next notice, if there is one. Looks at the socket when it is time to.
  bool next_notice(Notice& notice) {
    if (notices_.empty()) look_at_socket_now();
    if (notices_.empty()) return false;
    notice = std::move(notices_.front());
    notices_.pop_front();
    return true;
  }

  /// Calls back for what there is: notices first, then at most messages_max messages and gaps of each feed. Returns how
  /// many callbacks were made. handler: see Callbacks; it may call everything but poll(), next() and wait().
  template <class Handler>
  std::size_t poll(Handler& handler, std::size_t messages_max = 256) {
    std::size_t calls = 0;
    if (look_due()) look_at_socket_now();
    for (; !notices_.empty(); ++calls) {
      const Notice notice = std::move(notices_.front());
      notices_.pop_front();
      tell(handler, notice);
    }
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
      for (std::size_t i = 0; i < messages_max && slots_[slot] != nullptr; ++i) {
        Message message;
        Gap gap;
        const FeedId feed = slots_[slot]->id;
        const Pull pulled = next(*slots_[slot], message, gap);
        if (pulled == Pull::message)
          handler.on_message(message);
        else if (pulled == Pull::gap)
          handler.on_gap(feed, gap);
        else
          break;
        ++calls;
      }
    }
    return calls;
  }

  /// Returns when a message, a gap or a new notice is there (true), or after timeout (false). Spins options.spin long,
  /// then sleeps; the publisher makes a system call for this client only while it sleeps.
  /// only: wait for messages and gaps of this feed, whatever the others have; 0: of any.
  bool wait(std::chrono::nanoseconds timeout, FeedId only = 0) {
    const auto begin = detail::Clock::now();
    const auto until = begin + timeout;
    const auto spin_until = std::min(begin + options_.spin, until);
    for (;;) {
      for (int i = 0; i < 64; ++i) {
        if (readable(only)) return true;
        pause();
      }
      if (look_due()) look_at_socket_now();
      if (news()) return true;
      const auto now = detail::Clock::now();
      if (now >= until) return readable(only);
      if (now < spin_until) continue;
      if (!connected()) {
        if (!options_.reconnect) return readable(only);
        ::poll(nullptr, 0, 5);
        look_at_socket_now();
        continue;
      }
      park(std::min<std::chrono::nanoseconds>(until - now, kParkMax), only);
    }
  }

  /// For a loop of one's own (epoll, asyncio): becomes readable when a message or a notice is there, after arm() said
  /// that nothing is. Then call poll() or next() until there is nothing, and arm() again. The client's; do not close it.
  int fd() {
    if (!loop_.valid()) {
      loop_ = control::Descriptor(::epoll_create1(EPOLL_CLOEXEC));
      if (!loop_.valid())
        throw Error(Errc::system, "make a descriptor for the loop: " + text_of(errno));
      watch_in_loop();
    }
    return loop_.get();
  }
  /// false: something is there already, do not sleep. true: fd() will tell. only: as for wait().
  bool arm(FeedId only = 0) {
    static_cast<void>(fd());
    drain_doorbell();
    look_at_socket_now();
    if (!connected()) return false;
    waiting_of(*page_).store(static_cast<std::uint32_t>(Waiting::doorbell),
                             std::memory_order_relaxed);
    order_store_before_look();
    if (!readable(only) && notices_.empty()) return true;
    waiting_of(*page_).store(static_cast<std::uint32_t>(Waiting::no), std::memory_order_relaxed);
    return false;
  }

  /// next() of this feed (0: of some feed) has something to say. Cost: one shared cache line a feed.
  [[nodiscard]] bool readable(FeedId only = 0) const noexcept {
    for (const auto& feed : slots_)
      if (feed != nullptr && (only == 0 || feed->id == only) && feed->ready()) return true;
    return false;
  }

  /// The proxy's process; 0 while there is none.
  [[nodiscard]] int server_pid() const noexcept { return connected() ? server_pid_ : 0; }
  [[nodiscard]] const std::string& server_version() const noexcept { return server_version_; }
  [[nodiscard]] bool connected() const noexcept { return socket_.valid(); }
  [[nodiscard]] const std::string& path() const noexcept { return options_.path; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// How far behind the publisher this client is, in messages; 0 for a feed that is not open.
  [[nodiscard]] std::uint64_t lag(FeedId feed) const noexcept {
    const Feed* const of = find(feed);
    return of == nullptr || !of->reader
               ? 0
               : of->reader->head_sequence() + 1 - of->reader->next_sequence();
  }
  /// The log that next() of this feed reads now: whoever holds it may go on reading payloads after the feed is closed.
  /// Null if the feed is not open, or not yet. It is another one after a gap of reason proxy_lost, and when the proxy was
  /// replaced.
  [[nodiscard]] std::shared_ptr<const MappedLog> log(FeedId feed) const noexcept {
    const Feed* const of = find(feed);
    return of == nullptr || !of->reader ? nullptr : of->reader->log();
  }
  /// The publisher's counters of a feed; null if it is not open.
  [[nodiscard]] const rings::ProxyStats* stats(FeedId feed) const noexcept {
    const Feed* const of = find(feed);
    return of == nullptr || !of->reader ? nullptr : &of->reader->stats();
  }

 private:
  static constexpr std::chrono::milliseconds kParkMax{50};  // a proxy that died wakes nobody
  static constexpr std::chrono::milliseconds kRetryEvery{100};
  static constexpr std::chrono::seconds kComeBackMax{
      2};  // what an attempt to reconnect may hold up poll()
  static constexpr std::uint32_t kLookEvery = 4096;
  static constexpr std::size_t kNoticesMax = 10'000;

  using Feed = detail::OpenFeed;
  using Subscription = detail::Subscription;
  /// A request without an answer.
  struct Asked {
    control::Kind kind = control::Kind::hello;
    FeedId feed = 0;
    bool quiet = false;  // asked by reconnecting: its success is no news
    std::string symbol = {};
    std::string subscription_kind = {};
  };

  static std::string text_of(int os_error) { return std::strerror(os_error); }
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  [[nodiscard]] detail::Clock::time_point deadline() const {
    return detail::Clock::now() + options_.timeout;
  }

  // Reading.

  Pull next(Feed& feed, Message& message, Gap& gap) {
    const Pull pulled = feed.next(message, gap);
    return pulled == Pull::none ? nothing() : pulled;
  }
  Pull nothing() {
    if (look_due()) [[unlikely]]
      look_at_socket_now();
    return Pull::none;
  }

  /// There are notices that wait() has not told of yet.
  [[nodiscard]] bool news() noexcept {
    return std::exchange(notices_told_, notices_made_) != notices_made_;
  }

  void park(std::chrono::nanoseconds longest, FeedId only) {
    page_->heartbeat_ticks.store(feedbench::transports::TscInstant::now().ticks,
                                 std::memory_order_relaxed);
    for (const auto& feed : slots_)
      if (feed != nullptr && feed->reader) feed->reader->tell_progress();
    constexpr auto kAsleep = static_cast<std::uint32_t>(Waiting::futex);
    waiting_of(*page_).store(kAsleep, std::memory_order_relaxed);
    order_store_before_look();
    if (!readable(only)) futex_wait(waiting_of(*page_), kAsleep, longest.count());
    waiting_of(*page_).store(static_cast<std::uint32_t>(Waiting::no), std::memory_order_relaxed);
    look_now_ = true;
  }

  void drain_doorbell() noexcept {
    char rings[64];
    while (doorbell_.valid() && ::recv(doorbell_.get(), rings, sizeof rings, MSG_DONTWAIT) > 0) {
    }
  }
  void watch_in_loop() noexcept {
    if (!loop_.valid() || !connected()) return;
    for (const int fd : {socket_.get(), doorbell_.get()}) {
      epoll_event event{};
      event.events = EPOLLIN;
      ::epoll_ctl(loop_.get(), EPOLL_CTL_ADD, fd, &event);
    }
  }

  // The conversation.

  /// throws Error; then nothing has changed.
  void connect(detail::Clock::time_point until) {
    socket_ = detail::find_proxy(options_.path, options_.spawn, until);
    control::Head head;
    head.values = {control::kMagic, control::kVersion,
                   options_.monitor ? std::uint64_t{control::kHelloMonitor} : 0};
    greeting_ = last_request_ + 1;
    const std::size_t notices_before = notices_.size();
    try {
      await(ask_for({control::Kind::hello}, head, name_, options_.token), until);
    } catch (const Error& failure) {
      socket_.reset();
      // A proxy that refuses at the door says why before it hears anything.
      std::optional<Error> told;
      for (std::size_t i = notices_before; i < notices_.size(); ++i)
        if (notices_[i].request == greeting_ && notices_[i].error != Errc::proxy_lost)
          told.emplace(notices_[i].error, notices_[i].text);
      notices_.resize(notices_before);
      if (told) throw *told;
      throw failure;
    }
    watch_in_loop();
  }

  /// Sends one request. throws Error: the proxy is gone, does not read, or the texts are too long.
  template <class... Texts>
  RequestId ask_for(Asked asked, control::Head head, const Texts&... texts) {
    if ((std::string_view(texts).size() + ... + 0) > control::kTextBytesMax)
      throw Error(Errc::too_large, "a request has more than " +
                                       std::to_string(control::kTextBytesMax) + " bytes of text");
    head.kind = static_cast<std::uint32_t>(asked.kind);
    head.request = ++last_request_;
    const std::string packet = control::encode(head, texts...);
    const auto until = deadline();
    while (connected()) {
      switch (control::send_packet(socket_.get(), packet)) {
        case control::Transfer::done:
          asked_[head.request] = std::move(asked);
          return head.request;
        case control::Transfer::would_block:
          // It does not read because it wants to tell us something first, or it is stopped.
          receive_all();
          if (detail::Clock::now() >= until)
            throw Error(Errc::timed_out, "the proxy does not read what it is asked");
          if (connected()) control::wait_for(socket_.get(), POLLOUT, 10);
          break;
        case control::Transfer::ended:
          receive_all();  // what it said last, then the end
          break;
        default:
          throw Error(Errc::system, "ask the proxy: " + text_of(errno));
      }
    }
    throw Error(Errc::proxy_lost, "the proxy is gone");
  }

  RequestId ask_open(Feed& feed, bool quiet = false) {
    const OpenOptions& options = feed.options;
    control::Head head;
    head.feed = options.feed;
    // Reconnecting, a feed is open already: nothing newer than what it has had is asked for.
    const std::uint64_t now = options.now || quiet ? control::kOpenNow : 0U;
    const std::uint64_t last = options.last_values && !quiet ? control::kOpenLastValues : 0U;
    head.values = {now | last, static_cast<std::uint64_t>(options_.timeout.count()), 0};
    try {
      return ask_for({control::Kind::open, feed.id, quiet}, head, options.url, options.credentials,
                     options.headers, options.subprotocol, options.venue);
    } catch (const Error&) {
      if (!quiet) drop(feed);
      throw;
    }
  }
  RequestId ask_subscribe(Feed& feed, const Subscription& wanted, bool quiet = false) {
    control::Head head;
    head.feed = feed.remote;
    return ask_for({control::Kind::subscribe, feed.id, quiet, wanted.symbol, wanted.kind}, head,
                   wanted.symbol, wanted.kind, wanted.request, wanted.release);
  }
  /// The answer to a request that needed nobody else.
  RequestId answer_here(FeedId feed) {
    Notice notice;
    notice.request = ++last_request_;
    notice.feed = feed;
    add(std::move(notice));
    return last_request_;
  }

  Notice await(RequestId request) { return await(request, deadline() + std::chrono::seconds(1)); }
  bool take_answer(RequestId request, Notice& answer) {
    for (auto at = notices_.begin(); at != notices_.end(); ++at) {
      if (at->request != request) continue;
      answer = std::move(*at);
      notices_.erase(at);
      return true;
    }
    return false;
  }
  Notice await(RequestId request, detail::Clock::time_point until) {
    for (;;) {
      if (Notice answer; take_answer(request, answer)) {
        if (answer.kind == Notice::Kind::failed) throw Error(answer.error, answer.text);
        return answer;
      }
      if (!connected()) throw Error(Errc::proxy_lost, "the proxy was lost before it answered");
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(until - detail::Clock::now());
      if (left.count() <= 0) throw Error(Errc::timed_out, "the proxy does not answer");
      control::wait_for(socket_.get(), POLLIN, static_cast<int>(left.count()));
      receive_all();
    }
  }

  [[nodiscard]] bool look_due() noexcept { return ++idle_ >= kLookEvery || look_now_; }
  void look_at_socket_now() {
    idle_ = 0;
    look_now_ = false;
    if (connected()) return receive_all();
    if (options_.reconnect && detail::Clock::now() >= retry_at_) come_back();
  }

  /// Bound: kNoticesMax; the oldest go, unless somebody waits for them.
  void add(Notice notice) {
    notices_.push_back(std::move(notice));
    ++notices_made_;
    if (notices_.size() > kNoticesMax && notices_.front().request == 0) notices_.pop_front();
  }

  void receive_all() {
    if (inbox_.empty()) inbox_.resize(control::kPacketBytesMax);
    while (connected()) {
      std::size_t bytes = 0;
      control::Descriptors descriptors;
      switch (control::receive_packet(socket_.get(), inbox_, bytes, descriptors)) {
        case control::Transfer::would_block:
          return;
        case control::Transfer::done:
          break;
        case control::Transfer::ended:
          return lose_proxy("the proxy ended");
        default:
          return lose_proxy("the connection to the proxy broke: " + text_of(errno));
      }
      const auto packet = control::decode(std::span(inbox_).first(bytes));
      if (!packet) return lose_proxy("what answers is not a feedproxy of this version");
      take(*packet, descriptors);
    }
  }

  void take(const control::Packet& packet, control::Descriptors& descriptors) {
    if (packet.kind() == control::Kind::event) return take_event(packet, descriptors);
    const auto found = asked_.find(packet.head.request);
    if (packet.kind() == control::Kind::failed && packet.head.request == 0)
      return refuse_greeting(packet);
    if (found == asked_.end()) return;
    const Asked asked = found->second;
    asked_.erase(found);
    Notice notice;
    notice.request = packet.head.request;
    notice.feed = asked.feed;
    Feed* const feed = find(asked.feed);
    if (packet.kind() == control::Kind::failed) {
      notice.kind = Notice::Kind::failed;
      notice.error = static_cast<Errc>(packet.head.code);
      notice.text = packet.texts[0];
      if (asked.kind == control::Kind::subscribe && feed != nullptr)
        feed->forget_subscription(asked.symbol, asked.subscription_kind);
      if (asked.kind == control::Kind::open && feed != nullptr) {
        if (!asked.quiet) {
          drop(*feed);
        } else {
          feed->ended = true;
          notice.kind = Notice::Kind::closed;
        }
      }
      add(std::move(notice));
      return;
    }
    notice.flag = packet.head.values[0] != 0;
    switch (asked.kind) {
      case control::Kind::hello:
        if (!take_greeting(packet, descriptors, notice)) notice.kind = Notice::Kind::failed;
        break;
      case control::Kind::open:
        if (feed == nullptr) {  // closed meanwhile
          control::Head head;
          head.feed = packet.head.feed;
          ask_quietly({control::Kind::close, 0, true}, head);
          return;
        }
        take_opened(*feed, packet, descriptors, notice);
        break;
      case control::Kind::status:
        status_ = read_whole(descriptors[0].get());
        break;
      default:
        break;
    }
    if (!asked.quiet || notice.kind == Notice::Kind::failed) add(std::move(notice));
  }

  void ask_quietly(Asked asked, const control::Head& head) {
    try {
      ask_for(std::move(asked), head);
    } catch (const Error&) {  // it is gone, and with it what it was to be told
    }
  }

  /// The proxy refused before it read the hello: too many clients, another user.
  void refuse_greeting(const control::Packet& packet) {
    Notice notice;
    notice.kind = Notice::Kind::failed;
    notice.request = greeting_;
    notice.error = static_cast<Errc>(packet.head.code);
    notice.text = packet.texts[0];
    add(std::move(notice));
  }

  bool take_greeting(const control::Packet& packet, control::Descriptors& descriptors,
                     Notice& notice) {
    void* const mapped = descriptors[0].valid() && descriptors[1].valid()
                             ? ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                                      descriptors[0].get(), 0)
                             : MAP_FAILED;
    if (mapped == MAP_FAILED || static_cast<ClientPage*>(mapped)->magic != kPageMagic) {
      if (mapped != MAP_FAILED) ::munmap(mapped, kPageBytes);
      notice.error = Errc::wrong_version;
      notice.text = "what answers at " + options_.path + " is not a feedproxy of this version";
      return false;
    }
    page_ = std::shared_ptr<ClientPage>(static_cast<ClientPage*>(mapped),
                                        [](ClientPage* page) { ::munmap(page, kPageBytes); });
    doorbell_ = std::move(descriptors[1]);
    server_pid_ = static_cast<int>(packet.head.values[0]);
    server_version_ = packet.texts[0];
    return true;
  }

  void take_opened(Feed& feed, const control::Packet& packet, control::Descriptors& descriptors,
                   Notice& notice) {
    notice.kind = Notice::Kind::opened;
    std::optional<FeedReader> reader;
    const std::shared_ptr<PageCursor> cursor(page_, &page_->cursors[feed.slot]);
    const rings::FeedLogFault fault =
        FeedReader::open(descriptors[0].get(), feed.id, cursor, options_.pre_fault, reader);
    if (fault) {
      notice.kind = Notice::Kind::failed;
      notice.error = Errc::system;
      notice.text = std::string("map the feed log: ") + fault.what + ": " + text_of(fault.os_error);
      drop(feed);
      return;
    }
    if (feed.options.last_values && descriptors[1].valid() && !feed.reader) {
      feed.last_values.emplace();
      if (!feed.last_values->load(descriptors[1].get())) feed.last_values.reset();
      if (feed.last_values) reader->came_by(feed.last_values->generation());
      reader->seek(packet.head.values[1] + 1);
    }
    feed.remote = packet.head.feed;
    feed.ended = false;
    cursor->feed.store(feed.remote, std::memory_order_relaxed);
    if (!feed.reader) {
      feed.reader = std::move(reader);
      return;
    }
    feed.successors.push_back({std::move(*reader), true});
    subscribe_again(feed);
  }
  void subscribe_again(Feed& feed) {
    try {
      for (const Subscription& wanted : feed.subscriptions) ask_subscribe(feed, wanted, true);
    } catch (const Error&) {  // it is gone again; so is this attempt
    }
  }

  /// Another process goes on with the feed, in a log of its own that begins where this one ends.
  void take_replaced(Feed& feed, const control::Packet& packet, control::Descriptors& descriptors,
                     Notice& notice) {
    std::optional<FeedReader> reader;
    const std::shared_ptr<PageCursor> cursor(page_, &page_->cursors[feed.slot]);
    const rings::FeedLogFault fault =
        FeedReader::open(descriptors[0].get(), feed.id, cursor, options_.pre_fault, reader, true);
    if (fault) {
      notice.kind = Notice::Kind::closed;
      notice.text = std::string("map the feed log of the new proxy: ") + fault.what + ": " +
                    text_of(fault.os_error);
      feed.ended = true;
      return add(std::move(notice));
    }
    reader->seek_first(packet.head.values[0] + 1);
    feed.successors.push_back({std::move(*reader), false});
  }

  void take_event(const control::Packet& packet, control::Descriptors& descriptors) {
    Notice notice;
    Feed* feed = nullptr;
    for (const auto& each : slots_)
      if (each != nullptr && each->remote == packet.head.feed && packet.head.feed != 0)
        feed = each.get();
    notice.feed = feed == nullptr ? 0 : feed->id;
    notice.text = packet.texts[0];
    switch (static_cast<control::Event>(packet.head.code)) {
      case control::Event::upstream_ready:
        notice.kind = Notice::Kind::upstream_ready;
        break;
      case control::Event::upstream_lost:
        notice.kind = Notice::Kind::upstream_lost;
        break;
      case control::Event::upstream_ended:
        notice.kind = Notice::Kind::closed;
        if (feed != nullptr) {
          feed->ended = true;
          feed->remote = 0;
        }
        break;
      case control::Event::log:
        notice.kind = Notice::Kind::log;
        notice.level = static_cast<LogLevel>(packet.head.values[0]);
        add(std::move(notice));
        return;
      case control::Event::replaced:
        if (feed != nullptr && feed->reader)
          return take_replaced(*feed, packet, descriptors, notice);
        if (packet.head.feed != 0) return;
        server_pid_ = static_cast<int>(packet.head.values[1]);
        server_version_ = packet.texts[0];
        notice.kind = Notice::Kind::proxy_replaced;
        add(std::move(notice));
        return options_.monitor ? watch_again() : void();
      default:
        return;  // stopping: the end follows; what a newer proxy says is not for this client
    }
    if (feed != nullptr) add(std::move(notice));
  }

  void lose_proxy(const std::string& why) {
    forget_proxy();
    for (const auto& [request, asked] : std::exchange(asked_, {})) {
      if (asked.quiet) continue;
      Notice notice;
      notice.kind = Notice::Kind::failed;
      notice.request = request;
      notice.feed = asked.feed;
      notice.error = Errc::proxy_lost;
      notice.text = "the proxy was lost before it answered";
      add(std::move(notice));
      if (Feed* const feed = find(asked.feed); feed != nullptr && asked.kind == control::Kind::open)
        drop(*feed);
    }
    for (const auto& feed : slots_) {
      if (feed == nullptr) continue;
      feed->remote = 0;
      if (!options_.reconnect) feed->ended = true;
    }
    Notice notice;
    notice.kind = Notice::Kind::proxy_lost;
    notice.text = why;
    add(std::move(notice));
    retry_at_ = detail::Clock::now();
  }
  void forget_proxy() noexcept {
    socket_.reset();
    doorbell_.reset();
    page_.reset();  // the readers hold it as long as they tell it their progress
  }

  /// A monitor is no user of its feeds: it was told of no logs that go on.
  void watch_again() {
    try {
      open_again();
    } catch (const Error&) {  // it is gone, and the end of the conversation says so
    }
  }
  /// throws Error: the proxy is gone again.
  void open_again() {
    for (const auto& feed : slots_)
      if (feed != nullptr && !feed->ended) ask_open(*feed, true);
  }

  /// Finds or starts the proxy again and opens again what was open. Failing is no news: it is tried again.
  void come_back() {
    retry_at_ = detail::Clock::now() + kRetryEvery;
    try {
      connect(std::min(deadline(), detail::Clock::now() + kComeBackMax));
      open_again();
    } catch (const Error&) {
      return;
    }
    Notice notice;
    notice.kind = Notice::Kind::proxy_back;
    add(std::move(notice));
  }

  template <class Handler>
  void tell(Handler& handler, const Notice& notice) {
    switch (notice.kind) {
      case Notice::Kind::opened:
        return handler.on_opened(notice.feed, notice.request, notice.flag);
      case Notice::Kind::done:
        return handler.on_done(notice.request, notice.feed, notice.flag);
      case Notice::Kind::failed:
        return handler.on_error(notice.request, notice.feed, notice.error, notice.text);
      case Notice::Kind::upstream_ready:
        return handler.on_upstream_ready(notice.feed);
      case Notice::Kind::upstream_lost:
        return handler.on_upstream_lost(notice.feed, notice.text);
      case Notice::Kind::closed:
        return handler.on_closed(notice.feed, notice.text);
      case Notice::Kind::proxy_lost:
        return handler.on_proxy_lost(notice.text);
      case Notice::Kind::proxy_back:
        return handler.on_proxy_back();
      case Notice::Kind::log:
        return handler.on_log(notice.level, notice.text);
      case Notice::Kind::proxy_replaced:
        return handler.on_proxy_replaced(notice.text);
    }
  }

  static std::string read_whole(int fd) {
    std::string text;
    char part[4096];
    for (ssize_t got = 0; fd >= 0 && (got = ::read(fd, part, sizeof part)) > 0;)
      text.append(part, static_cast<std::size_t>(got));
    return text;
  }

  // The feeds.

  [[nodiscard]] Feed* find(FeedId feed) const noexcept {
    for (const auto& each : slots_)
      if (each != nullptr && each->id == feed) return each.get();
    return nullptr;
  }
  Feed& find_or_throw(FeedId feed) const {
    Feed* const found = find(feed);
    if (found == nullptr)
      throw Error(Errc::no_such_feed, "feed " + std::to_string(feed) + " is not open");
    return *found;
  }
  [[nodiscard]] std::size_t free_slot() const {
    for (std::size_t slot = 0; slot < slots_.size(); ++slot)
      if (slots_[slot] == nullptr) return slot;
    throw Error(Errc::too_many,
                "a client may have " + std::to_string(slots_.size()) + " feeds open");
  }
  void drop(Feed& feed) noexcept {
    if (page_ != nullptr) page_->cursors[feed.slot].feed.store(0, std::memory_order_relaxed);
    current_ = nullptr;
    slots_[feed.slot].reset();
  }

  std::string name_;
  ClientOptions options_;
  control::Descriptor socket_;
  control::Descriptor doorbell_;
  control::Descriptor loop_;
  std::shared_ptr<ClientPage> page_;
  int server_pid_ = 0;
  std::string server_version_;
  std::array<std::unique_ptr<Feed>, control::kFeedsPerClientMax> slots_;
  Feed* current_ = nullptr;  // the one next() was asked for last
  FeedId next_feed_ = 1;
  RequestId last_request_ = 0;
  RequestId greeting_ = 0;
  std::map<RequestId, Asked> asked_;
  std::deque<Notice> notices_;
  std::uint64_t notices_made_ = 0;
  std::uint64_t notices_told_ = 0;  // by wait()
  std::string status_;
  std::vector<std::byte> inbox_;
  std::uint32_t idle_ = 0;
  bool look_now_ = false;
  detail::Clock::time_point retry_at_{};
};

}  // namespace feedproxy
