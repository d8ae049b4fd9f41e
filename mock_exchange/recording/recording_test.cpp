#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "mock_exchange/recording/recording_reader.hpp"
#include "mock_exchange/recording/recording_writer.hpp"
#include "mock_exchange/recording/test_files.hpp"

namespace feedbench::recording {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using namespace testing_support;

constexpr std::string_view kGoodLine =
    R"({"t_ns":1723161254024619568,"conn":"/stream","dir":"rx","data":"{\"e\":1}"})";

/// Reads to the end. returns the error's text, or nothing.
std::string read_all(const std::filesystem::path& path, std::vector<Frame>& frames) {
  auto reader = RecordingReader::open(path);
  if (!reader) return reader.error().message;
  for (Frame frame;;) {
    const auto more = reader->next(frame);
    if (!more) return more.error().message;
    if (!*more) return {};
    frames.push_back(frame);
  }
}

class RecordingReaderTest : public testing::Test {
 protected:
  /// The error that a file of these bytes gives.
  std::string error_of(std::string_view bytes, std::string_view name = "session.jsonl") {
    write_bytes(folder_ / name, bytes);
    frames_.clear();
    return read_all(folder_ / name, frames_);
  }
  std::string error_of_line(std::string_view line) { return error_of(std::string(line) + "\n"); }

  TemporaryFolder folder_;
  std::vector<Frame> frames_;
};

TEST_F(RecordingReaderTest, ReadsAPlainFileAndACompressedOneAlike) {
  const std::string text = std::string(kGoodLine) + "\n" + std::string(kGoodLine) + "\n";
  ASSERT_EQ(error_of(text), "");
  const auto plain = frames_;
  ASSERT_EQ(error_of(zstd(text), "session.jsonl.zst"), "");
  EXPECT_EQ(frames_, plain);
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_EQ(plain[0].t_ns, 1723161254024619568);
  EXPECT_EQ(plain[0].conn, "/stream");
  EXPECT_EQ(plain[0].dir, Direction::rx);
  EXPECT_FALSE(plain[0].binary);
  EXPECT_EQ(plain[0].data, R"({"e":1})");
}

TEST_F(RecordingReaderTest, TellsCompressionByTheFirstBytesAndNotByTheName) {
  EXPECT_EQ(error_of(zstd(std::string(kGoodLine) + "\n"), "compressed-without-zst-in-its-name"),
            "");
  EXPECT_EQ(frames_.size(), 1U);
  EXPECT_THAT(error_of(kGoodLine, "plain.jsonl.zst"), HasSubstr("does not begin like zstd data"));
}

TEST_F(RecordingReaderTest, ReadsSeveralZstdFramesInARowAsOneFile) {
  const std::string part = zstd(std::string(kGoodLine) + "\n");
  EXPECT_EQ(error_of(part + part + part, "appended.jsonl.zst"), "");
  EXPECT_EQ(frames_.size(), 3U);
}

TEST_F(RecordingReaderTest, TakesKeysInAnyOrderAndPassesOverUnknownOnesAndBlankLines) {
  EXPECT_EQ(error_of("\n"
                     R"({"data":"x","note":{"a":[1,2]},"dir":"tx","conn":"/ws","t_ns":-5})"
                     "\r\n  \n"),
            "");
  ASSERT_EQ(frames_.size(), 1U);
  EXPECT_EQ(frames_[0], (Frame{-5, Direction::tx, false, "/ws", "x"}));
}

TEST_F(RecordingReaderTest, AcceptsAWholeLastLineWithoutItsNewline) {
  EXPECT_EQ(error_of(kGoodLine), "");
  EXPECT_EQ(frames_.size(), 1U);
}

TEST_F(RecordingReaderTest, GivesNoFrameForAnEmptyPlainFile) {
  EXPECT_EQ(error_of(""), "");
  EXPECT_TRUE(frames_.empty());
}

TEST_F(RecordingReaderTest, UnescapesTextToTheBytesOfTheWire) {
  ASSERT_EQ(
      error_of_line(
          R"({"t_ns":1,"conn":"\/ws","dir":"rx","data":"\"\\\/\b\f\n\r\t\u0000\u00e4\ud83d\ude00ä"})"),
      "");
  ASSERT_EQ(frames_.size(), 1U);
  EXPECT_EQ(frames_[0].conn, "/ws");
  EXPECT_EQ(frames_[0].data,
            std::string("\"\\/\b\f\n\r\t\0", 9) + "\xc3\xa4\xf0\x9f\x98\x80\xc3\xa4");
}

TEST_F(RecordingReaderTest, DecodesBinaryPayloads) {
  ASSERT_EQ(error_of_line(R"({"t_ns":1,"conn":"/","dir":"rx","data_b64":"AP+A"})"), "");
  ASSERT_EQ(frames_.size(), 1U);
  EXPECT_TRUE(frames_[0].binary);
  EXPECT_EQ(frames_[0].data, std::string("\0\xff\x80", 3));
}

