#include "reference/local/testing/proxy_fixture.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace feedbench::local::testing {
namespace {

using namespace std::chrono_literals;
using feedproxy::Pull;

constexpr auto kPatience = 60s;  // for broken code, not for slow machines

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  if (text.starts_with(R"({"n":)"))
    std::from_chars(text.data() + 5, text.data() + text.size(), number);
  return number;
}

std::string binaries() {
  const char* const given = std::getenv("FEEDBENCH_BIN");
  return given == nullptr ? "build/dev/bin" : given;
}

}  // namespace

void eventually(const std::function<bool()>& happened) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!happened()) {
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "it did not happen";
      return;
    }
    std::this_thread::sleep_for(2ms);
  }
}

bool has_ended(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return true;
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || line.substr(name_end + 2, 1) == "Z";
}

feedproxy::Errc code_of(const std::function<void()>& call) {
  try {
    call();
    return feedproxy::Errc::ok;
  } catch (const feedproxy::Error& error) {
    return error.code();
  }
}

Pull next_message(feedproxy::Client& client, feedproxy::FeedId feed, feedproxy::Message& message) {
  feedproxy::Gap gap;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const Pull pulled = client.next(feed, message, gap);
    if (pulled != Pull::none || std::chrono::steady_clock::now() > until) return pulled;
    client.wait(100ms);
  }
}

bool next_notice(feedproxy::Client& client, feedproxy::Notice::Kind kind,
                 feedproxy::Notice& notice) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    while (client.next_notice(notice))
      if (notice.kind == kind) return true;
    client.wait(10ms);
  }
  return false;
}

Pull Reading::one() {
  feedproxy::Message message;
  feedproxy::Gap gap;
  const Pull pulled = client_.next(feed_, message, gap);
  if (pulled == Pull::gap) {
    ++gaps;
    last_gap = gap;
    if (gap.missed_messages != feedproxy::kUnknown) missed += gap.missed_messages;
    missed_bytes += gap.missed_bytes;  // not known spoils every sum
  } else if (pulled == Pull::message) {
    const std::string copy(message.text());
    frame_bytes += message.frame->length;
    if (!message.intact()) {  // lapped while it was copied: never seen
      ++missed;
      return pulled;
    }
    const std::uint64_t number = number_of(copy);
    const std::uint64_t jump = number - last;
    if (number <= last || (gaps == 0 && last != 0 && jump != 1)) ++wrong;
    last = number;
    ++messages;
  }
  return pulled;
}

void Reading::until_number(std::uint64_t number) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (last < number) {
    const Pull pulled = one();
    if (pulled == Pull::closed) {
      ADD_FAILURE() << "the feed was closed at " << last;
      return;
    }
    if (pulled != Pull::none) continue;
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "nothing came after " << last << ", which is not " << number;
      return;
    }
    client_.wait(100ms);
  }
}

void Reading::some() {
  while (one() != Pull::none) {
  }
}

std::uint64_t Reading::until_closed() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (Pull pulled = one(); pulled != Pull::closed; pulled = one()) {
    if (pulled == Pull::none) client_.wait(10ms);
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "it was not closed";
      break;
    }
  }
  return messages;
}

Process::Process(const std::vector<std::string>& words) {
  std::vector<std::string> copy = words;
  std::vector<char*> arguments;
  for (std::string& word : copy) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const int failure =
      ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  out_ = ends[0];
  if (failure != 0) throw std::runtime_error("cannot start " + words[0]);
}

Process::~Process() {
  if (pid_ > 0) {
    kill(SIGKILL);
    wait();
  }
  ::close(out_);
}

void Process::kill(int signal) {
  if (pid_ > 0) ::kill(pid_, signal);
}

std::string Process::read_line() {
  std::string line;
  char byte = 0;
  while (::read(out_, &byte, 1) == 1 && byte != '\n') line += byte;
  return line;
}

int Process::wait() {
  int status = 0;
  if (pid_ > 0) ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

ProxyFixture::ProxyFixture() {
  char folder[] = "/tmp/feedproxy_test_XXXXXX";
  folder_ = ::mkdtemp(folder);
  options_.path = folder_ + "/proxy.sock";
  options_.spawn = {program(), "--linger-ms", "30000", "--backoff-first-ms", "5"};
  for (const char* const name : {"TESTRIGHT", "TESTWRONG"}) {
    const std::string value = std::string_view(name) == "TESTRIGHT" ? "right" : "wrong";
    ::setenv((std::string(name) + "_KEY").c_str(), value.c_str(), 1);
    ::setenv((std::string(name) + "_SECRET").c_str(), value.c_str(), 1);
  }
}

ProxyFixture::~ProxyFixture() {
  kill_proxy(SIGTERM);
  if (proxy_pid_ > 0) eventually([this] { return has_ended(proxy_pid_); });
  std::filesystem::remove_all(folder_);
}

std::unique_ptr<feedproxy::Client> ProxyFixture::client(const std::string& name) {
  auto made = std::make_unique<feedproxy::Client>(name, options_);
  proxy_pid_ = made->server_pid();
  return made;
}

std::unique_ptr<Process> ProxyFixture::consumer(std::vector<std::string> words) {
  words.insert(words.begin(), {binaries() + "/../tests/feedproxy_test_consumer", options_.path});
  return std::make_unique<Process>(words);
}

std::string ProxyFixture::program() const { return binaries() + "/feedproxy"; }

std::vector<std::string> ProxyFixture::successor(const std::vector<std::string>& more) const {
  std::vector<std::string> words = options_.spawn;
  words.insert(words.end(), {"--local-socket", options_.path, "--replace", "--detach"});
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

int ProxyFixture::replace(const std::vector<std::string>& more) {
  const int status = Process(successor(more)).wait();
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 0) client("who");  // notes the new one's number
  return code;
}

void ProxyFixture::kill_proxy(int signal) const {
  if (proxy_pid_ > 0) ::kill(proxy_pid_, signal);
}

std::vector<std::string> ProxyFixture::files_left() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    names.push_back(entry.path().filename());
  return names;
}

std::size_t ProxyFixture::proxy_descriptors() const {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(proxy_pid_) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace feedbench::local::testing
