#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "transports/tls/testing/test_certificates.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls::testing {

/// Moves all output of `from` into `to`, in pieces of at most `chop` bytes, and appends what `to`
/// decrypts to `plain`. Returns the last status of `to` (want_input when nothing is wrong).
inline TlsStatus carry(TlsSession& from, TlsSession& to, std::size_t chop,
                       std::vector<std::byte>& plain) {
  TlsStatus status = TlsStatus::want_input;
  std::vector<std::byte> space(64 * 1024);
  for (auto output = from.output(); !output.empty(); output = from.output()) {
    const std::size_t piece = std::min(chop, output.size());
    // A copy in a block of its own: reading past what was fed is seen by AddressSanitizer.
    const std::vector<std::byte> fed(output.begin(),
                                     output.begin() + static_cast<std::ptrdiff_t>(piece));
    from.consume_output(piece);
    status = to.feed(fed);
    if (status == TlsStatus::failed) return status;
    if (!to.established()) continue;
    TlsRead got;
    do {
      got = to.read(space);
      plain.insert(plain.end(), space.begin(),
                   space.begin() + static_cast<std::ptrdiff_t>(got.bytes));
    } while (got.status == TlsStatus::ok);
    status = got.status;
    if (status == TlsStatus::failed) return status;
  }
  return status;
}

/// A client and a server session joined in memory.
struct SessionPair {
  TlsSession client;
  TlsSession server;
  std::size_t chop = SIZE_MAX;
  std::vector<std::byte> client_plain{};  ///< What the client has received.
  std::vector<std::byte> server_plain{};

  /// Carries bytes both ways until neither side has more to say. False if one of them failed.
  bool settle() {
    bool good = true;
    while (good && (!client.output().empty() || !server.output().empty())) {
      good = carry(client, server, chop, server_plain) != TlsStatus::failed;
      good = carry(server, client, chop, client_plain) != TlsStatus::failed && good;
    }
    return good;
  }
  /// The whole handshake.
  bool shake_hands() {
    return client.start() != TlsStatus::failed && settle() && client.established() &&
           server.established();
  }
};

/// throws std::runtime_error if a session cannot be made.
inline SessionPair make_pair(const TlsClientOptions& client, const TlsServerOptions& server) {
  auto client_context = TlsContext::client(client);
  if (!client_context) throw std::runtime_error(client_context.error().message);
  auto server_context = TlsContext::server(server);
  if (!server_context) throw std::runtime_error(server_context.error().message);
  auto client_session = client_context->new_session();
  if (!client_session) throw std::runtime_error(client_session.error().message);
  auto server_session = server_context->new_session();
  if (!server_session) throw std::runtime_error(server_session.error().message);
  return {std::move(*client_session), std::move(*server_session)};
}

/// Bytes whose every position tells where it is from.
inline std::vector<std::byte> pattern(std::size_t bytes, unsigned seed = 1) {
  std::vector<std::byte> made(bytes);
  std::uint64_t state = seed;
  for (std::byte& one : made) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    one = static_cast<std::byte>(state >> 56);
  }
  return made;
}

}  // namespace feedbench::tls::testing
