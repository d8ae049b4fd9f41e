#include "reference/upstream/testing/tls_log_fuzz.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "reference/upstream/log_ingest.hpp"
#include "reference/websocket/build_frame.hpp"
#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::upstream::testing {
namespace {

using tls::TlsRead;
using tls::TlsSession;
using tls::TlsStatus;
using Bytes = std::vector<std::byte>;

constexpr int kStepsMax = 200;
constexpr std::size_t kSaidBytesMax = 24 * 1024;  // less than half the log
constexpr std::size_t kOutputBytesMax = 64 * 1024;

/// The input, eaten from the front; zeros behind its end.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_[0];
    left_ = left_.subspan(1);
    return first;
  }
  /// [0, limit); limit >= 1.
  std::size_t below(std::size_t limit) {
    const std::size_t high = byte();
    return (high << 8 | byte()) % limit;
  }
  Bytes some(std::size_t count) {
    Bytes made(std::min(count, left_.size()));
    for (std::byte& each : made) each = std::byte{byte()};
    return made;
  }

 private:
  std::span<const std::uint8_t> left_;
};

/// A connection as another process left it: both ends of it, without a handshake.
std::pair<TlsSession, TlsSession> handed_over(std::uint8_t suite) {
  tls::TlsTraffic traffic;
  traffic.cipher_suite = static_cast<std::uint16_t>(0x1301 + suite % 3);
  const std::size_t secret_bytes = traffic.cipher_suite == 0x1302 ? 48 : 32;
  traffic.in.secret = std::string(secret_bytes, 'i');
  traffic.out.secret = std::string(secret_bytes, 'o');
  traffic.server_name = "fuzz.example";
  tls::TlsTraffic other = traffic;
  std::swap(other.in, other.out);
  return {std::move(*TlsSession::resume(traffic)), std::move(*TlsSession::resume(other))};
}

std::pair<TlsSession, TlsSession> new_pair() {
  const auto& contexts = tls::testing::SharedContexts::get();
  return {std::move(*contexts.client.new_session()), std::move(*contexts.server.new_session())};
}

rings::FeedLogWriter& shared_log() {
  static rings::FeedLogWriter log =
      *rings::FeedLogWriter::create({.ring_bytes = 1 << 16, .index_lines = 1024});
  return log;
}

struct Sink {
  void on_control(websocket::Opcode, std::span<const std::byte>) {}
  bool keep(websocket::Opcode, std::span<const std::byte>) { return false; }
};

/// One connection and what is known of it.
class Run {
 public:
  Run(std::pair<TlsSession, TlsSession> ends, bool strict)
      : client_(std::move(ends.first)),
        server_(std::move(ends.second)),
        strict_(strict),
        ingest_(shared_log(), {.message_max_bytes = 8192}) {
    ingest_.reset();
    log_begin_ = shared_log().committed_offset();
    client_.start();
    answer();
  }

  /// One step that the input says. Once a property is broken, steps do nothing.
  void step(Input& in);
  /// Everything arrives, then the stream ends.
  std::string finish() {
    deliver(SIZE_MAX);
    const TlsStatus status = client_.end_of_input();
    if (status != TlsStatus::closed && status != TlsStatus::failed) broken("an end that is no end");
    if (status == TlsStatus::failed) check_error();
    if (frames_only_) check_log();
    return broken_;
  }

 private:
  void broken(std::string_view what) {
    if (broken_.empty()) broken_ = what;
  }

  // The server's side.
  void say(const Bytes& plain) {
    if (plain.empty() || said_.size() + plain.size() > kSaidBytesMax) return;
    const tls::TlsWrite written = server_.write(plain);  // one record: it is less than 16 KiB
    said_.insert(said_.end(), plain.begin(),
                 plain.begin() + static_cast<std::ptrdiff_t>(written.bytes));
    put_on_the_wire();
  }
  void say_frame(std::size_t payload_bytes) {
    const std::string payload(payload_bytes, static_cast<char>('a' + said_.size() % 26));
    Bytes frame(websocket::kHeaderBytesMax + payload.size());
    frame.resize(websocket::build_server_frame(frame, websocket::Opcode::text,
                                               websocket::as_bytes(payload)));
    say(frame);
  }
  void put_on_the_wire() {
    for (auto output = server_.output(); !output.empty(); output = server_.output()) {
      original_.insert(original_.end(), output.begin(), output.end());
      wire_.insert(wire_.end(), output.begin(), output.end());
      server_.consume_output(output.size());
    }
    marks_.push_back({original_.size(), said_.size()});
  }

