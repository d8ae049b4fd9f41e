#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "reference/upstream/log_ingest.hpp"
#include "reference/upstream/upstream_link.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::upstream {

/// Names one feed of a proxy for as long as the proxy runs; never used twice. 0: none.
using FeedId = std::uint32_t;

/// What one feed (one upstream and its log) is made of before a transport carries it: made at set-up or by the control
/// thread, then owned by the data thread, then given back to be destroyed where nothing is kept waiting.
struct FeedParts {
  FeedParts(FeedId of, rings::FeedLogWriter writer, LinkOptions link_options)
      : id(of), log(std::move(writer)), link(std::move(link_options)) {}

  FeedId id;
  rings::FeedLogWriter log;
  LinkOptions link;
  IngestOptions ingest;
  std::optional<tls::TlsContext> tls;  ///< For wss:// URLs.
  std::optional<HandedLink> adopted;   ///< Begin with this instead of a new connection.
  bool watching = false;               ///< See UpstreamLink::watch_answers().
};

}  // namespace feedbench::upstream
