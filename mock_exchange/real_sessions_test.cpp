// Every real session that is at hand goes through the exchange to a client, byte for byte.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "mock_exchange/load_session.hpp"
#include "mock_exchange/recording/recording_reader.hpp"
#include "mock_exchange/testing/exchange_fixture.hpp"

namespace feedbench::mock_exchange::testing {
namespace {

using venues::Venue;

/// The frames of a file as the reader gives them, without anything of the exchange's own.
std::vector<std::string> recorded_texts(const std::filesystem::path& path) {
  auto reader = recording::RecordingReader::open(path).value();
  recording::Frame frame;
  std::vector<std::string> texts;
  while (reader.next(frame).value()) texts.push_back(frame.data);
  return texts;
}

class RealSessions : public ExchangeTest {
 protected:
  static std::vector<std::filesystem::path> sessions() {
    const char* folder = std::getenv("FEEDBENCH_RECORDINGS");
    std::vector<std::filesystem::path> found;
    if (folder == nullptr || !std::filesystem::is_directory(folder)) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      const bool timed = name.find(".rest.") == std::string::npos &&
                         name.find("single-frames") == std::string::npos;
      if (name.ends_with(".jsonl.zst") && timed) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
};

TEST_F(RealSessions, ReplayByteForByteOnTheCombinedPath) {
  if (sessions().empty()) GTEST_SKIP() << "FEEDBENCH_RECORDINGS names no folder with real sessions";
  for (const auto& path : sessions()) {
    SCOPED_TRACE(path.filename());
    const auto session = load_session(path, Venue::binance).value();
    serve(options_for(Venue::binance, session));
    std::string target = "/stream?streams=";
    for (const std::string& topic : session->topics()) target += topic + "/";
    const BeastClient& client = connect(target);
    const auto expected = recorded_texts(path);
    run_until_messages(client, expected.size());
    ASSERT_TRUE(client.messages() == expected);
    clients_.clear();
  }
}

TEST_F(RealSessions, GiveOneStreamToWhoAsksForOne) {
  if (sessions().empty()) GTEST_SKIP() << "FEEDBENCH_RECORDINGS names no folder with real sessions";
  for (const auto& path : sessions()) {
    SCOPED_TRACE(path.filename());
    const auto session = load_session(path, Venue::binance).value();
    const std::string& stream = session->topics()[1];
    std::vector<std::string> expected = recorded_texts(path);
    std::erase_if(expected, [&](const std::string& text) {
      return !text.starts_with(R"({"stream":")" + stream + "\"");
    });
    // The raw form is the value of "data", by the venue's documentation.
    const std::size_t head = std::string(R"({"stream":"","data":)").size() + stream.size();
    for (std::string& text : expected) text = text.substr(head, text.size() - head - 1);
    serve(options_for(Venue::binance, session));
    const BeastClient& client = connect("/ws/" + stream);
    run_until_messages(client, expected.size());
    ASSERT_TRUE(client.messages() == expected);
    clients_.clear();
  }
}

}  // namespace
}  // namespace feedbench::mock_exchange::testing
