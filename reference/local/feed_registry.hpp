#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "reference/client/protocol.hpp"
#include "reference/local/feed_port.hpp"
#include "reference/local/log_supply.hpp"
#include "reference/upstream/subscription_book.hpp"
#include "reference/venues/credentials.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::local {

/// One local client, for as long as it is connected; never used twice.
using UserId = std::uint64_t;

/// Who tells the clients what the registry decides. It does not call the registry from within.
class Audience {
 public:
  virtual ~Audience() = default;
  /// One packet to one client. descriptors: lent for the call.
  virtual void tell(UserId user, const feedproxy::control::Head& head,
                    const std::vector<std::string>& texts, const std::vector<int>& descriptors) = 0;
};

struct RegistryOptions {
  /// What every upstream has in common: time limits, back-off. Its url and login are replaced for each.
  upstream::LinkOptions link;
  upstream::IngestOptions ingest;
  std::shared_ptr<LogSupply> logs = std::make_shared<LogSupply>();
  tls::TlsClientOptions tls;            ///< Of wss:// upstreams; each has a name of its own.
  std::uint32_t feeds_max = 32;         ///< Upstreams at a time; one more open is refused.
  std::uint32_t requests_max = 4096;    ///< Unanswered requests of one client; one more is refused.
  std::vector<std::string> allow_open;  ///< URL prefixes that may be opened.
  bool may_open_any = true;             ///< If there are none; false: then nothing may be.
  std::string local_socket;             ///< To be named in what is said of a fault.
  /// The credentials that a name stands for; empty ones: there are none of that name.
  std::function<venues::Credentials(const std::string& name)> credentials;
};

/// What a client asks to open, as it stands in its request.
struct OpenRequest {
  FeedId feed = 0;          ///< Not 0: this one, which is open already.
  std::string url;          ///< Empty (and feed 0): the upstream of the proxy's own configuration.
  std::string credentials;  ///< A name, never a secret.
  std::string headers;      ///< "Name: value" lines.
  std::string subprotocol;
  std::string venue;  ///< raw, binance, alpaca; empty: what the host's name says, else raw.
  std::uint64_t flags = 0;
  bool watch = false;  ///< Of a monitor: it gets to read what is open, and is no user of it.
  std::int64_t timeout_ns = 10'000'000'000;
};

struct ProxyState;

/// Which upstreams are open, for whom, and what each has subscribed to: one upstream for each URL + credentials +
/// headers + subprotocol + venue (as they are meant, not as they are written), gone with its last user. Decides; the data thread (through FeedPort) does.
/// thread: the control thread. No I/O but making logs and reading CA files.
class FeedRegistry {
 public:
  FeedRegistry(RegistryOptions options, FeedPort& port, Audience& audience);
  ~FeedRegistry();

  /// The upstream of the proxy's own configuration, which the data thread runs already: opened by an empty URL or by its
  /// own, and never closed. parts: outlives the registry.
  void adopt(const upstream::FeedParts& parts, const OpenRequest& as);

  void open(UserId user, std::uint32_t request, const OpenRequest& wanted,
            const std::shared_ptr<ClientBell>& bell, transports::MonotonicInstant now);
  void close(UserId user, std::uint32_t request, FeedId feed, transports::MonotonicInstant now);
  void send(UserId user, std::uint32_t request, FeedId feed, websocket::Opcode opcode,
            std::string_view bytes);
  void subscribe(UserId user, std::uint32_t request, FeedId feed,
                 upstream::SubscriptionRequest wanted, transports::MonotonicInstant now);
  void unsubscribe(UserId user, std::uint32_t request, FeedId feed, std::string_view symbol,
                   std::string_view kind, transports::MonotonicInstant now);
  /// The client is gone, however it went: everything it held is let go of.
  void user_gone(UserId user, transports::MonotonicInstant now);

  void on_event(FeedEvent event, transports::MonotonicInstant now);

