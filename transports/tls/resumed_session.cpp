// A session that goes on with a connection of another process (TlsSession::resume()): over RecordLayer, with every provider.
#include <utility>

#include "transports/tls/record_layer.hpp"
#include "transports/tls/session_state.hpp"

namespace feedbench::tls {
namespace {

class ResumedSession final : public SessionState {
 public:
  explicit ResumedSession(std::unique_ptr<RecordLayer> records) : records_(std::move(records)) {
    is_client = established = true;
  }

  TlsStatus handshake() noexcept override { return TlsStatus::ok; }
  TlsRead read(std::span<std::byte> into) noexcept override {
    RecordLayer::Input left{input, input_bytes};
    const TlsRead got = records_->read(left, into);
    input = left.data;
    input_bytes = left.bytes;
    if (got.status == TlsStatus::closed) return heard_the_end(got.bytes);
    if (got.status == TlsStatus::failed) return {got.bytes, fail(records_->fault())};
    return got;
  }
  TlsStatus write(std::span<const std::byte> plain) noexcept override {
    return checked(records_->write(plain, waiting));
  }
  TlsStatus say_close() noexcept override { return checked(records_->write_close_notify(waiting)); }
  TlsStatus update_keys() noexcept override {
    return checked(records_->update_keys(true, waiting));
  }
  void before_output() noexcept override { checked(records_->answer(waiting)); }
  [[nodiscard]] std::string protocol() const override {
    return std::string("TLSv1.3 ") + records_->suite_name();
  }
  [[nodiscard]] bool can_give_away() const noexcept override { return records_->can_move(); }
  [[nodiscard]] TlsTraffic give_away() override { return records_->traffic({input, input_bytes}); }

 private:
  TlsStatus checked(bool good) noexcept { return good ? TlsStatus::ok : fail(records_->fault()); }

  std::unique_ptr<RecordLayer> records_;
};

}  // namespace

transports::Expected<TlsSession> TlsSession::resume(const TlsTraffic& traffic) {
  auto records = RecordLayer::create(traffic);
  if (!records) return tl::make_unexpected(records.error());
  auto state = std::make_unique<ResumedSession>(std::move(*records));
  state->server_name = traffic.server_name;
  return TlsSession(std::move(state));
}

}  // namespace feedbench::tls
