#include "transports/rings/hft_shm.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <string>

#include "transports/rings/descriptor.hpp"

namespace feedbench::rings {
namespace {

constexpr std::uint32_t kHeaderBytes = 256;
constexpr std::uint32_t kProducerOffset = 64;
constexpr std::uint32_t kConsumerOffset = 128;
constexpr std::uint64_t kHeaderBytesMax = 1U << 20;
constexpr std::uint64_t kHftShmPageBytes = 4096;
constexpr std::uint64_t kHftShmRingBytesMax = std::uint64_t{2} << 30;

using transports::Error;

tl::unexpected<Error> failed(const std::string& what, const std::string& file, int os_error) {
  return tl::unexpected(Error{what + " " + file + ": " + std::strerror(os_error), os_error});
}
tl::unexpected<Error> refused(const std::string& file, const std::string& why) {
  return tl::unexpected(Error{"open hft-shm segment: " + file + ": " + why, EINVAL});
}

// A new file with the given size, mode 0600 whatever the umask says.
transports::Expected<Descriptor> new_file(const std::string& path, std::uint64_t bytes,
                                          bool allocate) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  Descriptor file(::open(path.c_str(), kFlags, 0600));
  if (!file.valid()) return failed("create hft-shm file", path, errno);
  int os_error = 0;
  if (::fchmod(file.get(), 0600) != 0 || ::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) {
    os_error = errno;
  }
  while (os_error == 0 && allocate &&
         ::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) != 0) {
    if (errno == EOPNOTSUPP) break;  // pages come at first touch then
    if (errno != EINTR) os_error = errno;
  }
  if (os_error == 0) return file;
  ::unlink(path.c_str());
  return failed("create hft-shm file", path, os_error);
}

void make_folder_of(const std::string& path) noexcept {
  const std::size_t slash = path.rfind('/');
  // What cannot be made is told by the open that follows.
  if (slash != std::string::npos && slash > 0) ::mkdir(path.substr(0, slash).c_str(), 0700);
}

/// Everything the header says is checked against the file before it is used.
std::string fault_in(const HftShmHeader& header, std::uint64_t file_bytes) {
  if (header.magic != kHftShmMagic) return "does not begin with the mark HFTSHM";
  if (header.version != kHftShmVersion) {
    return "the layout's version is " + std::to_string(header.version) + ", this program knows " +
           std::to_string(kHftShmVersion);
  }
  if (header.max_consumers < 1) return "it has no consumer (max_consumers is 0)";
  const std::uint64_t ring = header.buffer_size;
  if (!std::has_single_bit(ring) || ring < kHftShmPageBytes || ring > kHftShmRingBytesMax) {
    return "buffer_size is " + std::to_string(ring) +
           ", but must be a power of two from 4096 to 2147483648";
  }
  if (header.index_mask != ring - 1) {
    return "index_mask is " + std::to_string(header.index_mask) +
           ", which does not go with a "
           "buffer_size of " +
           std::to_string(ring);
  }
  if (header.header_size > file_bytes) {
    return "header_size is " + std::to_string(header.header_size) + ", but the file has " +
           std::to_string(file_bytes) + " bytes";
  }
  const struct {
    const char* name;
    std::uint64_t at;
  } sections[] = {{"producer_offset", header.producer_offset},
                  {"consumer_0_offset", header.consumer_0_offset}};
  for (const auto& section : sections) {
    if (section.at < sizeof(HftShmHeader) || section.at % 8 != 0 ||
        section.at + sizeof(HftShmProducerSection) > header.header_size) {
      return std::string(section.name) + " is " + std::to_string(section.at) +
             ", which is not in the header of " + std::to_string(header.header_size) +
             " bytes, after its first 64 and a multiple of 8";
    }
  }
  const std::uint64_t low = std::min(header.producer_offset, header.consumer_0_offset);
  const std::uint64_t high = std::max(header.producer_offset, header.consumer_0_offset);
  if (high - low < sizeof(HftShmProducerSection)) {
    return "producer_offset " + std::to_string(header.producer_offset) + " and consumer_0_offset " +
           std::to_string(header.consumer_0_offset) + " overlap";
  }
  return {};
}

}  // namespace

