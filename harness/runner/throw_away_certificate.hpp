#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace feedbench::runner {

/// Writes a fresh self-signed certificate for localhost and these addresses, valid for a day, and its key: what the
/// exchange presents and the system under test trusts. errors: one sentence (OpenSSL, or the file).
transports::Expected<void> write_throw_away_certificate(
    const std::filesystem::path& certificate, const std::filesystem::path& key,
    const std::vector<std::string>& addresses = {"127.0.0.1"});

}  // namespace feedbench::runner
