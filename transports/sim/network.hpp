#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "transports/clock.hpp"
#include "transports/sim/byte_queue.hpp"
#include "transports/sim/fifo.hpp"
#include "transports/sim/random.hpp"
#include "transports/transport.hpp"

/// A TCP-like network in memory with a clock of its own: what SimTransport and SimSocket are ends of.
///
/// Each link carries two streams. A stream has a send buffer, what is on its way, and a receive window; bytes arrive in
/// order, FIN and RST behind them. Links have different delays, so what happens on one is reordered against the others.
/// Time passes only in advance_to(). Everything is decided by the seed and by the calls made: the same ones give the
/// same bytes at the same instants.
/// thread: one, for the network and all that is attached to it.
namespace feedbench::transports::sim {

/// What is wrong with one link; the default is a perfect one. Times in nanoseconds of the network's clock.
struct Faults {
  std::int64_t delay_ns = 0;          ///< One way.
  std::int64_t jitter_ns = 0;         ///< Added to it, 0 .. this, drawn for each segment.
  std::int64_t bytes_per_second = 0;  ///< Of each direction; 0: no limit.
  std::size_t segment_bytes_max =
      0;  ///< What travels is cut into 1 .. this many bytes; 0: not cut.
  std::size_t write_bytes_max =
      0;  ///< A transport's send takes 1 .. this many at once; 0: what fits.
  std::int64_t cut_after_ns = -1;     ///< Then both ends get a reset. -1: never.
  std::int64_t silent_after_ns = -1;  ///< Then nothing arrives any more, in neither direction ...
  std::int64_t silent_for_ns = -1;  ///< ... for so long (it is not lost, only late); -1: for ever.
  std::size_t buffer_bytes =
      0;  ///< Send buffer and window of each direction; 0: what its ends ask for.
  bool unreachable = false;  ///< Nobody answers the connect.
};

/// One end of a link.
struct EndId {
  std::uint32_t link = UINT32_MAX;
  std::uint32_t generation = 0;
  std::uint8_t side = 0;  ///< 0: who connected.
  [[nodiscard]] bool valid() const noexcept { return link != UINT32_MAX; }
};

/// Who is told that something happened at its ends: to look at them later, for the calls come from within the network's.
class Port {
 public:
  /// Something came, or left: look at the end. slot: as given to connect() or attach().
  virtual void end_changed(std::uint32_t slot) = 0;
  /// Somebody connected to one of its listeners.
  virtual void connection_waits() = 0;

 protected:
  ~Port() = default;
};

/// What an end has come to.
enum class EndState : std::uint8_t {
  connecting,
  open,
  finished,  ///< The peer's FIN has come, and everything before it was read.
  refused,
  reset,      ///< And everything that came before was read.
  timed_out,  ///< The connect, or what was sent, was never answered.
};

class Network {
 public:
  static constexpr std::int64_t kBeginNs = 1'000'000'000;
  static constexpr std::size_t kBufferBytes =
      256 * 1024;  ///< Send buffer and window, if not told otherwise.
  static constexpr std::int64_t kConnectTimeoutNs = 20'000'000'000;
  static constexpr std::int64_t kSendTimeoutNs = 30'000'000'000;
  static constexpr std::int64_t kLingerNs =
      1'000'000'000;  ///< Who sends to a closed end after this gets a reset.

  explicit Network(std::uint64_t seed = 1) : random_(seed) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  [[nodiscard]] MonotonicInstant now() const noexcept { return {now_ns_}; }
  /// When something happens next; INT64_MAX: never.
  [[nodiscard]] MonotonicInstant next_event() const noexcept {
    return {events_.empty() ? INT64_MAX : events_.front().at_ns};
  }
  /// Moves the clock (never back), with all that happens until then and at that instant.
  void advance_to(MonotonicInstant to);
  /// What happens at this very instant.
  void deliver_due() {
    if (!events_.empty() && events_.front().at_ns <= now_ns_) advance_to(now());
  }

  /// The faults of each link that is made from now on. to: where it connects.
  void faults_of_links(std::function<Faults(const Endpoint& to)> choose) {
    choose_faults_ = std::move(choose);
  }
  // What the ends do. An EndId that is dead is a programming error, but for close() and the port's own.

  /// errors: no numeric address, an endpoint that is listened on already.
  Expected<Endpoint> listen(const std::string& what, const Endpoint& endpoint, Port* port,
                            const ConnOptions& options);
  /// Who waits there is reset.
  void stop_listening(const Endpoint& endpoint);
  /// The next that waits at `endpoint`; invalid: nobody.
  EndId accept(const Endpoint& endpoint);
  /// Who is told of this end from now on.
  void attach(EndId end, Port* port, std::uint32_t slot);