  // For another process that takes over. The page and doorbell of a user that is connected.
  using BellOf = std::function<std::shared_ptr<ClientBell>(UserId)>;
  /// Into state: all feeds that were handed over, whose connections it takes, and what waits for an answer.
  void save(HandedFeeds& handed, transports::MonotonicInstant now, ProxyState& state);
  /// Nobody took over: what has no connection any more is lost, and comes again.
  void take_back(const HandedFeeds& handed, transports::MonotonicInstant now);
  /// Makes the feeds of state anew, takes their connections, and changes nothing outside this process. After adopt().
  /// errors: a feed that this configuration cannot have.
  transports::Expected<void> restore(ProxyState& state, const BellOf& bell_of,
                                     transports::MonotonicInstant now);
  /// After restore(): tells the users, and makes the requests again that were not answered.
  void go_on(const ProxyState& state, const BellOf& bell_of, transports::MonotonicInstant now);

  void on_time(transports::MonotonicInstant now);
  /// When on_time() is due; far away if nothing is.
  [[nodiscard]] transports::MonotonicInstant next_deadline() const;

  /// For monitors: every feed, without secrets. feeds_of: the feeds a user has open.
  [[nodiscard]] nlohmann::json status() const;
  [[nodiscard]] std::vector<FeedId> feeds_of(UserId user) const;
  [[nodiscard]] std::size_t size() const noexcept { return feeds_.size(); }
  /// A feed was live once, here or where this one goes on.
  [[nodiscard]] bool was_of_use() const noexcept { return was_of_use_; }

 private:
  struct Feed;
  struct Opening;

  Feed* find(FeedId feed, UserId user);
  Feed* find_or_fail(FeedId feed, UserId user, std::uint32_t request);
  transports::Expected<std::unique_ptr<upstream::FeedParts>> make_parts(const OpenRequest& wanted,
                                                                        FeedId id);
  Feed& add(std::unique_ptr<upstream::FeedParts> parts, const OpenRequest& as,
            const std::string& key);
  static std::string key_of(const OpenRequest& wanted);
  static std::string shown_url(const std::string& url);
  [[nodiscard]] std::string why_not_allowed(const OpenRequest& wanted) const;
  [[nodiscard]] std::string missing_credentials(const std::string& name,
                                                const venues::Credentials& found) const;
  Feed* create(UserId user, std::uint32_t request, const OpenRequest& wanted,
               const std::string& key);
  void join(Feed& feed, UserId user, std::uint32_t request, const OpenRequest& wanted,
            const std::shared_ptr<ClientBell>& bell, bool is_new, transports::MonotonicInstant now);
  void warn_of_what_is_not_tried(const Feed& feed, const ProxyState& state,
                                 std::uint64_t credentials_digest) const;
  void answer_openings(Feed& feed, transports::MonotonicInstant now);
  /// false: it could not be told, but that it failed.
  bool tell_opened(Feed& feed, UserId user, std::uint32_t request, bool is_new,
                   std::uint64_t flags);
  void fail_openings(Feed& feed, feedproxy::Errc code, const std::string& why,
                     transports::MonotonicInstant now);
  void drop_user(Feed& feed, UserId user, bool all, transports::MonotonicInstant now);
  void begin_removal(Feed& feed);
  void finish_removal(FeedEvent& event, transports::MonotonicInstant now);
  void pump(Feed& feed);
  void tell_users(const Feed& feed, feedproxy::control::Event event, std::uint64_t value,
                  const std::string& text);
  void done(UserId user, std::uint32_t request, const std::array<std::uint64_t, 3>& values = {});
  void fail(UserId user, std::uint32_t request, feedproxy::Errc code, const std::string& why);
  void post(FeedCommand::Kind kind, FeedId feed, const std::shared_ptr<ClientBell>& bell = {});

  RegistryOptions options_;
  FeedPort& port_;
  Audience& audience_;
  std::map<FeedId, std::unique_ptr<Feed>> feeds_;
  std::map<std::string, FeedId, std::less<>> by_key_;
  std::map<UserId, std::uint32_t> unanswered_;  // requests of each user that wait for an upstream
  struct Sending {
    UserId user;
    std::uint32_t request;
  };
  std::map<std::uint64_t, Sending> sending_;  // by tag
  std::uint64_t next_tag_ = 1;
  FeedId next_feed_ = 2;  // 1 is the configuration's
  bool was_of_use_ = false;
  bool restoring_ = false;
  const transports::MonotonicInstant since_ = transports::MonotonicInstant::now();
};

}  // namespace feedbench::local
