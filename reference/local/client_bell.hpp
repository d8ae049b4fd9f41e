#pragma once

#include <atomic>
#include <memory>

#include "reference/client/client_page.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::local {

/// The proxy's side of one client's page and doorbell: what wakes that client, and what it says of itself.
///
/// The doorbell is a datagram socket pair, not an eventfd: an eventfd's O_NONBLOCK belongs to both holders, so a client
/// could clear it, fill the counter, and have the proxy's data thread sleep in write(2). MSG_DONTWAIT belongs to the call.
class ClientBell {
 public:
  /// errors: no memory, no descriptors.
  static transports::Expected<std::shared_ptr<ClientBell>> create();
  /// Of a client that another process has served: its page and the proxy's end of its doorbell. errors: no such page.
  static transports::Expected<std::shared_ptr<ClientBell>> adopt(rings::Descriptor page,
                                                                 rings::Descriptor doorbell);
  ~ClientBell();
  ClientBell(const ClientBell&) = delete;
  ClientBell& operator=(const ClientBell&) = delete;

  /// Wakes the client if it sleeps. Cost: one load, seldom missed, while it does not; one system call when it does.
  /// thread: any.
  void ring() noexcept {
    if (waiting_->load(std::memory_order_relaxed) != 0) [[unlikely]]
      wake();
  }

  /// The word that ring() looks at.
  [[nodiscard]] const std::atomic<std::uint32_t>& waiting() const noexcept { return *waiting_; }
  /// As the client left it: shown to people, believed by nobody.
  [[nodiscard]] const feedproxy::ClientPage& page() const noexcept { return *page_; }
  /// What the client gets: the page's descriptor, and its end of the doorbell. They stay this object's.
  [[nodiscard]] int page_descriptor() const noexcept { return memory_.get(); }
  [[nodiscard]] int doorbell_descriptor() const noexcept { return theirs_.get(); }
  /// The client has its end, which then closes when the client does.
  void give_away() noexcept { theirs_.reset(); }
  /// The proxy's end of the doorbell, for another process that takes over.
  [[nodiscard]] int ringing_descriptor() const noexcept { return ours_.get(); }

 private:
  ClientBell() = default;
  transports::Expected<void> map();
  void wake() noexcept;

  feedproxy::ClientPage* page_ = nullptr;
  std::atomic<std::uint32_t>* waiting_ =
      nullptr;  // in the page; looked up once, before the client could change it
  rings::Descriptor memory_;
  rings::Descriptor ours_;
  rings::Descriptor theirs_;
};

}  // namespace feedbench::local