  /// errors: no numeric address. What becomes of it is told by state().
  Expected<EndId> connect(const std::string& what, const Endpoint& endpoint, Port* port,
                          std::uint32_t slot, const ConnOptions& options);
  [[nodiscard]] EndState state(EndId end) const;
  /// Nothing can be written any more, whatever there still is to read.
  [[nodiscard]] bool broken(EndId end) const { return of(end).from[end.side].over; }
  /// How many bytes of all `ranges` the send buffer took. foreign: of a plain socket, which has no partial sends.
  std::size_t write(EndId end, std::span<const ConstRange> ranges, bool foreign = false);
  /// Whether write() would take something.
  [[nodiscard]] bool writable(EndId end) const;
  /// How many bytes wait to be read.
  [[nodiscard]] std::size_t readable(EndId end) const;
  /// Takes what waits, at most to.size(); returns how much. nic: of the last segment, if the end asked for stamps.
  std::size_t read(EndId end, std::span<std::byte> to, TscInstant* nic = nullptr);
  /// What was read is acknowledged (an end with late_ack alone).
  void acknowledge(EndId end);
  [[nodiscard]] bool unacknowledged(EndId end) const;
  /// No more is written; what the other end says still comes.
  void finish_writing(EndId end);
  /// FIN behind what was written; what comes from now on is thrown away. The EndId is dead.
  void close(EndId end);
  /// RST instead, and what has not left is thrown away.
  void reset(EndId end);

  [[nodiscard]] std::size_t links() const noexcept { return live_links_; }
  /// Of all links, since the beginning.
  [[nodiscard]] std::uint64_t segments() const noexcept { return segments_; }
  /// A number that depends on everything that was delivered, and when.
  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  Random& random() noexcept { return random_; }

 private:
  enum class Cargo : std::uint8_t { data, fin, reset };
  struct Segment {
    std::int64_t at_ns;
    std::uint64_t end;  // position in the stream up to which it brings bytes
    TscInstant sent;
    Cargo cargo;
  };
  /// One direction of a link, from its writer to its reader.
  struct Stream {
    ByteQueue bytes;  // read .. accepted
    std::uint64_t accepted = 0;
    std::uint64_t departed = 0;
    std::uint64_t arrived = 0;
    std::uint64_t read = 0;
    std::uint64_t acknowledged = 0;
    Fifo<Segment> on_the_way;
    std::size_t send_buffer_bytes = kBufferBytes;
    std::size_t window_bytes = kBufferBytes;
    std::int64_t last_arrival_ns = 0;
    std::int64_t wire_free_ns = 0;
    TscInstant nic;
    bool finishing = false;  // a FIN goes behind the last byte
    bool fin_departed = false;
    bool over = false;  // nothing is written or carried any more
    bool give_up_due = false;
    bool arrival_due = false;  // an event stands for the first of on_the_way
  };
  struct End {
    Port* port = nullptr;
    std::uint32_t slot = 0;
    EndState state = EndState::connecting;  // without regard to what is still to be read
    bool nic_stamps = false;
    bool late_ack = false;
    bool wants_room = false;  // its last write was not taken whole
    bool closed = false;      // let go by its owner
    std::int64_t closed_at_ns = 0;
  };
  struct Link {
    std::uint32_t generation = 0;
    bool live = false;
    Faults faults;
    std::int64_t silent_from_ns = INT64_MAX;
    std::int64_t silent_until_ns = INT64_MAX;
    Endpoint to;
    End ends[2];
    Stream from[2];  // by the side that writes
  };
  struct Listener {
    Endpoint endpoint;
    Port* port;
    ConnOptions options;
    std::deque<EndId> waiting;
  };
  enum class What : std::uint8_t { arrival, syn, established, refused, give_up, cut };
  struct Event {
    std::int64_t at_ns;
    std::uint64_t order;  // of two at one instant the one that was made first
    std::uint32_t link;
    std::uint32_t generation;
    What what;
    std::uint8_t side;
    bool operator<(const Event& other) const noexcept {  // for a heap whose front is the earliest
      return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
    }
  };

  Link& of(EndId end) { return links_[end.link]; }
  [[nodiscard]] const Link& of(EndId end) const { return links_[end.link]; }
  void schedule(std::int64_t at_ns, std::uint32_t link, What what, std::uint8_t side);
  void happen(const Event& event);
  void arrive(std::uint32_t index, std::uint8_t writer);
  void take_syn(std::uint32_t index);
  void depart(std::uint32_t index, std::uint8_t writer);
  void expect_arrival(std::uint32_t index, std::uint8_t writer);
  void carry(std::uint32_t index, std::uint8_t writer, Segment segment, std::size_t bytes);
  void take_back_connect(std::uint32_t index);
  void send_reset(std::uint32_t index, std::uint8_t writer);
  void cut(std::uint32_t index);
  void give_up(std::uint32_t index, std::uint8_t side);
  void read_to(std::uint32_t index, std::uint8_t writer, std::uint64_t position);
  [[nodiscard]] bool silent_for_ever(const Link& link) const noexcept;
  void free_if_done(std::uint32_t index);
  static void tell(const End& end);
  std::uint32_t take_link();
  Listener* find_listener(const Endpoint& endpoint);
  void note(std::uint64_t a, std::uint64_t b) noexcept;

  Random random_;
  std::int64_t now_ns_ = kBeginNs;
  std::vector<Event> events_;  // a heap
  std::uint64_t order_ = 0;
  std::deque<Link> links_;
  std::vector<std::uint32_t> free_links_;
  std::size_t live_links_ = 0;
  std::deque<Listener> listeners_;
  std::uint16_t next_port_ = 40'000;
  std::function<Faults(const Endpoint&)> choose_faults_;
  std::uint64_t segments_ = 0;
  std::uint64_t trace_ = 0xCBF29CE484222325ull;
};

}  // namespace feedbench::transports::sim
