#include "reference/local/last_values.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "reference/client/feed_reader.hpp"
#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/binance_frame.hpp"

namespace feedbench::local {

LastValues::LastValues(const rings::FeedLogWriter& log, venues::Venue venue)
    : reader_(rings::FeedLogReader::attach(log)), venue_(venue) {
  reader_.seek_oldest();
}

void LastValues::follow() {
  rings::Frame frame;
  for (;;) {
    switch (reader_.next(frame)) {
      case rings::ReadStatus::none:
        return;
      case rings::ReadStatus::gap:
        newest_.clear();
        bytes_ = 0;
        break;
      case rings::ReadStatus::frame:
        keep(frame);
        break;
    }
  }
}

void LastValues::keep(const rings::Frame& frame) {
  auto kept = std::make_shared<Kept>();
  kept->frame = frame;
  kept->bytes.resize(frame.length);
  if (reader_.copy(frame, kept->bytes)) keep(kept);  // lapped: the next look says so
}

void LastValues::load(int memory) {
  feedproxy::LastValues image;
  feedproxy::Message message;
  if (!image.load(memory)) return;
  while (image.next(message)) {
    auto kept = std::make_shared<Kept>();
    kept->frame = *message.frame;
    kept->bytes.assign(message.frame->bytes().begin(), message.frame->bytes().end());
    keep(kept);
  }
}

void LastValues::keep(const std::shared_ptr<const Kept>& kept) {
  const rings::Frame& frame = kept->frame;
  // A fragmented message's topic stands in its first fragment, or is not found.
  const std::string_view text(
      reinterpret_cast<const char*>(kept->bytes.data()) + frame.header_bytes,
      frame.length - frame.header_bytes);
  if (venue_ == venues::Venue::binance) {
    venues::binance::NameBuffer buffer;
    put(venues::binance::stream_of(text, buffer), kept);
  } else if (venue_ == venues::Venue::alpaca) {
    std::string topic;
    venues::alpaca::for_each_message(text, [&](const venues::alpaca::Message& message) {
      topic.assign(message.type).append(":").append(message.symbol);
      put(topic, kept);
    });
  } else {
    put("", kept);
  }
}

void LastValues::put(std::string_view topic, const std::shared_ptr<const Kept>& kept) {
  const auto found = newest_.find(topic);
  const std::size_t before = found == newest_.end() ? 0 : found->second->bytes.size();
  const bool too_many = found == newest_.end() && newest_.size() >= kTopicsMax;
  if (too_many || bytes_ - before + kept->bytes.size() > kBytesMax) {
    ++left_out_;
    if (found != newest_.end()) {  // what stands there is not the newest any more
      bytes_ -= before;
      newest_.erase(found);
    }
    return;
  }
  bytes_ += kept->bytes.size() - before;
  if (found == newest_.end())
    newest_.emplace(topic, kept);
  else
    found->second = kept;
}

transports::Expected<rings::Descriptor> LastValues::snapshot(std::uint64_t& upto) {
  follow();
  upto = reader_.next_sequence() - 1;
  std::map<std::uint64_t, const Kept*>
      in_order;  // a message that is the newest of several topics stands once
  for (const auto& [topic, kept] : newest_) in_order[kept->frame.sequence] = kept.get();
  std::vector<std::byte> image;
  for (const auto& [sequence, kept] : in_order) {
    feedproxy::control::LastValue head;
    head.sequence = sequence;
    head.length = kept->frame.length;
    head.header_bytes = kept->frame.header_bytes;
    head.opcode = kept->frame.opcode;
    head.flags = kept->frame.flags;
    head.generation = kept->frame.upstream_generation;
    const auto* const from = reinterpret_cast<const std::byte*>(&head);
    image.insert(image.end(), from, from + sizeof head);
    image.insert(image.end(), kept->bytes.begin(), kept->bytes.end());
  }
  rings::Descriptor memory(
      ::memfd_create("feedproxy_last_values", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  std::size_t written = 0;
  while (memory.valid() && written < image.size()) {
    const ssize_t n = ::write(memory.get(), image.data() + written, image.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  if (!memory.valid() || written < image.size() ||
      ::fcntl(memory.get(), F_ADD_SEALS,
              F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return tl::make_unexpected(transports::Error{
        std::string("hand over the last values: ") + std::strerror(errno), errno});
  return memory;
}

}  // namespace feedbench::local
