#include "transports/rings/spsc_ring.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

namespace feedbench::rings {
namespace {

constexpr std::size_t kSpscRingBytesMin = 4096;
constexpr std::size_t kSpscRingBytesMax = std::size_t{2} << 30;

bool size_allowed(std::uint64_t ring_bytes) noexcept {
  return std::has_single_bit(ring_bytes) && ring_bytes >= kSpscRingBytesMin &&
         ring_bytes <= kSpscRingBytesMax;
}

tl::unexpected<transports::Error> not_a_ring(const std::string& why) {
  return tl::unexpected(transports::Error{"map spsc ring: " + why, EINVAL});
}

}  // namespace

transports::Expected<SpscRing> SpscRing::create(const SpscOptions& options) {
  const std::string what = "create spsc ring " + options.name + ": ";
  const std::size_t page = page_bytes_wanted(options.memory);
  if (!size_allowed(options.ring_bytes) || options.ring_bytes % page != 0) {
    return tl::unexpected(
        transports::Error{what + "ring_bytes is " + std::to_string(options.ring_bytes) +
                              ", but must be a power of two from " + std::to_string(page) + " to " +
                              std::to_string(kSpscRingBytesMax),
                          EINVAL});
  }
  auto file = create_memory_file(options.name, page + options.ring_bytes, options.memory);
  if (!file) return tl::unexpected(file.error());
  auto mapping =
      MirroredMapping::map(file->descriptor.get(), page, options.ring_bytes, Access::read_write,
                           options.memory.pre_fault, file->page_bytes);
  if (!mapping) return tl::unexpected(mapping.error());
  // The peer writes too, so the memory cannot be sealed against that; its size can.
  if (::fcntl(file->descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
      0) {
    const int os_error = errno;
    return tl::unexpected(
        transports::Error{what + "seal the memory's size: " + std::strerror(os_error), os_error});
  }
  auto* const control = new (mapping->base()) SpscControl{};
  control->version = kSpscVersion;
  control->page_bytes = static_cast<std::uint32_t>(file->page_bytes);
  control->ring_bytes = options.ring_bytes;
  control->ring_offset = page;
  control->magic = kSpscMagic;
  return SpscRing(std::move(file->descriptor), std::move(*mapping),
                  std::move(file->huge_pages_refused));
}

transports::Expected<SpscRing> SpscRing::map(int fd, bool populate) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    const int os_error = errno;
    return tl::unexpected(
        transports::Error{std::string("map spsc ring: ") + std::strerror(os_error), os_error});
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return not_a_ring("the descriptor is not memory sealed against shrinking");
  SpscControl sizes{};
  constexpr std::size_t kSizesBytes = offsetof(SpscControl, write_position);
  if (::pread(fd, &sizes, kSizesBytes, 0) != static_cast<ssize_t>(kSizesBytes))
    return not_a_ring("its first page cannot be read");
  if (sizes.magic != kSpscMagic) return not_a_ring("it does not begin with such a ring's mark");
  if (sizes.version != kSpscVersion) {
    return not_a_ring("its layout has version " + std::to_string(sizes.version) +
                      ", this program reads version " + std::to_string(kSpscVersion));
  }
  const std::uint64_t page = sizes.page_bytes;
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  if ((page != 4096 && page != 2U << 20) || !size_allowed(sizes.ring_bytes) ||
      sizes.ring_bytes % page != 0 || sizes.ring_offset % page != 0 || sizes.ring_offset == 0 ||
      sizes.ring_offset > file_bytes || sizes.ring_bytes > file_bytes - sizes.ring_offset) {
    return not_a_ring("its sizes contradict each other or the file's");
  }
  auto mapping = MirroredMapping::map(fd, sizes.ring_offset, sizes.ring_bytes, Access::read_write,
                                      populate, page);
  if (!mapping) return tl::unexpected(mapping.error());
  return SpscRing(Descriptor{}, std::move(*mapping), {});
}

}  // namespace feedbench::rings
