#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

/// The static-name layout: `<path>.hdr` and `<path>.dat`, made beforehand, one producer, one
/// consumer. docs/rings.md describes it. Positions (cursor, published, sequence) are bytes since
/// the ring began; they only grow, in whole lines. Standard library and Linux alone.
namespace feedbench::rings {

inline constexpr std::uint64_t kHftShmMagic = 0x00024D4853544648ULL;  // "HFTSHM\x02\0"
inline constexpr std::uint8_t kHftShmVersion = 2;
inline constexpr std::size_t kHftShmLineBytes = 64;
inline constexpr std::size_t kHftShmEmbeddedFrames = 6;
inline constexpr std::size_t kHftShmFramesPerLine = 8;

/// The first 64 bytes of `<path>.hdr`, written once by whoever makes the files.
struct HftShmHeader {
  std::uint64_t magic;
  std::uint8_t version;
  std::uint8_t max_consumers;
  std::uint16_t event_size;  ///< 0: messages of any size.
  std::uint32_t producer_pid;
  std::uint32_t buffer_size;        ///< Bytes of the ring, a power of two.
  std::uint32_t producer_offset;    ///< Of the producer's section in this file.
  std::uint32_t consumer_0_offset;  ///< Of the consumer's.
  std::uint32_t header_size;        ///< Bytes of this file in use.
  std::uint32_t index_mask;         ///< buffer_size - 1.
  std::uint8_t log2[3];             ///< Of buffer_size, header_size and a line; not read here.
  std::uint8_t reserved[25];
};
static_assert(sizeof(HftShmHeader) == 64 && offsetof(HftShmHeader, index_mask) == 0x20 &&
              offsetof(HftShmHeader, log2) == 0x24);

/// Written by the producer alone.
struct HftShmProducerSection {
  std::atomic<std::int64_t> cursor;     ///< How far it may have written; raised before it writes.
  std::atomic<std::int64_t> published;  ///< Up to here batches are whole.
};
static_assert(sizeof(HftShmProducerSection) == 16);

struct HftShmConsumerSection {
  std::atomic<std::int64_t> sequence;  ///< How far it has read. The consumer writes it.
  std::atomic<std::uint8_t> dirty;     ///< 1: lapped. The producer sets it, the consumer clears it.
};
static_assert(sizeof(HftShmConsumerSection) == 16);

/// One frame of a batch. Offsets are from the batch's first byte of data.
struct HftShmFrame {
  std::uint32_t payload_start = 0;
  std::uint32_t payload_len = 0;
  bool operator==(const HftShmFrame&) const = default;
};

/// Bits of HftShmBatchHeader::status.
inline constexpr std::uint8_t kHftShmDisconnected = 1U << 0;
inline constexpr std::uint8_t kHftShmReconnect = 1U << 1;
inline constexpr std::uint8_t kHftShmText = 1U << 2;

/// One line; then the data in lines; then the descriptors beyond six, eight a line.
struct HftShmBatchHeader {
  std::uint16_t data_lines;
  std::uint16_t frame_count;  ///< 0 with data_lines 0: a status event.
  std::uint8_t status;
  std::uint8_t reserved[3];
  std::uint64_t commit_ticks;  ///< TSC.
  HftShmFrame frames[kHftShmEmbeddedFrames];
};
static_assert(sizeof(HftShmBatchHeader) == kHftShmLineBytes);

inline constexpr std::size_t kHftShmFramesMax = UINT16_MAX;
inline constexpr std::size_t kHftShmDataBytesMax = UINT16_MAX * kHftShmLineBytes;

constexpr std::uint64_t hft_shm_lines(std::uint64_t bytes) noexcept {
  return (bytes + kHftShmLineBytes - 1) / kHftShmLineBytes;
}
constexpr std::uint64_t hft_shm_descriptor_lines(std::uint64_t frames) noexcept {
  return frames <= kHftShmEmbeddedFrames
             ? 0
             : (frames - kHftShmEmbeddedFrames + kHftShmFramesPerLine - 1) / kHftShmFramesPerLine;
}
/// Bytes of the ring that a batch takes.
constexpr std::uint64_t hft_shm_batch_bytes(std::uint64_t data_bytes,
                                            std::uint64_t frames) noexcept {
  return (1 + hft_shm_lines(data_bytes) + hft_shm_descriptor_lines(frames)) * kHftShmLineBytes;
}

/// A string literal as a template argument. Names that are no plain file name do not compile.
template <std::size_t N>
struct HftShmLiteral {
  char text[N]{};
  consteval HftShmLiteral(const char (&from)[N]) {  // NOLINT: a literal is meant to convert
    std::copy_n(from, N, text);
    const std::string_view name(text, N - 1);
    if (name.empty() || name.size() > 200 || name.front() == '.' ||
        name.find('/') != std::string_view::npos) {
      throw "a segment's name is a file name: not empty, no '/', no '.' in front";
    }
  }
};
template <HftShmLiteral Name>
struct HftShmName {};
/// HftShmPath(hft_shm_name<"btcusdt.rx">)
template <HftShmLiteral Name>
inline constexpr HftShmName<Name> hft_shm_name{};

/// Where a segment's two files are: a path known at run time, or a name known at compile time,
/// which stands for /dev/shm/hft/<name>.
class HftShmPath {
 public:
  HftShmPath(std::string path) : path_(std::move(path)) {}  // NOLINT: both are meant to convert
  HftShmPath(const char* path) : path_(path) {}             // NOLINT
  template <HftShmLiteral Name>
  HftShmPath(HftShmName<Name>)  // NOLINT
      : path_(std::string("/dev/shm/hft/") + Name.text) {}

  [[nodiscard]] const std::string& base() const noexcept { return path_; }
  [[nodiscard]] std::string header_file() const { return path_ + ".hdr"; }
  [[nodiscard]] std::string data_file() const { return path_ + ".dat"; }

 private:
  std::string path_;
};

}  // namespace feedbench::rings
