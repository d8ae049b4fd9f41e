#include "mock_exchange/load_session.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mock_exchange/recording/recording_writer.hpp"

namespace feedbench::mock_exchange {
namespace {

using recording::Direction;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using venues::Venue;

class LoadSession : public ::testing::Test {
 protected:
  LoadSession() {
    std::string name = (std::filesystem::temp_directory_path() / "feedbench-load-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = name;
  }
  ~LoadSession() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path write(const std::vector<recording::Frame>& frames,
                              const char* name = "session.jsonl.zst") {
    const auto path = directory_ / name;
    auto writer = recording::RecordingWriter::create(path).value();
    for (const auto& frame : frames) EXPECT_TRUE(writer.write(frame));
    EXPECT_TRUE(writer.close());
    return path;
  }
  static recording::Frame frame(std::int64_t t_ns, std::string data, std::string conn = "/stream",
                                Direction dir = Direction::rx) {
    recording::Frame made;
    made.t_ns = t_ns;
    made.dir = dir;
    made.conn = std::move(conn);
    made.data = std::move(data);
    return made;
  }
  static std::vector<std::string> texts(const PreparedSession& session) {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < session.frame_count(); ++i) all.emplace_back(session.text(i));
    return all;
  }
  static std::string topic_of(const PreparedSession& session, std::size_t index) {
    return session.topics()[session.frames()[index].topic];
  }
  std::filesystem::path directory_;
};

TEST_F(LoadSession, TakesBinanceFramesWithTheirStreams) {
  const auto path = write({frame(1000, R"({"stream":"btcusdt@trade","data":{"e":"trade"}})"),
                           frame(3000, R"({"stream":"btcusdt@depth@100ms","data":{}})")});
  const auto session = load_session(path, Venue::binance).value();
  EXPECT_THAT(texts(*session), ElementsAre(R"({"stream":"btcusdt@trade","data":{"e":"trade"}})",
                                           R"({"stream":"btcusdt@depth@100ms","data":{}})"));
  EXPECT_EQ(topic_of(*session, 0), "btcusdt@trade");
  EXPECT_EQ(topic_of(*session, 1), "btcusdt@depth@100ms");
  EXPECT_EQ(session->span_ns(), 2000);
}

TEST_F(LoadSession, NamesRawFramesByTheirConnectionOrTheirEvent) {
  const auto path =
      write({frame(0, R"({"lastUpdateId":1,"bids":[],"asks":[]})", "/ws/btcusdt@depth5"),
             frame(0, R"({"e":"trade","E":1,"s":"ETHUSDT"})", "/ws")});
  const auto session = load_session(path, Venue::binance).value();
  EXPECT_EQ(topic_of(*session, 0), "btcusdt@depth5");
  EXPECT_EQ(topic_of(*session, 1), "ethusdt@trade");
}

TEST_F(LoadSession, LeavesOutWhatTheRecorderSentAndTheAnswersToIt) {
  const auto path = write(
      {frame(0, R"({"method":"SUBSCRIBE","params":["a@trade"],"id":1})", "/stream", Direction::tx),
       frame(0, R"({"result":null,"id":1})"), frame(0, R"({"stream":"a@trade","data":1})")});
  EXPECT_EQ(load_session(path, Venue::binance).value()->frame_count(), 1U);
  EXPECT_EQ(load_session(path, Venue::raw).value()->frame_count(), 2U);
}

TEST_F(LoadSession, TakesOneConnectionOfSeveral) {
  const auto path = write({frame(0, "a", "/one"), frame(1, "b", "/two"), frame(2, "c", "/one")});
  EXPECT_THAT(texts(*load_session(path, Venue::raw, {.conn = "/one"}).value()),
              ElementsAre("a", "c"));
  EXPECT_THAT(texts(*load_session(path, Venue::raw).value()), ElementsAre("a", "b", "c"));
}

TEST_F(LoadSession, StopsAfterTheMostFrames) {
  const auto path = write({frame(0, "a"), frame(1, "b"), frame(2, "c")});
  EXPECT_THAT(texts(*load_session(path, Venue::raw, {.conn = {}, .frames_max = 2}).value()),
              ElementsAre("a", "b"));
}

TEST_F(LoadSession, SplitsAlpacaFramesIntoTheirElements) {
  const std::string mixed = R"([{"T":"t","S":"AAPL","c":["@"]}, {"T":"q","S":"MSFT","x":"],{"}])";
  const auto path = write({frame(0, R"([{"T":"success","msg":"connected"}])"), frame(1, mixed),
                           frame(2, R"([{"T":"b","S":"AAPL"},{"T":"b","S":"AAPL"}])")});
  const auto session = load_session(path, Venue::alpaca).value();
  ASSERT_EQ(session->frame_count(), 2U);
  const auto elements = session->elements(session->frames()[0]);
  ASSERT_EQ(elements.size(), 2U);
  EXPECT_EQ(session->topics()[elements[0].topic], "trades:AAPL");
  EXPECT_EQ(session->topics()[elements[1].topic], "quotes:MSFT");
  EXPECT_EQ(session->text(0).substr(elements[1].offset, elements[1].length),
            R"({"T":"q","S":"MSFT","x":"],{"})");
  EXPECT_EQ(topic_of(*session, 1), "bars:AAPL");
}

TEST_F(LoadSession, AnyTextIsSafeAsAnAlpacaFrame) {
  std::vector<recording::Frame> frames;
  for (const char* text :
       {"", "[", "[]", "[}", "[,,]", "{", "[{\"T\":\"t\"", "null", "[1,2]", "[{\"T\":\"t\"}]"}) {
    frames.push_back(frame(0, text));
  }
  const auto session = load_session(write(frames), Venue::alpaca).value();
  EXPECT_EQ(session->frame_count(), frames.size());
}

TEST_F(LoadSession, KeepsBinaryFramesBinary) {
  recording::Frame binary = frame(0, std::string("\x00\xff", 2));
  binary.binary = true;
  const auto session = load_session(write({binary}), Venue::raw).value();
  EXPECT_TRUE(session->frames()[0].binary);
  EXPECT_EQ(session->text(0), std::string("\x00\xff", 2));
}

TEST_F(LoadSession, AFileThatIsNotThereIsOneSentenceWithItsName) {
  const auto session = load_session(directory_ / "nothing.jsonl", Venue::raw);
  ASSERT_FALSE(session);
  EXPECT_THAT(session.error().message, HasSubstr("nothing.jsonl"));
  EXPECT_NE(session.error().os_error, 0);
}

TEST_F(LoadSession, ATruncatedFileIsOneSentence) {
  const auto path = write({frame(0, std::string(5000, 'x')), frame(0, "b")});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  const auto session = load_session(path, Venue::raw);
  ASSERT_FALSE(session);
  EXPECT_THAT(session.error().message, HasSubstr("session.jsonl.zst"));
}

TEST_F(LoadSession, SaysWhyThereIsNothingToReplay) {
  const auto only_answers = write({frame(0, R"({"result":null,"id":1})")});
  EXPECT_THAT(load_session(only_answers, Venue::binance).error().message,
              HasSubstr("no line of it is a market-data"));
  EXPECT_THAT(load_session(only_answers, Venue::raw, {.conn = "/other"}).error().message,
              HasSubstr("no frame is of connection '/other'"));
  const auto empty = directory_ / "empty.jsonl";
  std::ofstream{empty};
  EXPECT_THAT(load_session(empty, Venue::raw).error().message, HasSubstr("empty"));
}

TEST_F(LoadSession, ARecordingOfAnotherVenueIsOneSentenceWithWhatWasFoundAndWhatWasAskedFor) {
  for (const char* text :
       {R"({"stream":"a@trade","data":1})", R"({"e":"trade","E":1,"s":"ETHUSDT"})",
        R"({"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"})", R"({"result":null,"id":1})"}) {
    const auto wrong = load_session(write({frame(0, text)}), Venue::alpaca);
    ASSERT_FALSE(wrong) << text;
    EXPECT_THAT(wrong.error().message,
                HasSubstr("session.jsonl.zst: line 1 is a frame of binance, and was to be replayed "
                          "as --venue alpaca (say --venue binance"));
    EXPECT_EQ(wrong.error().os_error, 0);
    EXPECT_TRUE(load_session(write({frame(0, text)}), Venue::raw));
  }
  for (const char* text : {R"([{"T":"success","msg":"connected"}])", R"([{"T":"t","S":"AAPL"}])",
                           R"([{"S":"BTC/USD","T":"q"}])"}) {
    const auto wrong =
        load_session(write({frame(0, text)}), Venue::binance, {.conn = {}, .venue_key = "venue: "});
    ASSERT_FALSE(wrong) << text;
    EXPECT_THAT(wrong.error().message,
                HasSubstr("is a frame of alpaca, and was to be replayed as venue: binance (say "
                          "venue: alpaca"));
  }
}

TEST_F(LoadSession, ARecordingOfTwoVenuesIsTakenOneConnectionAtATime) {
  const auto path = write({frame(0, R"({"stream":"a@trade","data":1})"),
                           frame(1, R"([{"T":"t","S":"AAPL"}])", "/v2/sip")});
  EXPECT_THAT(load_session(path, Venue::binance).error().message,
              HasSubstr("line 2 is a frame of alpaca"));
  EXPECT_THAT(load_session(path, Venue::binance).error().message, HasSubstr("one connection"));
  EXPECT_EQ(load_session(path, Venue::binance, {.conn = "/stream"}).value()->frame_count(), 1U);
  EXPECT_EQ(load_session(path, Venue::alpaca, {.conn = "/v2/sip"}).value()->frame_count(), 1U);
}

TEST_F(LoadSession, GivesTheFormThatWasRecordedWithoutACopy) {
  const auto path = write({frame(0, R"({"stream":"a@trade","data":{"n":1}})")});
  const auto session = load_session(path, Venue::binance).value();
  EXPECT_EQ(in_binance_form(session, true), session);
  const auto raw = in_binance_form(session, false);
  EXPECT_THAT(texts(*raw), ElementsAre(R"({"n":1})"));
  EXPECT_EQ(topic_of(*raw, 0), "a@trade");
  EXPECT_EQ(in_binance_form(raw, false), raw);
  EXPECT_THAT(texts(*in_binance_form(raw, true)),
              ElementsAre(R"({"stream":"a@trade","data":{"n":1}})"));
}

}  // namespace
}  // namespace feedbench::mock_exchange
