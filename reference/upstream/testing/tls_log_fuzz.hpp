#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// The way of a venue's bytes from the wire to the log, under attack: ciphertext that is altered, cut, repeated and
/// reordered goes in any pieces into a TlsSession, which decrypts into feed-log memory, where the WebSocket codec looks for
/// messages. Properties that hold whatever arrives, checked on one input. The same functions serve libFuzzer
/// (tls_log_fuzz_main.cpp) and a plain test over seeded inputs (tls_log_fuzz_test.cpp).
namespace feedbench::upstream::testing {

/// input: any bytes; the first says which session (OpenSSL's, from the handshake on or after it, or a connection that
/// another process opened), the rest what the server says and what becomes of it on its way.
/// returns an empty text, or the property that does not hold:
///  - what is delivered is a beginning of what the server said, however the wire was altered;
///  - of an unaltered wire everything that arrived whole is delivered;
///  - behind the first altered byte nothing is delivered (not where OpenSSL passes over what TLS says is to be ignored);
///  - what waits to be sent stays small; a failure is told in one printable line;
///  - published messages are what was delivered, byte for byte.
/// Cost: about 0.1 ms for a connection that was handed over, 1 ms with a handshake.
std::string fuzz_tls_to_log(std::span<const std::uint8_t> input);

/// An input that is not noise: mostly messages and deliveries, altered in a place or two.
std::vector<std::uint8_t> make_tls_log_input(std::uint64_t seed);

}  // namespace feedbench::upstream::testing
