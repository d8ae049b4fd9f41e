#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reference/client/client.hpp"
#include "reference/local/testing/scripted_venue.hpp"

namespace feedbench::local::testing {

/// Waits for something that must happen soon; fails the test after a minute, which is for broken code, not slow machines.
void eventually(const std::function<bool()>& happened);

/// How many times fewer repetitions a sanitizer's build makes of what is repeated a lot.
constexpr int load_divisor() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return 10;
#else
  return 1;
#endif
}

/// No process of that number runs. One that has ended counts, whether its parent has taken notice or not.
bool has_ended(int pid);

/// The code of the Error that `call` throws; ok if it throws none.
feedproxy::Errc code_of(const std::function<void()>& call);

/// The next message, passing over nothing; waits. A gap or the end are returned as they come.
feedproxy::Pull next_message(feedproxy::Client& client, feedproxy::FeedId feed,
                             feedproxy::Message& message);
/// The next notice of that kind; others are passed over. false: none came.
bool next_notice(feedproxy::Client& client, feedproxy::Notice::Kind kind,
                 feedproxy::Notice& notice);

/// Reads numbered messages ({"n":1,...}) and checks that each follows the one before.
class Reading {
 public:
  Reading(feedproxy::Client& client, feedproxy::FeedId feed) : client_(client), feed_(feed) {}

  void until_number(std::uint64_t number);
  /// Reads what is there.
  void some();
  /// Reads until the feed says closed; returns how many messages there were.
  std::uint64_t until_closed();

  std::uint64_t messages = 0;
  std::uint64_t missed = 0;
  std::uint64_t missed_bytes = 0;
  std::uint64_t frame_bytes = 0;  // of the messages
  std::uint64_t wrong = 0;
  std::uint64_t gaps = 0;
  std::uint64_t last = 0;
  feedproxy::Gap last_gap;

 private:
  feedproxy::Pull one();
  feedproxy::Client& client_;
  feedproxy::FeedId feed_;
};

/// A process of the test's; killed with it.
class Process {
 public:
  explicit Process(const std::vector<std::string>& words);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill(int signal);
  /// A line of its standard output, without the end; empty at the end.
  std::string read_line();
  /// Waits for its end. Returns what waitpid() says.
  int wait();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
};

/// A folder for sockets and one proxy in it, started by the first client; both are gone at the end.
class ProxyFixture : public ::testing::Test {
 protected:
  ProxyFixture();
  ~ProxyFixture() override;

  /// A new client. throws feedproxy::Error.
  std::unique_ptr<feedproxy::Client> client(const std::string& name);
  /// A process of feedproxy_test_consumer: its words behind the socket's path.
  std::unique_ptr<Process> consumer(std::vector<std::string> words);
  [[nodiscard]] std::string program() const;
  /// What takes over from the running proxy: feedproxy --replace --detach, the proxy's other arguments, and `more`.
  [[nodiscard]] std::vector<std::string> successor(const std::vector<std::string>& more = {}) const;
  /// Runs it to the end. Returns its exit code; the proxy is the new one then.
  int replace(const std::vector<std::string>& more = {});
  void kill_proxy(int signal) const;
  /// What stands in the folder.
  [[nodiscard]] std::vector<std::string> files_left() const;
  /// Descriptors that the proxy has open.
  [[nodiscard]] std::size_t proxy_descriptors() const;

  std::string folder_;
  feedproxy::ClientOptions options_;
  int proxy_pid_ = -1;
};

}  // namespace feedbench::local::testing
