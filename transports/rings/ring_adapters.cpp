#include "transports/rings/ring_adapters.hpp"

#include <unistd.h>

#include <atomic>

namespace feedbench::rings {

transports::Expected<HftShmRing> HftShmRing::create(std::size_t ring_bytes) {
  static std::atomic<unsigned> count{0};
  const HftShmPath path("/dev/shm/feedbench-hft-" + std::to_string(::getpid()) + "-" +
                        std::to_string(count.fetch_add(1)));
  const auto made = create_hft_shm(path, {.buffer_bytes = static_cast<std::uint32_t>(ring_bytes)});
  if (!made) return tl::unexpected(made.error());
  auto writer = HftShmWriter::open(path);
  remove_hft_shm(path);
  if (!writer) return tl::unexpected(writer.error());
  return HftShmRing{std::make_unique<HftShmWriter>(std::move(*writer))};
}

}  // namespace feedbench::rings
