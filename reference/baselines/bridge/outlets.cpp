#include "reference/baselines/bridge/outlets.hpp"

#include <unistd.h>

#include <cstdint>

namespace feedbench::baselines {

std::string path_of_descriptor(int descriptor) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(descriptor);
}

transports::Expected<HftShmOutlet> HftShmOutlet::create(std::size_t ring_bytes) {
  const rings::HftShmPath path("/dev/shm/feedbench-ring-" + std::to_string(::getpid()));
  rings::remove_hft_shm(path);  // a namesake's with this very number, who was killed
  const auto made =
      rings::create_hft_shm(path, {.buffer_bytes = static_cast<std::uint32_t>(ring_bytes)});
  if (!made) return tl::unexpected(made.error());
  Names names(path);
  auto writer = rings::HftShmWriter::open(path);
  if (!writer) return tl::unexpected(writer.error());
  return HftShmOutlet(std::move(names),
                      rings::HftShmRing{std::make_unique<rings::HftShmWriter>(std::move(*writer))});
}

transports::Expected<MirroredOutlet> MirroredOutlet::create(std::size_t ring_bytes) {
  auto ring = rings::MirroredRing::create(ring_bytes);
  if (!ring) return tl::unexpected(ring.error());
  auto receipts = rings::SpscRing::create({.ring_bytes = ring_bytes, .name = "receipts"});
  if (!receipts) return tl::unexpected(receipts.error());
  return MirroredOutlet(std::move(*ring), std::move(*receipts));
}

}  // namespace feedbench::baselines