  /// What the client has to say reaches the server as it is.
  void answer() {
    if (client_.output().size() > kOutputBytesMax) broken("what waits to be sent has no bound");
    while (!client_.output().empty() && !server_gone_) {
      const auto output = client_.output();
      const Bytes fed(output.begin(), output.end());
      client_.consume_output(fed.size());
      Bytes space(4096);
      if (server_.feed(fed) == TlsStatus::failed) server_gone_ = true;
      for (TlsRead got{0, TlsStatus::ok}; got.status == TlsStatus::ok;) {
        got = server_.read(space);
        heard_.insert(heard_.end(), space.begin(),
                      space.begin() + static_cast<std::ptrdiff_t>(got.bytes));
        if (got.status == TlsStatus::failed || got.status == TlsStatus::closed) server_gone_ = true;
      }
      put_on_the_wire();
    }
    if (heard_.size() > asked_.size() || !std::equal(heard_.begin(), heard_.end(), asked_.begin()))
      broken("the server hears what was not said");
  }

  // The wire.
  void deliver(std::size_t bytes) {
    for (bool first = true; first || (bytes == SIZE_MAX && !wire_.empty()); first = false) {
      const std::size_t part = std::min(bytes, wire_.size());
      // A block of its own: reading past what was fed is seen by AddressSanitizer.
      const Bytes fed(wire_.begin(), wire_.begin() + static_cast<std::ptrdiff_t>(part));
      wire_.erase(wire_.begin(), wire_.begin() + static_cast<std::ptrdiff_t>(part));
      for (const std::byte each : fed) {
        if (intact_ == fed_ && intact_ < original_.size() && original_[intact_] == each) ++intact_;
        ++fed_;
      }
      if (client_.feed(fed) != TlsStatus::failed) read_all();
      check_delivered();
      answer();
    }
  }
  void read_all() {
    TlsRead got{0, TlsStatus::ok};
    while (got.status == TlsStatus::ok) {
      std::span<std::byte> space = ingest_.space();
      if (fault_ || space.empty()) space = scratch_;
      if (space_bytes_max_ != 0) space = space.first(std::min(space.size(), space_bytes_max_));
      got = client_.read(space);
      if (got.bytes > space.size() || (got.status == TlsStatus::ok && got.bytes != space.size()))
        return broken("a read that contradicts itself");
      received_.insert(received_.end(), space.begin(),
                       space.begin() + static_cast<std::ptrdiff_t>(got.bytes));
      if (got.bytes == 0 || space.data() == scratch_.data()) continue;
      fault_ = ingest_.received(got.bytes, {}, sink_).fault != websocket::Fault::none;
    }
  }

  void check_delivered() {
    if (received_.size() > said_.size() ||
        !std::equal(received_.begin(), received_.end(), said_.begin()))
      return broken("what is delivered is not what was said");
    std::size_t whole = 0;
    for (const Mark& mark : marks_)
      if (mark.wire_bytes <= intact_) whole = mark.said_bytes;
    if (strict_ && received_.size() > whole)
      broken("something behind an altered byte is delivered");
    if (fed_ != intact_) return;
    if (!client_.error().empty()) return broken("an unaltered wire failed: " + client_.error());
    if (client_.established() && received_.size() < whole)
      broken("something that arrived whole is not delivered");
  }
  void check_error() {
    const std::string& why = client_.error();
    if (why.empty() || why.size() > 400 ||
        !std::all_of(why.begin(), why.end(), [](char c) { return c >= ' ' && c <= '~'; }))
      broken("a failure that is not told in one line: '" + why + "'");
  }
  void check_log() {
    rings::FeedLogWriter& log = shared_log();
    const std::uint64_t published = log.committed_offset() - log_begin_;
    if (fault_) return broken("a fault in frames that are good");
    if (published > received_.size() ||
        !std::equal(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(published),
                    log.data(log_begin_)))
      return broken("what is published is not what was delivered");
    const std::span<const std::byte> rest = std::span(received_).subspan(published);
    if (websocket::FrameScanner().scan(rest).status == websocket::ScanStatus::frame)
      broken("a message that is whole is not published");
  }

  /// The client goes on in another process.
  void move() {
    answer();
    if (!client_.can_give_away()) return;
    auto next = TlsSession::resume(client_.give_away());
    if (!next) return broken("what was given away is not taken: " + next.error().message);
    client_ = std::move(*next);
    read_all();
    check_delivered();
  }
  void client_says(std::size_t bytes) {
    const Bytes plain(bytes, std::byte{0x55});
    const tls::TlsWrite written = client_.write(plain);
    asked_.insert(asked_.end(), plain.begin(),
                  plain.begin() + static_cast<std::ptrdiff_t>(written.bytes));
    answer();
  }

  struct Mark {
    std::size_t wire_bytes;  // of the unaltered wire: once these have come,
    std::size_t said_bytes;  // this much can be delivered
  };

