#pragma once

#include <cstdint>
#include <string>

#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::local {

/// A Unix SOCK_SEQPACKET socket that listens at a path. The destructor removes the path if it is still this socket's.
class ListeningSocket {
 public:
  /// path: at most 107 bytes. A path left behind by a killed process (nobody answers there) is replaced; the look and the
  /// bind happen under a lock on the directory, so two that start at once do not remove each other's.
  /// group_access: mode 0660 instead of 0600.
  /// errors: path too long, in use by a live process, not a socket, directory missing or read-only.
  static transports::Expected<ListeningSocket> listen_at(const std::string& path,
                                                         bool group_access = false);
  /// One that another process has bound to path and hands over; the path is still the other's until own().
  /// errors: not a listening socket.
  static transports::Expected<ListeningSocket> adopt(const std::string& path,
                                                     rings::Descriptor listening);
  ListeningSocket(ListeningSocket&&) noexcept = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  [[nodiscard]] int get() const noexcept { return descriptor_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// The path is this socket's from here on.
  void own() noexcept;
  /// The path belongs to somebody else from here on: the destructor leaves it alone.
  void disown() noexcept { inode_ = 0; }

 private:
  ListeningSocket() = default;

  std::string path_;
  rings::Descriptor descriptor_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
};

}  // namespace feedbench::local
