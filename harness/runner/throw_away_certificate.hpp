#pragma once

#include <filesystem>

#include "transports/transport.hpp"

namespace feedbench::runner {

/// Writes a fresh self-signed certificate for 127.0.0.1 and localhost, valid for a day, and its key: what the exchange
/// presents and the system under test trusts. errors: one sentence (OpenSSL, or the file).
transports::Expected<void> write_throw_away_certificate(const std::filesystem::path& certificate,
                                                        const std::filesystem::path& key);

}  // namespace feedbench::runner
