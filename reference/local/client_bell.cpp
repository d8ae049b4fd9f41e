#include "reference/local/client_bell.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

namespace feedbench::local {
namespace {

transports::Error page_error(const std::string& what) {
  const int os_error = errno;
  return {"make a local client's page: " + what + ": " + std::strerror(os_error), os_error};
}

}  // namespace

transports::Expected<std::shared_ptr<ClientBell>> ClientBell::create() {
  std::shared_ptr<ClientBell> bell(new ClientBell);
  bell->memory_ =
      rings::Descriptor(::memfd_create("feedproxy_client", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const int fd = bell->memory_.get();
  if (fd < 0) return tl::make_unexpected(page_error("memfd_create"));
  // Sealed in its size: nobody can make this process fault by shortening it.
  if (::ftruncate(fd, feedproxy::kPageBytes) != 0 ||
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return tl::make_unexpected(page_error("size and seal"));
  if (auto mapped = bell->map(); !mapped) return tl::make_unexpected(mapped.error());
  new (bell->page_) feedproxy::ClientPage{};
  static std::atomic<std::uint32_t> next_slot{0};
  bell->page_->waiting_slot = next_slot++ % feedproxy::kWaitingSlots;
  bell->waiting_ = &feedproxy::waiting_of(*bell->page_);
  bell->page_->version = feedproxy::control::kVersion;
  bell->page_->cursors_count = feedproxy::control::kFeedsPerClientMax;
  bell->page_->magic = feedproxy::kPageMagic;
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return tl::make_unexpected(page_error("socketpair"));
  bell->ours_ = rings::Descriptor(pair[0]);
  bell->theirs_ = rings::Descriptor(pair[1]);
  return bell;
}

transports::Expected<void> ClientBell::map() {
  void* const mapped = ::mmap(nullptr, feedproxy::kPageBytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_POPULATE, memory_.get(), 0);
  if (mapped == MAP_FAILED) return tl::make_unexpected(page_error("mmap"));
  page_ = static_cast<feedproxy::ClientPage*>(mapped);
  return {};
}

transports::Expected<std::shared_ptr<ClientBell>> ClientBell::adopt(rings::Descriptor page,
                                                                    rings::Descriptor doorbell) {
  std::shared_ptr<ClientBell> bell(new ClientBell);
  bell->memory_ = std::move(page);
  bell->ours_ = std::move(doorbell);
  struct stat status {};
  const int seals = ::fcntl(bell->memory_.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(bell->memory_.get(), &status) != 0 ||
      status.st_size != static_cast<off_t>(feedproxy::kPageBytes) || !bell->ours_.valid())
    return tl::make_unexpected(
        transports::Error{"take over a local client: what was handed over is not its page", 0});
  if (auto mapped = bell->map(); !mapped) return tl::make_unexpected(mapped.error());
  bell->waiting_ = &feedproxy::waiting_of(*bell->page_);
  return bell;
}

ClientBell::~ClientBell() {
  if (page_ != nullptr) ::munmap(page_, feedproxy::kPageBytes);
}

void ClientBell::wake() noexcept {
  // Whoever takes the word back rings; two publishers ring once.
  const std::uint32_t waiting = waiting_->exchange(0, std::memory_order_acq_rel);
  if (waiting == static_cast<std::uint32_t>(feedproxy::Waiting::futex)) {
    feedproxy::futex_wake(*waiting_);
  } else if (waiting != 0) {
    // A full socket buffer: a ring is there already that the client has not read. A closed one: it is gone.
    const char ring = 1;
    static_cast<void>(::send(ours_.get(), &ring, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
  }
}

}  // namespace feedbench::local