transports::Expected<void> create_hft_shm(const HftShmPath& path, const HftShmOptions& options) {
  const std::uint32_t ring = options.buffer_bytes;
  if (!std::has_single_bit(ring) || ring < kHftShmPageBytes) {
    return tl::unexpected(Error{"create hft-shm segment " + path.base() + ": buffer_bytes is " +
                                    std::to_string(ring) +
                                    ", but must be a power of two from 4096 to 2147483648",
                                EINVAL});
  }
  make_folder_of(path.base());
  auto data = new_file(path.data_file(), ring, options.pre_fault);
  if (!data) return tl::unexpected(data.error());
  auto file = new_file(path.header_file(), kHeaderBytes, options.pre_fault);
  if (!file) {
    ::unlink(path.data_file().c_str());
    return tl::unexpected(file.error());
  }
  HftShmHeader header{};
  header.magic = kHftShmMagic;
  header.version = kHftShmVersion;
  header.max_consumers = 1;
  header.producer_pid = static_cast<std::uint32_t>(::getpid());
  header.buffer_size = ring;
  header.producer_offset = kProducerOffset;
  header.consumer_0_offset = kConsumerOffset;
  header.header_size = kHeaderBytes;
  header.index_mask = ring - 1;
  header.log2[0] = static_cast<std::uint8_t>(std::countr_zero(ring));
  header.log2[1] = static_cast<std::uint8_t>(std::countr_zero(kHeaderBytes));
  header.log2[2] = static_cast<std::uint8_t>(std::countr_zero(kHftShmLineBytes));
  if (::pwrite(file->get(), &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header))) {
    const int os_error = errno;
    remove_hft_shm(path);
    return failed("create hft-shm file", path.header_file(), os_error);
  }
  return {};
}

void remove_hft_shm(const HftShmPath& path) noexcept {
  ::unlink(path.header_file().c_str());
  ::unlink(path.data_file().c_str());
}

void HftShmUnmap::operator()(std::byte* at) const noexcept { ::munmap(at, bytes); }

transports::Expected<HftShmSegment> HftShmSegment::open(const HftShmPath& path,
                                                        Access data_access) {
  const std::string header_path = path.header_file();
  const Descriptor file(::open(header_path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) return failed("open hft-shm file", header_path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return failed("open hft-shm file", header_path, errno);
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  HftShmHeader header{};
  if (!S_ISREG(status.st_mode) || file_bytes > kHeaderBytesMax ||
      ::pread(file.get(), &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header))) {
    return refused(header_path, "is not a file of 64 bytes to 1 MiB");
  }
  if (const std::string fault = fault_in(header, file_bytes); !fault.empty())
    return refused(header_path, fault);

  const std::string data_path = path.data_file();
  const int flags = data_access == Access::read_write ? O_RDWR : O_RDONLY;
  const Descriptor data(::open(data_path.c_str(), flags | O_CLOEXEC));
  if (!data.valid()) return failed("open hft-shm file", data_path, errno);
  if (::fstat(data.get(), &status) != 0) return failed("open hft-shm file", data_path, errno);
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) < header.buffer_size) {
    return refused(data_path, "has " + std::to_string(status.st_size) + " bytes, the header says " +
                                  std::to_string(header.buffer_size));
  }
  HftShmSegment segment;
  auto mapping = MirroredMapping::map(data.get(), 0, header.buffer_size, data_access, true);
  if (!mapping) return tl::unexpected(mapping.error());
  segment.data = std::move(*mapping);
  void* mapped =
      ::mmap(nullptr, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.get(), 0);
  if (mapped == MAP_FAILED) return failed("map hft-shm file", header_path, errno);
  auto* const base = static_cast<std::byte*>(mapped);
  segment.header = {base, HftShmUnmap{file_bytes}};
  segment.view = {
      .producer = reinterpret_cast<HftShmProducerSection*>(base + header.producer_offset),
      .consumer = reinterpret_cast<HftShmConsumerSection*>(base + header.consumer_0_offset),
      .ring = segment.data.ring(),
      .ring_bytes = header.buffer_size};
  return segment;
}

transports::Expected<HftShmWriter> HftShmWriter::open(const HftShmPath& path) {
  auto segment = HftShmSegment::open(path, Access::read_write);
  if (!segment) return tl::unexpected(segment.error());
  HftShmWriter writer(std::move(*segment));
  if (writer.position_ % kHftShmLineBytes != 0) {
    return refused(path.header_file(), "published is " + std::to_string(writer.position_) +
                                           ", which is no whole number of lines");
  }
  return writer;
}

HftShmWriter::HftShmWriter(HftShmSegment segment) noexcept
    : segment_(std::move(segment)),
      ring_(segment_.view.ring),
      ring_mask_(segment_.view.ring_bytes - 1),
      position_(load_hft_shm_position(segment_.view.producer->published)) {
  // A producer that died in a batch had claimed more than it published: that claim stands.
  claimed_ = std::clamp(load_hft_shm_position(segment_.view.producer->cursor), position_,
                        position_ + ring_bytes());
  segment_.view.producer->cursor.store(static_cast<std::int64_t>(claimed_),
                                       std::memory_order_release);
}

}  // namespace feedbench::rings
