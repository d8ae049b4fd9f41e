#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "transports/rings/descriptor.hpp"
#include "transports/rings/local_share_protocol.hpp"
#include "transports/transport.hpp"

/// Handing a feed log to other processes of the same user: a Unix socket that answers every
/// connection with one message, {magic, version} and the sealed descriptor, and then says nothing
/// more. The open connection is the sign of life: its end of file tells that the proxy is gone,
/// however it went.
namespace feedbench::rings {

struct LocalShareOptions {
  std::string path;  ///< Of the socket; at most 107 bytes. Created with mode 0600.
  /// More connections are accepted and closed at once, unserved and counted.
  unsigned connections_max = 64;
};

/// The proxy's side, with one small thread of its own that sleeps in poll() and takes no signals.
/// A peer can do nothing to it: what it sends is answered by closing, and nothing waits for it.
/// The destructor stops the thread, closes all connections and removes the path.
class LocalShareServer {
 public:
  /// share_descriptor: sealed memory, kept open by the caller until the server is gone.
  /// A path left behind by a killed process (nobody answers there) is replaced.
  /// errors: path too long, in use by a live process, not a socket, directory missing or read-only.
  static transports::Expected<std::unique_ptr<LocalShareServer>> start(
      const LocalShareOptions& options, int share_descriptor);
  ~LocalShareServer();
  LocalShareServer(const LocalShareServer&) = delete;
  LocalShareServer& operator=(const LocalShareServer&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return options_.path; }
  /// Peers connected now, served ever, refused ever (too many, or another user). thread: any.
  [[nodiscard]] std::uint64_t connections() const noexcept { return connections_.load(); }
  [[nodiscard]] std::uint64_t served() const noexcept { return served_.load(); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(); }

 private:
  struct Listener {
    Descriptor descriptor;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
  };
  static transports::Expected<Listener> listen_at(const std::string& path);

  LocalShareServer(LocalShareOptions options, int share_descriptor, Listener listener,
                   Descriptor stop);
  void run() noexcept;
  [[nodiscard]] bool serve(int connection) const noexcept;

  LocalShareOptions options_;
  int share_descriptor_;
  Listener listener_;
  Descriptor stop_;
  std::atomic<std::uint64_t> connections_{0};
  std::atomic<std::uint64_t> served_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::thread thread_;
};

/// What a local reader holds: the log's descriptor, to be mapped, and the connection.
struct LocalShare {
  Descriptor log;  ///< For FeedLogReader::map(); may be closed after that.
  Descriptor
      connection;  ///< Becomes readable (end of file) when the proxy is gone: poll it, or ask.
  /// False once the proxy has stopped or died. Cost: one system call.
  [[nodiscard]] bool proxy_alive() const noexcept;
};

/// Connects to a LocalShareServer and receives its log.
/// errors: nobody there, another user's socket, too many connections, no answer within `timeout`.
transports::Expected<LocalShare> connect_local_share(
    const std::string& path, std::chrono::milliseconds timeout = std::chrono::milliseconds(5000));

}  // namespace feedbench::rings
