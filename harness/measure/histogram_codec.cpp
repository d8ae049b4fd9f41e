#include "harness/measure/histogram_codec.hpp"

#include <zlib.h>

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>

#include "harness/measure/base64.hpp"

namespace feedbench::measure {
namespace {

constexpr std::uint32_t kPlainCookie = 0x1c849303 | 0x10;
constexpr std::uint32_t kDeflatedCookie = 0x1c849304 | 0x10;
constexpr std::size_t kHeaderBytes = 40;
constexpr std::size_t kLargestDecodedBytes = std::size_t{64} << 20;
/// A whole histogram of the largest range accepted, each count in its longest form.
constexpr std::size_t kLargestPlainBytes = kHeaderBytes + kLargestDecodedBytes / 8 * 9;

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string("histogram: ") + what);
}

void put_big_endian(std::vector<std::byte>& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::byte>(value >> shift & 0xff));
  }
}

/// ZigZag, then seven bits a byte, least significant first; a ninth byte carries the last eight
/// bits whole.
void put_zigzag(std::vector<std::byte>& out, std::int64_t value) {
  std::uint64_t rest =
      (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
  for (int i = 0; i < 8; ++i) {
    if (rest < 0x80) {
      out.push_back(static_cast<std::byte>(rest));
      return;
    }
    out.push_back(static_cast<std::byte>((rest & 0x7f) | 0x80));
    rest >>= 7;
  }
  out.push_back(static_cast<std::byte>(rest));
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }

  std::uint64_t big_endian(std::size_t bytes) {
    if (left() < bytes) fail("its encoding ends inside the header");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value = value << 8 | std::to_integer<std::uint64_t>(bytes_[i]);
    }
    bytes_ = bytes_.subspan(bytes);
    return value;
  }

  std::int64_t zigzag() {
    std::uint64_t value = 0;
    for (int i = 0; i < 9; ++i) {
      if (bytes_.empty()) fail("its encoding ends inside a count");
      const auto byte = std::to_integer<std::uint64_t>(bytes_.front());
      bytes_ = bytes_.subspan(1);
      if (i == 8) {
        value |= byte << 56;
        break;
      }
      value |= (byte & 0x7f) << (7 * i);
      if ((byte & 0x80) == 0) break;
    }
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }

  std::span<const std::byte> take(std::size_t bytes) {
    const auto taken = bytes_.first(bytes);
    bytes_ = bytes_.subspan(bytes);
    return taken;
  }

 private:
  std::span<const std::byte> bytes_;
};

std::vector<std::byte> inflate_all(std::span<const std::byte> deflated) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) fail("zlib could not be started");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(deflated.data()));
  stream.avail_in = static_cast<uInt>(deflated.size());
  std::vector<std::byte> plain;
  std::array<std::byte, 16'384> chunk{};
  int status = Z_OK;
  while (status == Z_OK && plain.size() < kLargestPlainBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    const auto produced = static_cast<std::ptrdiff_t>(chunk.size() - stream.avail_out);
    plain.insert(plain.end(), chunk.begin(), chunk.begin() + produced);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END) fail("its compressed counts are damaged");
  return plain;
}

HistogramRange read_range(Reader& reader) {
  HistogramRange range;
  const std::uint64_t offset = reader.big_endian(4);
  const std::uint64_t digits = reader.big_endian(4);
  const std::uint64_t lowest = reader.big_endian(8);
  const std::uint64_t highest = reader.big_endian(8);
  const auto ratio = std::bit_cast<double>(reader.big_endian(8));
  if (offset != 0) fail("its encoding is shifted (normalizing offset), which is not supported");
  if (ratio != 1.0)
    fail("its encoding holds scaled (floating-point) values, which is not supported");
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (digits < 1 || digits > 5 || lowest < 1 || lowest > kLargest / 2 || highest > kLargest ||
      highest / 2 < lowest) {
    fail("its encoding gives a range that makes no sense");
  }
  range.significant_digits = static_cast<int>(digits);
  range.lowest_discernible = static_cast<std::int64_t>(lowest);
  range.highest_trackable = static_cast<std::int64_t>(highest);
  if (Histogram::counts_needed(range) * sizeof(std::uint64_t) > kLargestDecodedBytes) {
    fail("its encoding asks for more than 64 MiB of counts");
  }
  return range;
}