  TlsSession client_;
  TlsSession server_;
  bool strict_;
  LogIngest ingest_;
  Sink sink_;
  Bytes scratch_ = Bytes(4096);
  std::uint64_t log_begin_ = 0;
  Bytes said_;      // by the server
  Bytes received_;  // of it, by the client
  Bytes asked_;     // by the client
  Bytes heard_;     // of it, by the server
  Bytes original_;  // all ciphertext of the server
  Bytes wire_;      // what of it, altered, has not arrived yet
  std::vector<Mark> marks_;
  std::size_t fed_ = 0;
  std::size_t intact_ = 0;  // bytes fed before the first that is not the server's
  std::size_t space_bytes_max_ = 0;
  bool frames_only_ = true;
  bool fault_ = false;
  bool server_gone_ = false;
  std::string broken_;
};

void Run::step(Input& in) {
  const auto at = [&] {
    return wire_.begin() + static_cast<std::ptrdiff_t>(in.below(wire_.size()));
  };
  const auto range = [&] {
    const auto from = at();
    const auto bytes = std::min<std::ptrdiff_t>(wire_.end() - from, 1 + in.byte() * 3);
    return std::pair(from, from + bytes);
  };
  switch (const std::uint8_t what = in.byte(); what % 20) {
    default:
      return say_frame(std::size_t{in.byte()} * (what < 20 ? 12 : 1));
    case 4: {
      const Bytes noise = in.some(in.byte());
      frames_only_ = frames_only_ && noise.empty();
      return say(noise);
    }
    case 5:
    case 6:
    case 7:
      return deliver(1 + in.byte() * (what < 20 ? std::size_t{16} : 1));
    case 8:
      return deliver(SIZE_MAX);
    case 9:
      if (!wire_.empty()) *at() ^= std::byte{static_cast<unsigned char>(in.byte() | 1)};
      return;
    case 10: {
      const auto where = wire_.empty() ? wire_.begin() : at();
      const Bytes noise = in.some(1 + in.byte() % 32);
      wire_.insert(where, noise.begin(), noise.end());
      return;
    }
    case 11:
      if (const auto [from, to] = wire_.empty() ? std::pair(wire_.begin(), wire_.end()) : range();
          from != to)
        wire_.erase(from, to);
      return;
    case 12:
    case 13: {  // again, elsewhere
      if (wire_.empty() || wire_.size() > 2 * kSaidBytesMax) return;
      const auto [from, to] = range();
      const Bytes again(from, to);
      wire_.insert(at(), again.begin(), again.end());
      return;
    }
    case 14:
      static_cast<void>((what < 128 ? server_ : client_).update_keys());
      put_on_the_wire();
      return answer();
    case 15:
      return client_says(1 + in.byte());
    case 16:
      return move();
    case 17:
      space_bytes_max_ = in.byte();
      return;
    case 18:
      if (what < 40) server_.close();
      return put_on_the_wire();
  }
}

}  // namespace

std::string fuzz_tls_to_log(std::span<const std::uint8_t> input) {
  Input in(input);
  const std::uint8_t how = in.byte();
  const bool shake_hands = how % 8 == 7;
  Run run(shake_hands ? new_pair() : handed_over(how / 8), !shake_hands);
  const bool established_first = how < 128;
  if (shake_hands && established_first) {
    std::uint8_t everything[] = {8};
    for (int i = 0; i < 3; ++i) {
      Input all(everything);
      run.step(all);
    }
  }
  for (int steps = 0; steps < kStepsMax && !in.empty(); ++steps) run.step(in);
  return run.finish();
}

std::vector<std::uint8_t> make_tls_log_input(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto byte = [&random] { return static_cast<std::uint8_t>(random()); };
  std::vector<std::uint8_t> input{byte()};
  const auto alterations = random() % 3;  // in one input of three the wire is left alone
  const auto steps = 4 + random() % 40;
  for (std::uint64_t i = 0; i < steps; ++i) {
    constexpr std::uint8_t kHarmless[] = {0, 1, 2, 3, 5, 6, 7, 8, 14, 15, 16, 17};
    std::uint8_t what = kHarmless[random() % std::size(kHarmless)];
    if (random() % 8 == 0) what = 4;
    if (alterations != 0 && random() % (steps / alterations + 1) == 0)
      what = static_cast<std::uint8_t>(9 + random() % 5);
    if (random() % 40 == 0) what = 18;
    input.push_back(static_cast<std::uint8_t>(what + 20 * (random() % 12)));
    for (auto more = random() % 6; more > 0; --more) input.push_back(byte());
  }
  return input;
}

}  // namespace feedbench::upstream::testing
