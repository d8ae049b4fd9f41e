#pragma once

#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "transports/testing/peer_layer.hpp"
#include "transports/tls/testing/test_certificates.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls::testing {

/// Contexts of one throw-away authority, made once.
struct SharedContexts {
  TestCertificates certificates{{.ip_addresses = {"127.0.0.1", "::1"}}};
  TlsContext server =
      *TlsContext::server({certificates.certificate_file(), certificates.key_file()});
  TlsContext client =
      *TlsContext::client({.server_name = "localhost", .ca_file = certificates.ca_file()});
  static const SharedContexts& get() {
    static const SharedContexts contexts;
    return contexts;
  }
};

/// TLS as a RawSocket speaks it.
class TlsPeerLayer : public transports::testing::PeerLayer {
 public:
  /// throws std::bad_alloc: no memory for a session.
  explicit TlsPeerLayer(const TlsContext& context) : session_(new_session(context)) {
    session_.start();
  }
  static std::unique_ptr<PeerLayer> make(bool is_client) {
    const SharedContexts& contexts = SharedContexts::get();
    return std::make_unique<TlsPeerLayer>(is_client ? contexts.client : contexts.server);
  }

  [[nodiscard]] bool established() const override { return session_.established(); }
  void feed(std::span<const std::byte> received) override {
    cipher_.assign(received.begin(), received.end());
    session_.feed(cipher_);
  }
  ssize_t read(std::span<std::byte> space) override {
    if (!session_.established()) return -1;
    const TlsRead read = session_.read(space);
    if (read.bytes != 0) return static_cast<ssize_t>(read.bytes);
    return read.status == TlsStatus::closed ? 0 : -1;
  }
  void write(std::span<const std::byte> bytes) override {
    if (session_.write(bytes).bytes != bytes.size())
      throw std::length_error("TLS peer: too much at once");
  }
  void finish() override { session_.close(); }
  [[nodiscard]] std::span<const std::byte> output() override { return session_.output(); }
  void consume_output(std::size_t bytes) override { session_.consume_output(bytes); }

 private:
  static TlsSession new_session(const TlsContext& context) {
    auto session = context.new_session();
    if (!session) throw std::bad_alloc();
    return std::move(*session);
  }

  TlsSession session_;
  std::vector<std::byte> cipher_;
};

}  // namespace feedbench::tls::testing