Histogram decode_plain(Reader reader) {
  const std::uint64_t payload_bytes = reader.big_endian(4);
  Histogram histogram(read_range(reader));
  if (payload_bytes > reader.left()) fail("its encoding is shorter than its header says");
  Reader payload(reader.take(payload_bytes));
  std::size_t index = 0;
  while (payload.left() > 0) {
    const std::int64_t value = payload.zigzag();
    const std::size_t room = histogram.counts_size() - index;
    if (value < 0) {
      const std::uint64_t zeros = 0 - static_cast<std::uint64_t>(value);
      if (zeros > room) fail("its encoding holds more counts than its range");
      index += zeros;
    } else {
      if (room == 0) fail("its encoding holds more counts than its range");
      histogram.add_to_bucket(index++, static_cast<std::uint64_t>(value));
    }
  }
  return histogram;
}

}  // namespace

std::vector<std::byte> encode_v2(const Histogram& histogram) {
  const auto counts = histogram.counts();
  std::size_t used = counts.size();
  while (used > 0 && counts[used - 1] == 0) --used;

  std::vector<std::byte> payload;
  for (std::size_t index = 0; index < used;) {
    if (counts[index] != 0) {
      put_zigzag(payload, static_cast<std::int64_t>(counts[index++]));
      continue;
    }
    const std::size_t first = index;
    while (index < used && counts[index] == 0) ++index;
    const auto zeros = static_cast<std::int64_t>(index - first);
    put_zigzag(payload, zeros > 1 ? -zeros : 0);
  }
  // An empty histogram is one zero count: readers of the format expect a payload.
  if (used == 0) put_zigzag(payload, 0);

  const HistogramRange& range = histogram.range();
  std::vector<std::byte> out;
  out.reserve(kHeaderBytes + payload.size());
  put_big_endian(out, kPlainCookie, 4);
  put_big_endian(out, payload.size(), 4);
  put_big_endian(out, 0, 4);
  put_big_endian(out, static_cast<std::uint64_t>(range.significant_digits), 4);
  put_big_endian(out, static_cast<std::uint64_t>(range.lowest_discernible), 8);
  put_big_endian(out, static_cast<std::uint64_t>(range.highest_trackable), 8);
  put_big_endian(out, std::bit_cast<std::uint64_t>(1.0), 8);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

std::string encode_v2_base64(const Histogram& histogram) {
  const std::vector<std::byte> plain = encode_v2(histogram);
  uLongf deflated_bytes = compressBound(static_cast<uLong>(plain.size()));
  std::vector<std::byte> deflated(deflated_bytes);
  if (compress2(reinterpret_cast<Bytef*>(deflated.data()), &deflated_bytes,
                reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()),
                Z_DEFAULT_COMPRESSION) != Z_OK) {
    fail("zlib could not compress its counts");
  }
  std::vector<std::byte> out;
  out.reserve(8 + deflated_bytes);
  put_big_endian(out, kDeflatedCookie, 4);
  put_big_endian(out, deflated_bytes, 4);
  out.insert(out.end(), deflated.begin(),
             deflated.begin() + static_cast<std::ptrdiff_t>(deflated_bytes));
  return base64_encode(out);
}

Histogram decode_v2(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  const std::uint64_t cookie = reader.big_endian(4);
  if (cookie == kPlainCookie) return decode_plain(reader);
  if (cookie != kDeflatedCookie) fail("its encoding is not HdrHistogram V2");
  const std::uint64_t deflated_bytes = reader.big_endian(4);
  if (deflated_bytes > reader.left()) fail("its encoding is shorter than its header says");
  const std::vector<std::byte> plain = inflate_all(reader.take(deflated_bytes));
  Reader inner(plain);
  if (inner.big_endian(4) != kPlainCookie) fail("its compressed encoding is not HdrHistogram V2");
  return decode_plain(inner);
}

Histogram decode_v2_base64(std::string_view text) {
  const std::optional<std::vector<std::byte>> bytes = base64_decode(text);
  if (!bytes) fail("its encoding is not base64");
  return decode_v2(*bytes);
}

}  // namespace feedbench::measure
