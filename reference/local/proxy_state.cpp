#include "reference/local/proxy_state.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace feedbench::local {
namespace {

using nlohmann::json;

/// Raised by one for each change that a program of the version before would not understand.
constexpr int kFormat = 1;

/// CBOR knows bytes; JSON text would have to be UTF-8.
json bytes_of(const std::string& text) { return json::binary({text.begin(), text.end()}); }
std::string text_of(const json& bytes) {
  const auto& binary = bytes.get_binary();
  return {binary.begin(), binary.end()};
}

struct Writer {
  std::vector<int>& descriptors;

  int put(const rings::Descriptor& descriptor) {
    if (!descriptor.valid()) return -1;
    descriptors.push_back(descriptor.get());
    return static_cast<int>(descriptors.size()) - 1;
  }
  static json put(const OpenRequest& wanted) {
    return {{"url", bytes_of(wanted.url)},         {"credentials", bytes_of(wanted.credentials)},
            {"headers", bytes_of(wanted.headers)}, {"subprotocol", bytes_of(wanted.subprotocol)},
            {"venue", bytes_of(wanted.venue)},     {"flags", wanted.flags},
            {"timeout_ns", wanted.timeout_ns}};
  }
  static json put(const std::vector<ProxyState::PendingOpen>& opening) {
    json all = json::array();
    for (const ProxyState::PendingOpen& each : opening)
      all.push_back({{"user", each.user},
                     {"request", each.request},
                     {"is_new", each.is_new},
                     {"wanted", put(each.wanted)}});
    return all;
  }
  static json put(const upstream::SubscriptionRequest& text) {
    return json::array({bytes_of(text.symbol), bytes_of(text.kind), bytes_of(text.request),
                        bytes_of(text.release)});
  }
  static json put(const upstream::BookState& book) {
    json keys = json::array();
    for (const auto& key : book.keys)
      keys.push_back({{"text", put(key.text)}, {"held", key.held}, {"counts", key.counts}});
    json waiting = json::array();
    for (const auto& each : book.waiting)
      waiting.push_back({{"user", each.user},
                         {"request", each.request_id},
                         {"subscribes", each.subscribes},
                         {"text", put(each.text)}});
    return {{"keys", keys}, {"waiting", waiting}, {"next_id", book.next_id}};
  }
  static json put(const tls::TrafficKeys& keys) {
    return {{"secret", bytes_of(keys.secret)}, {"sequence", keys.sequence}};
  }
  static json put(const std::optional<tls::TlsTraffic>& traffic) {
    if (!traffic) return nullptr;
    return {{"suite", traffic->cipher_suite},
            {"in", put(traffic->in)},
            {"out", put(traffic->out)},
            {"unread", bytes_of(traffic->unread)},
            {"server", traffic->server_name}};
  }
  static json put(const ProxyState::Feed::Counters& counters) {
    return json::array({counters.frames, counters.bytes, counters.upstream_connects,
                        counters.upstream_losses, counters.upstream_failures});
  }
  json put(const ProxyState::Feed& feed) {
    return {{"id", feed.id},
            {"as", put(feed.as)},
            {"configured", feed.configured},
            {"pinned", feed.pinned},
            {"connects", feed.connects},
            {"counters", put(feed.counters)},
            {"credentials_digest", feed.credentials_digest},
            {"last_error", bytes_of(feed.last_error)},
            {"last_sequence", feed.last_sequence},
            {"watching", feed.watching},
            {"connection", put(feed.link.connection)},
            {"unfinished", bytes_of(feed.link.unfinished)},
            {"unsent", bytes_of(feed.link.unsent)},
            {"generation", feed.link.generation},
            {"where", feed.link.where},
            {"tls", put(feed.link.tls)},
            {"book", put(feed.book)},
            {"users", feed.users},
            {"opening", put(feed.opening)},
            {"last_values", put(feed.last_values)}};
  }
  json put(const ProxyState::Session& session) {
    return {{"id", session.id},
            {"name", session.name},
            {"pid", session.pid},
            {"uid", session.uid},
            {"monitor", session.monitor},
            {"log_level", session.log_level},
            {"socket", put(session.socket)},
            {"page", put(session.page)},
            {"doorbell", put(session.doorbell)}};
  }
};

struct Reader {
  std::vector<rings::Descriptor>& descriptors;