TEST_F(RecordingReaderTest, NamesAMissingFileAndTheCause) {
  EXPECT_THAT(read_all(folder_ / "nowhere.jsonl", frames_),
              AllOf(HasSubstr("nowhere.jsonl"), HasSubstr("No such file or directory")));
  auto reader = RecordingReader::open(folder_ / "nowhere.jsonl");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().os_error, ENOENT);
}

TEST_F(RecordingReaderTest, RefusesAFolder) {
  EXPECT_THAT(read_all(folder_ / ".", frames_), HasSubstr("Is a directory"));
}

TEST_F(RecordingReaderTest, NamesTheLineOfACutOffLastLine) {
  const std::string text = std::string(kGoodLine) + "\n" + std::string(kGoodLine.substr(0, 40));
  EXPECT_THAT(error_of(text),
              AllOf(HasSubstr("session.jsonl, line 2:"), HasSubstr("the line is cut off")));
  EXPECT_EQ(frames_.size(), 1U);
}

TEST_F(RecordingReaderTest, FindsEveryPlaceWhereTheLastLineCanBeCutOff) {
  for (std::size_t bytes = 1; bytes < kGoodLine.size(); ++bytes) {
    EXPECT_THAT(error_of(kGoodLine.substr(0, bytes)), HasSubstr("line 1: the line is cut off"))
        << bytes << " bytes";
  }
}

TEST_F(RecordingReaderTest, SaysThatCompressedDataIsCutOffWhereverThatIs) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += std::string(kGoodLine) + "\n";
  const std::string whole = zstd(text);
  for (std::size_t bytes = 4; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(error_of(whole.substr(0, bytes), "cut.jsonl.zst"),
                HasSubstr("the zstd data is cut off"))
        << bytes << " of " << whole.size() << " bytes";
  }
}

TEST_F(RecordingReaderTest, SaysThatCompressedDataIsCorrupt) {
  TemporaryFolder folder;
  auto writer = RecordingWriter::create(folder / "good.jsonl.zst");
  ASSERT_TRUE(writer);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(writer->write(Frame{i, Direction::rx, false, "/ws", std::to_string(i * 7919)}));
  }
  ASSERT_TRUE(writer->close());
  std::string bytes = read_bytes(folder / "good.jsonl.zst");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  EXPECT_THAT(error_of(bytes, "corrupt.jsonl.zst"),
              AllOf(HasSubstr("corrupt.jsonl.zst, line "), HasSubstr("corrupt zstd data")));
}

TEST_F(RecordingReaderTest, NamesWhatIsWrongWithALine) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"t_ns":"1","conn":"/","dir":"rx","data":""})", "\"t_ns\" must be an integer of 64 bits"},
      {R"({"t_ns":1.5,"conn":"/","dir":"rx","data":""})", "found a fraction"},
      {R"({"t_ns":9223372036854775808,"conn":"/","dir":"rx","data":""})",
       "\"t_ns\" must be an integer of 64 bits"},
      {R"({"t_ns":1,"conn":null,"dir":"rx","data":""})", "\"conn\" must be a string, found null"},
      {R"({"t_ns":1,"conn":"/","dir":3,"data":""})", "\"dir\" must be a string, found an integer"},
      {R"({"t_ns":1,"conn":"/","dir":"up","data":""})",
       "\"dir\" must be \"rx\" or \"tx\", found \"up\""},
      {R"({"t_ns":1,"conn":"/","dir":"rx","data":{}})",
       "\"data\" must be a string, found an object"},
      {R"({"t_ns":1,"conn":"/","dir":"rx","data_b64":"a"})", "\"data_b64\" is not valid base64"},
      {R"({"conn":"/","dir":"rx","data":""})", "\"t_ns\" is missing"},
      {R"({"t_ns":1,"dir":"rx","data":""})", "\"conn\" is missing"},
      {R"({"t_ns":1,"conn":"/","data":""})", "\"dir\" is missing"},
      {R"({"t_ns":1,"conn":"/","dir":"rx"})", "\"data\" (or \"data_b64\") is missing"},
      {R"({"t_ns":1,"conn":"/","dir":"rx","data":"","data_b64":""})", "stand side by side"},
      {R"({"t_ns":1,"t_ns":2,"conn":"/","dir":"rx","data":""})", "\"t_ns\" stands there twice"},
      {R"([1,2])", "must be an object such as {\"t_ns\":...}, found an array"},
      {R"(hello)", "not JSON"},
      {"{\"t_ns\":1,\"conn\":\"/\",\"dir\":\"rx\",\"data\":\"\xff\"}", "not JSON"},
      {R"({"t_ns":1,"conn":"/","dir":"rx","data":"a"} x)", "not JSON"},
  };
  for (const auto& [line, what] : cases) {
    const std::string error = error_of(std::string(kGoodLine) + "\n" + std::string(line) + "\n");
    EXPECT_THAT(error, AllOf(HasSubstr("session.jsonl, line 2: "), HasSubstr(std::string(what))))
        << line;
  }
}

