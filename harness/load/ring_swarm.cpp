#include "harness/load/ring_swarm.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "transports/rings/descriptor.hpp"

namespace feedbench::load {
namespace {

using transports::Error;

transports::Expected<rings::Descriptor> opened(const std::string& file, int flags) {
  rings::Descriptor out(::open(file.c_str(), flags | O_CLOEXEC));
  if (out.valid()) return out;
  const int os_error = errno;
  return tl::unexpected(
      Error{fmt::format("open the ring {}: {}", file, std::strerror(os_error)), os_error});
}

}  // namespace

transports::Expected<RingSwarm::Consumer> RingSwarm::attach(const std::string& ring,
                                                            const std::string& file) {
  if (ring == "hft_shm") {
    auto reader = rings::HftShmReader::open(file);
    rings::remove_hft_shm(file);
    if (!reader) return tl::unexpected(reader.error());
    return Consumer(HftShmReader(std::move(*reader)));
  }
  auto descriptor = opened(file, ring == "feed_log" ? O_RDONLY : O_RDWR);
  if (!descriptor) return tl::unexpected(descriptor.error());
  if (ring == "feed_log") {
    auto reader = rings::FeedLogReader::map(descriptor->get());
    if (!reader) return tl::unexpected(reader.error());
    return Consumer(FeedLogReader(std::move(*reader)));
  }
  auto mapped = rings::SpscRing::map(descriptor->get());
  if (!mapped) return tl::unexpected(mapped.error());
  shared_.emplace(std::move(*mapped));
  if (ring == "mirrored") return Consumer(baselines::ReceiptConsumer(shared_->consumer()));
  return Consumer(rings::SpscMessageConsumer(shared_->consumer()));
}

transports::Expected<void> RingSwarm::connect(const std::string& ring, const std::string& file,
                                              std::uint32_t total) {
  if (total > 1 && ring != "feed_log")
    return tl::unexpected(Error{fmt::format("the ring {} has one reader, not {}", ring, total)});
  readers_.reserve(clients_max_);
  while (readers_.size() < total && readers_.size() < clients_max_) {
    auto consumer = attach(ring, file);
    if (!consumer) return tl::unexpected(consumer.error());
    readers_.push_back({std::move(*consumer)});
  }
  return {};
}

void RingSwarm::end(std::uint32_t client, rings::PollStatus how, std::uint64_t missed) {
  readers_[client].ended = true;
  ++closed_;
  if (first_failure_.empty()) {
    if (how == rings::PollStatus::corrupt) {
      first_failure_ = fmt::format("client {}: what stands in the ring makes no sense", client);
    } else if (missed == rings::kMissedUnknown) {
      first_failure_ = fmt::format("client {}: lapped", client);
    } else {
      first_failure_ = fmt::format("client {}: lapped, {} messages were missed", client, missed);
    }
  }
  checker_.on_end(client);
}

void RingSwarm::close_all() {
  for (std::uint32_t client = 0; client < readers_.size(); ++client)
    if (!readers_[client].ended) checker_.on_end(client);
  readers_.clear();
  shared_.reset();
}

}  // namespace feedbench::load
