#include "harness/load/delivery_log.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace feedbench::load {
namespace {

tl::unexpected<transports::Error> failure(const char* what) {
  const int error = errno;
  return tl::unexpected(
      transports::Error{std::string("delivery log: ") + what + ": " + std::strerror(error), error});
}

}  // namespace

transports::Expected<DeliveryLog> DeliveryLog::create(std::uint64_t capacity) {
  DeliveryLog log;
  log.descriptor_ = ::memfd_create("feedbench delivery log", MFD_CLOEXEC);
  if (log.descriptor_ < 0) return failure("memfd_create");
  const std::size_t bytes = capacity * sizeof(std::uint64_t);
  if (::ftruncate(log.descriptor_, static_cast<off_t>(bytes)) != 0) return failure("ftruncate");
  void* base =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, log.descriptor_, 0);
  if (base == MAP_FAILED) return failure("mmap");
  log.entries_ = static_cast<std::uint64_t*>(base);
  log.capacity_ = capacity;
  return log;
}

transports::Expected<DeliveryLog> DeliveryLog::map(int descriptor) {
  struct stat file {};
  if (::fstat(descriptor, &file) != 0) return failure("fstat");
  const auto bytes = static_cast<std::size_t>(file.st_size);
  void* base = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) return failure("mmap");
  DeliveryLog log;
  log.entries_ = static_cast<std::uint64_t*>(base);
  log.capacity_ = bytes / sizeof(std::uint64_t);
  return log;
}

DeliveryLog::~DeliveryLog() {
  if (entries_ != nullptr) ::munmap(entries_, capacity_ * sizeof(std::uint64_t));
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace feedbench::load