TEST_F(RecordingReaderTest, ReadsLinesLargerThanItsBuffersAndCountsThem) {
  Frame large{1, Direction::rx, false, "/ws", std::string(5'000'000, 'x')};
  std::string text;
  append_line(large, text);
  text += std::string(kGoodLine) + "\n";
  for (const auto* name : {"large.jsonl", "large.jsonl.zst"}) {
    const bool compressed = std::string_view(name).ends_with("zst");
    ASSERT_EQ(error_of(compressed ? zstd(text) : text, name), "");
    ASSERT_EQ(frames_.size(), 2U);
    EXPECT_EQ(frames_[0], large);
  }
}

class RecordingWriterTest : public testing::TestWithParam<const char*> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(RecordingWriterTest, GivesBackEveryFrameByteForByte) {
  std::vector<Frame> frames = {
      {0, Direction::rx, false, "/stream", ""},
      {INT64_MAX, Direction::tx, false, "/ws/\"quoted\\", R"({"stream":"a","data":{"b":"\\\""}})"},
      {INT64_MIN, Direction::rx, false, "", std::string("\0\x01\x1f\x7f \b\f\n\r\t", 10)},
      {5, Direction::rx, false, "/", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
  };
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes += static_cast<char>(byte);
  for (std::size_t size = 0; size <= 4; ++size) {
    frames.push_back({6, Direction::rx, true, "/", all_bytes.substr(253 - size, size)});
  }
  frames.push_back({7, Direction::rx, true, "/", all_bytes});
  const auto path = folder_ / GetParam();
  auto writer = RecordingWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  for (const Frame& frame : frames) ASSERT_TRUE(writer->write(frame));
  EXPECT_EQ(writer->frames(), frames.size());
  ASSERT_TRUE(writer->close());
  std::vector<Frame> read;
  EXPECT_EQ(read_all(path, read), "");
  EXPECT_EQ(read, frames);
}

TEST_P(RecordingWriterTest, EndsTheFileWhenItIsDroppedUnclosed) {
  const auto path = folder_ / GetParam();
  {
    auto writer = RecordingWriter::create(path);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write(Frame{1, Direction::rx, false, "/", "kept"}));
  }
  std::vector<Frame> read;
  EXPECT_EQ(read_all(path, read), "");
  EXPECT_EQ(read.size(), 1U);
}

TEST_P(RecordingWriterTest, RefusesTextThatIsNotUtf8AndGoesOn) {
  const auto path = folder_ / GetParam();
  auto writer = RecordingWriter::create(path);
  ASSERT_TRUE(writer);
  const auto refused = writer->write(Frame{1, Direction::rx, false, "/", "\xff"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not valid UTF-8"));
  ASSERT_TRUE(writer->write(Frame{2, Direction::rx, true, "/", "\xff"}));
  ASSERT_TRUE(writer->close());
  EXPECT_FALSE(writer->write(Frame{})) << "the file is closed";
  std::vector<Frame> read;
  EXPECT_EQ(read_all(path, read), "");
  EXPECT_EQ(read.size(), 1U);
}

TEST_P(RecordingWriterTest, NamesAPlaceThatCannotBeWritten) {
  const auto writer = RecordingWriter::create(folder_ / "no" / GetParam());
  ASSERT_FALSE(writer);
  EXPECT_THAT(writer.error().message, HasSubstr("No such file or directory"));
}

INSTANTIATE_TEST_SUITE_P(PlainAndCompressed, RecordingWriterTest,
                         testing::Values("session.jsonl", "session.jsonl.zst"),
                         [](const auto& suite) { return suite.index == 0 ? "plain" : "zstd"; });

TEST(RecordingWriterDisk, SaysThatTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "/dev/full is not there";
  auto writer = RecordingWriter::create("/dev/full");
  ASSERT_TRUE(writer);
  auto done = writer->write(Frame{1, Direction::rx, false, "/", std::string(100'000, 'x')});
  if (done) done = writer->close();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("No space left on device"));
}

TEST(RealRecordings, SurviveReadingAndWritingLineByLine) {
  const auto path = real_recordings_folder() / "binance-spot-4sym-20211012.jsonl.zst";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << path << " is not there (set FEEDBENCH_RECORDINGS)";
  TemporaryFolder folder;
  std::vector<Frame> frames, again;
  ASSERT_EQ(read_all(path, frames), "");
  auto writer = RecordingWriter::create(folder / "again.jsonl.zst");
  ASSERT_TRUE(writer);
  for (const Frame& frame : frames) ASSERT_TRUE(writer->write(frame));
  ASSERT_TRUE(writer->close());
  ASSERT_EQ(read_all(folder / "again.jsonl.zst", again), "");
  EXPECT_EQ(frames.size(), 265U);
  EXPECT_EQ(again, frames);
}

}  // namespace
}  // namespace feedbench::recording