  rings::Descriptor take(const json& index) {
    const int at = index.get<int>();
    return at < 0 ? rings::Descriptor() : std::move(descriptors.at(static_cast<std::size_t>(at)));
  }
  static OpenRequest wanted(const json& from) {
    OpenRequest wanted;
    wanted.url = text_of(from.at("url"));
    wanted.credentials = text_of(from.at("credentials"));
    wanted.headers = text_of(from.at("headers"));
    wanted.subprotocol = text_of(from.at("subprotocol"));
    wanted.venue = text_of(from.at("venue"));
    wanted.flags = from.at("flags");
    wanted.timeout_ns = from.at("timeout_ns");
    return wanted;
  }
  static std::vector<ProxyState::PendingOpen> opening(const json& from) {
    std::vector<ProxyState::PendingOpen> all;
    for (const json& each : from)
      all.push_back(
          {each.at("user"), each.at("request"), each.at("is_new"), wanted(each.at("wanted"))});
    return all;
  }
  static upstream::SubscriptionRequest text(const json& from) {
    return {text_of(from.at(0)), text_of(from.at(1)), text_of(from.at(2)), text_of(from.at(3))};
  }
  static upstream::BookState book(const json& from) {
    upstream::BookState book;
    for (const json& key : from.at("keys"))
      book.keys.push_back({text(key.at("text")), key.at("held"),
                           key.at("counts").get<decltype(upstream::BookState::Key::counts)>()});
    for (const json& each : from.at("waiting"))
      book.waiting.push_back(
          {each.at("user"), each.at("request"), each.at("subscribes"), text(each.at("text"))});
    book.next_id = from.at("next_id");
    return book;
  }
  static tls::TrafficKeys keys(const json& from) {
    return {text_of(from.at("secret")), from.at("sequence")};
  }
  static std::optional<tls::TlsTraffic> traffic(const json& from) {
    if (from.is_null()) return std::nullopt;
    return tls::TlsTraffic{
        from.at("suite"), keys(from.at("in")), keys(from.at("out")), text_of(from.at("unread")), {},
        from.at("server")};
  }
  ProxyState::Feed feed(const json& from) {
    ProxyState::Feed feed;
    feed.id = from.at("id");
    feed.as = wanted(from.at("as"));
    feed.configured = from.at("configured");
    feed.pinned = from.at("pinned").get<std::vector<std::string>>();
    feed.connects = from.at("connects");
    feed.counters.upstream_connects = feed.connects;
    // Proxies of before do not tell these.
    if (from.contains("counters")) {
      const json& counters = from.at("counters");
      feed.counters = {counters.at(0), counters.at(1), counters.at(2), counters.at(3),
                       counters.at(4)};
    }
    feed.credentials_digest = from.value("credentials_digest", std::uint64_t{0});
    feed.last_error = text_of(from.at("last_error"));
    feed.last_sequence = from.at("last_sequence");
    feed.watching = from.at("watching");
    feed.link.connection = take(from.at("connection"));
    feed.link.unfinished = text_of(from.at("unfinished"));
    feed.link.unsent = text_of(from.at("unsent"));
    feed.link.generation = from.at("generation");
    feed.link.where = from.at("where");
    feed.link.tls = traffic(from.at("tls"));
    feed.book = book(from.at("book"));
    feed.users = from.at("users").get<decltype(ProxyState::Feed::users)>();
    feed.opening = opening(from.at("opening"));
    feed.last_values = take(from.at("last_values"));
    return feed;
  }
  ProxyState::Session session(const json& from) {
    ProxyState::Session session;
    session.id = from.at("id");
    session.name = from.at("name");
    session.pid = from.at("pid");
    session.uid = from.at("uid");
    session.monitor = from.at("monitor");
    session.log_level = from.at("log_level");
    session.socket = take(from.at("socket"));
    session.page = take(from.at("page"));
    session.doorbell = take(from.at("doorbell"));
    return session;
  }
};

}  // namespace

std::string encode(const ProxyState& state, std::vector<int>& descriptors) {
  Writer writer{descriptors};
  json all = {{"format", kFormat},
              {"version", state.version},
              {"next_user", state.next_user},
              {"next_feed", state.next_feed},
              {"opening", Writer::put(state.opening)},
              {"local_listener", writer.put(state.local_listener)},
              {"feeds", json::array()},
              {"sessions", json::array()},
              {"listeners", json::array()}};
  if (state.ca) all["ca"] = bytes_of(*state.ca);
  for (const ProxyState::Feed& feed : state.feeds) all["feeds"].push_back(writer.put(feed));
  for (const ProxyState::Session& session : state.sessions)
    all["sessions"].push_back(writer.put(session));
  for (const rings::Descriptor& listener : state.listeners)
    all["listeners"].push_back(writer.put(listener));
  const std::vector<std::uint8_t> bytes = json::to_cbor(all);
  return {bytes.begin(), bytes.end()};
}

transports::Expected<ProxyState> decode_state(const std::string& bytes,
                                              std::vector<rings::Descriptor> descriptors) {
  try {
    const json all = json::from_cbor(bytes);
    if (all.at("format") != kFormat)
      return tl::make_unexpected(transports::Error{fmt::format(
          "the running proxy (version {}) hands over in another form than this one understands: "
          "stop it and start this one",
          all.at("version").get<std::string>())});
    Reader reader{descriptors};
    ProxyState state;
    state.version = all.at("version");
    if (all.contains("ca")) state.ca = text_of(all.at("ca"));
    state.next_user = all.at("next_user");
    state.next_feed = all.at("next_feed");
    state.opening = Reader::opening(all.at("opening"));
    state.local_listener = reader.take(all.at("local_listener"));
    for (const json& feed : all.at("feeds")) state.feeds.push_back(reader.feed(feed));
    for (const json& session : all.at("sessions"))
      state.sessions.push_back(reader.session(session));
    for (const json& listener : all.at("listeners"))
      state.listeners.push_back(reader.take(listener));
    return state;
  } catch (const std::exception& fault) {
    return tl::make_unexpected(transports::Error{
        std::string("what the running proxy hands over is damaged: ") + fault.what()});
  }
}

}  // namespace feedbench::local
