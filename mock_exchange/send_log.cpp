#include "mock_exchange/send_log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace feedbench::mock_exchange {

using transports::Error;
using transports::Expected;

namespace {

tl::unexpected<Error> failed(std::string_view what) {
  const int error = errno;
  return tl::unexpected(Error{fmt::format("send log: {}: {}", what, std::strerror(error)), error});
}

tl::unexpected<Error> refused(int descriptor, std::string_view why) {
  return tl::unexpected(Error{fmt::format(
      "send log: descriptor {} is not a send log of this version ({})", descriptor, why)});
}

constexpr std::uint64_t kMaxCapacity =
    (std::numeric_limits<std::int64_t>::max() - kSendLogDataOffset) / sizeof(SendLogEntry);

/// Checks what somebody else's descriptor holds before anything is believed of it.
Expected<std::size_t> checked_size(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return failed(fmt::format("descriptor {}", descriptor));
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < kSendLogDataOffset + sizeof(SendLogEntry)) return refused(descriptor, "too small");
  return bytes;
}

const char* wrong(const SendLogHeader& header, std::size_t bytes) {
  if (header.magic != SendLogHeader::kMagic) return "wrong magic number";
  if (header.version != SendLogHeader::kVersion) return "another version";
  if (header.entry_bytes != sizeof(SendLogEntry)) return "another entry size";
  const std::size_t fits = (bytes - kSendLogDataOffset) / sizeof(SendLogEntry);
  if (header.capacity == 0 || header.capacity > fits) return "capacity beyond its size";
  return nullptr;
}

}  // namespace

SendLogMapping::SendLogMapping(SendLogMapping&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

SendLogMapping& SendLogMapping::operator=(SendLogMapping&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(bytes_, other.bytes_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

SendLogMapping::~SendLogMapping() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

Expected<SendLogWriter> SendLogWriter::create(std::uint64_t capacity) {
  if (capacity == 0 || capacity > kMaxCapacity) {
    return tl::unexpected(
        Error{fmt::format("send log: a capacity of {} entries is out of range", capacity)});
  }
  SendLogWriter writer;
  SendLogMapping& mapping = writer.mapping_;
  mapping.bytes_ = kSendLogDataOffset + capacity * sizeof(SendLogEntry);
  mapping.descriptor_ = ::memfd_create("feedbench-send-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (mapping.descriptor_ < 0) return failed("memfd_create");
  if (::ftruncate(mapping.descriptor_, static_cast<off_t>(mapping.bytes_)) != 0)
    return failed("ftruncate");
  // Without the seals a reader could be killed by a writer that shrinks the file under it.
  if (::fcntl(mapping.descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("seal");
  }
  void* base = ::mmap(nullptr, mapping.bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      mapping.descriptor_, 0);
  if (base == MAP_FAILED) return failed(fmt::format("map {} bytes", mapping.bytes_));
  mapping.base_ = base;
  auto* header = new (base) SendLogHeader;
  header->capacity = capacity;
  writer.capacity_ = capacity;
  return writer;
}

Expected<SendLogWriter> SendLogWriter::attach(int descriptor) {
  const auto bytes = checked_size(descriptor);
  if (!bytes) return tl::unexpected(bytes.error());
  SendLogWriter writer;
  void* base =
      ::mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  if (base == MAP_FAILED) return failed(fmt::format("map descriptor {} for writing", descriptor));
  writer.mapping_.base_ = base;
  writer.mapping_.bytes_ = *bytes;
  const SendLogHeader& header = *writer.mapping_.header();
  if (const char* why = wrong(header, *bytes)) return refused(descriptor, why);
  writer.capacity_ = header.capacity;
  writer.count_ = header.count.load(std::memory_order_relaxed);
  return writer;
}

Expected<SendLogReader> SendLogReader::map(int descriptor) {
  const auto bytes = checked_size(descriptor);
  if (!bytes) return tl::unexpected(bytes.error());
  SendLogReader reader;
  void* base = ::mmap(nullptr, *bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) return failed(fmt::format("map descriptor {}", descriptor));
  reader.mapping_.base_ = base;
  reader.mapping_.bytes_ = *bytes;
  const SendLogHeader& header = *reader.mapping_.header();
  if (const char* why = wrong(header, *bytes)) return refused(descriptor, why);
  reader.capacity_ = header.capacity;
  return reader;
}

}  // namespace feedbench::mock_exchange
