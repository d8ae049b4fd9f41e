"""Reads HdrHistogram's V2 encoding: what a result file carries its distributions in.

Source: the encoding HdrHistogram documents (plain cookie 0x1c849313, deflated 0x1c849314; counts as ZigZag LEB128,
negative numbers stand for runs of empty buckets).
"""

import base64
import binascii
import math
import struct
import zlib

PLAIN_COOKIE = 0x1C849303 | 0x10
DEFLATED_COOKIE = 0x1C849304 | 0x10
HEADER = struct.Struct(">iiiiqqd")
LARGEST_PLAIN_BYTES = 80 << 20


class EncodingError(ValueError):
    """The text is no V2 histogram; str() is one sentence."""


class Histogram:
    """Counts by bucket. buckets: {index: count}, only those that are not empty."""

    def __init__(self, lowest, highest, digits):
        self.lowest, self.highest, self.digits = lowest, highest, digits
        sub_buckets = 1 << (2 * 10**digits - 1).bit_length()
        self.half_magnitude = sub_buckets.bit_length() - 2
        self.unit_magnitude = lowest.bit_length() - 1
        self.buckets = {}
        self.overflow = 0
        self.exact_max = None

    @property
    def count(self):
        """All values, those above the range among them."""
        return sum(self.buckets.values()) + self.overflow

    def lowest_of(self, index):
        """Smallest value of a bucket."""
        half = 1 << self.half_magnitude
        if index < 2 * half:
            return index << self.unit_magnitude
        bucket = (index >> self.half_magnitude) - 1
        return ((index & (half - 1)) + half) << (bucket + self.unit_magnitude)

    def highest_of(self, index):
        """Largest value of a bucket."""
        half = 1 << self.half_magnitude
        bucket = 0 if index < 2 * half else (index >> self.half_magnitude) - 1
        return self.lowest_of(index) + (1 << (bucket + self.unit_magnitude)) - 1

    def merge(self, other):
        """Adds a histogram of the same range."""
        if (self.lowest, self.highest, self.digits) != (other.lowest, other.highest, other.digits):
            raise ValueError("histograms of different ranges cannot be merged")
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count
        self.overflow += other.overflow
        if other.exact_max is not None:
            self.exact_max = max(self.exact_max or 0, other.exact_max)

    def value_at(self, percentile):
        """Highest value equivalent to the percentile's (as the C++ side gives it), None if empty."""
        total = self.count
        if total == 0:
            return None
        rank = max(1, math.ceil(percentile / 100 * total * (1 - 1e-15)))
        cumulative = 0
        for index in sorted(self.buckets):
            cumulative += self.buckets[index]
            if cumulative >= rank:
                value = self.highest_of(index)
                return value if self.exact_max is None else min(value, self.exact_max)
        return self.exact_max

    def supported(self, percentile):
        """value_at, or None where fewer than ten samples lie beyond the percentile."""
        return self.value_at(percentile) if self.count * (100 - percentile) >= 1000 * (1 - 1e-12) else None

    def curve(self):
        """[(share of values at or below, value)] in growing order, one point a bucket."""
        total = self.count
        points, cumulative = [], 0
        for index in sorted(self.buckets):
            cumulative += self.buckets[index]
            value = self.highest_of(index)
            points.append((cumulative / total, value if self.exact_max is None else min(value, self.exact_max)))
        return points


def _zigzag(data, at):
    value = 0
    for position in range(9):
        if at >= len(data):
            raise EncodingError("the encoding ends inside a count")
        byte = data[at]
        at += 1
        if position == 8:
            value |= byte << 56
            break
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at


def decode(data):
    """bytes -> Histogram. raises EncodingError."""
    if len(data) >= 8 and struct.unpack(">I", data[:4])[0] == DEFLATED_COOKIE:
        (length,) = struct.unpack(">I", data[4:8])
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(data[8 : 8 + length], LARGEST_PLAIN_BYTES)
        except zlib.error as error:
            raise EncodingError("the compressed counts are damaged") from error
        if not inflater.eof:
            raise EncodingError("the compressed counts are cut short")
    if len(data) < HEADER.size:
        raise EncodingError("the encoding ends inside the header")
    cookie, length, offset, digits, lowest, highest, ratio = HEADER.unpack(data[: HEADER.size])
    if cookie != PLAIN_COOKIE:
        raise EncodingError("the encoding is not HdrHistogram V2")
    if offset != 0 or ratio != 1.0 or not 1 <= digits <= 5 or lowest < 1 or highest < 2 * lowest:
        raise EncodingError("the encoding gives a range that is not supported")
    payload = data[HEADER.size : HEADER.size + length]
    if len(payload) != length:
        raise EncodingError("the encoding is shorter than its header says")
    histogram = Histogram(lowest, highest, digits)
    index, at = 0, 0
    while at < len(payload):
        value, at = _zigzag(payload, at)
        if value < 0:
            index -= value
            continue
        if value:
            histogram.buckets[index] = value
        index += 1
    return histogram


def decode_base64(text):
    """base64 text -> Histogram. raises EncodingError."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise EncodingError("the encoding is not base64") from error
    return decode(data)


def from_json(entry):
    """The histogram of a result file's entry, None if absent."""
    if entry is None:
        return None
    histogram = decode_base64(entry["v2"])
    histogram.overflow = entry["overflow"]
    histogram.exact_max = entry["max"]
    return histogram
