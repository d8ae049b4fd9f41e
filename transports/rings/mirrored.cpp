#include "transports/rings/mirrored.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

namespace feedbench::rings {
namespace {

constexpr std::size_t kSmallPageBytes = 4096;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Linux 6.3; older headers lack it and older kernels refuse it.
constexpr unsigned kNoExecSeal = 0x0008U;

transports::Error failed(const std::string& what, int os_error) {
  return {what + ": " + std::strerror(os_error), os_error};
}

Descriptor open_memfd(const std::string& name, unsigned flags) {
  int fd = ::memfd_create(name.c_str(), flags | kNoExecSeal);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name.c_str(), flags);
  return Descriptor(fd);
}

// Gives the file its size and, if asked, its memory. Returns 0 or errno.
int size_file(int fd, std::size_t bytes, bool allocate) {
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return errno;
  while (allocate && ::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

std::size_t page_bytes_wanted(const MemoryOptions& options) noexcept {
  return options.huge_pages ? kHugePageBytes : kSmallPageBytes;
}

transports::Expected<MemoryFile> create_memory_file(const std::string& name, std::size_t bytes,
                                                    const MemoryOptions& options) {
  MemoryFile file;
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (options.huge_pages) {
    file.descriptor = open_memfd(name, kFlags | MFD_HUGETLB | MFD_HUGE_2MB);
    const std::size_t rounded = round_up(bytes, kHugePageBytes);
    // Huge pages are always allocated at once: a page that is missing later is a SIGBUS.
    const int os_error =
        file.descriptor.valid() ? size_file(file.descriptor.get(), rounded, true) : errno;
    if (os_error == 0) {
      file.bytes = rounded;
      file.page_bytes = kHugePageBytes;
      return file;
    }
    file.huge_pages_refused = std::string("the kernel gave no 2 MiB pages (") +
                              std::strerror(os_error) +
                              "); reserve some with sysctl vm.nr_hugepages";
  }
  file.descriptor = open_memfd(name, kFlags);
  if (!file.descriptor.valid()) {
    return tl::unexpected(failed("create shared memory " + name + ": memfd_create", errno));
  }
  file.bytes = round_up(bytes, kSmallPageBytes);
  if (const int os_error = size_file(file.descriptor.get(), file.bytes, options.pre_fault);
      os_error != 0) {
    return tl::unexpected(failed("create shared memory " + name + ": allocate " +
                                     std::to_string(file.bytes) + " bytes (choose a smaller ring)",
                                 os_error));
  }
  return file;
}

transports::Expected<MirroredMapping> MirroredMapping::map(int fd, std::size_t head_bytes,
                                                           std::size_t ring_bytes, Access access,
                                                           bool populate, std::size_t page_bytes) {
  MirroredMapping mapping;
  const int os_error = static_cast<MirroredRange&>(mapping).map(fd, head_bytes, ring_bytes, access,
                                                                populate, page_bytes);
  if (os_error == EINVAL) {
    return tl::unexpected(transports::Error{
        "map a mirrored ring: " + std::to_string(head_bytes) + " + " + std::to_string(ring_bytes) +
            " bytes are not whole pages of " + std::to_string(page_bytes) + ", or not in the file",
        EINVAL});
  }
  if (os_error != 0) {
    return tl::unexpected(
        failed("map a mirrored ring of " + std::to_string(ring_bytes) + " bytes", os_error));
  }
  return mapping;
}

transports::Expected<MirroredBuffer> MirroredBuffer::create(std::size_t capacity_bytes,
                                                            const std::string& name) {
  if (!std::has_single_bit(capacity_bytes) || capacity_bytes < kSmallPageBytes) {
    return tl::unexpected(transports::Error{"create mirrored buffer " + name + ": " +
                                                std::to_string(capacity_bytes) +
                                                " bytes is not a power of two of at least 4096",
                                            EINVAL});
  }
  auto file = create_memory_file(name, capacity_bytes, {});
  if (!file) return tl::unexpected(file.error());
  auto mapping =
      MirroredMapping::map(file->descriptor.get(), 0, capacity_bytes, Access::read_write, true);
  if (!mapping) return tl::unexpected(mapping.error());
  return MirroredBuffer(std::move(*mapping));
}

}  // namespace feedbench::rings
