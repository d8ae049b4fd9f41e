"""feedbench-bridge as a process, between a scripted exchange and a reader of its spsc ring."""
import mmap
import os
import pathlib
import signal
import struct
import threading
import unittest

from fan_out import FanOutTest, some_frames
from programs import EXIT_CANNOT_START, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from raw_websocket import CLOSE, PING, PONG, TEXT, close_frame, frame

KIBIBYTE = 1 << 10
# Members of SpscControl, in words of 8 bytes.
RING_BYTES, RING_OFFSET, WRITE_POSITION, READ_POSITION = 2, 3, 16, 32


class SpscReader:
    """The consuming end of an spsc ring, from its layout (docs/rings.md)."""

    def __init__(self, path: str):
        descriptor = os.open(path, os.O_RDWR)
        self.memory = mmap.mmap(descriptor, 0)
        os.close(descriptor)
        # A word is loaded and stored in one piece.
        self.words = memoryview(self.memory).cast("Q")
        self.ring_bytes, self.ring_offset = self.words[RING_BYTES], self.words[RING_OFFSET]
        self.position = 0

    def _bytes(self, position: int, count: int) -> bytes:
        at = position % self.ring_bytes
        first = self.memory[self.ring_offset + at:self.ring_offset + min(at + count, self.ring_bytes)]
        return first + self.memory[self.ring_offset:self.ring_offset + count - len(first)]

    def published(self) -> int:
        return self.words[WRITE_POSITION]

    def next(self):
        """The next message, or None if there is none now."""
        if self.published() == self.position:
            return None
        length = struct.unpack("<I", self._bytes(self.position, 4))[0]
        message = self._bytes(self.position + 8, length)
        self.position += (8 + length + 7) // 8 * 8
        self.words[READ_POSITION] = self.position
        return message

    def exactly(self, count: int) -> list:
        """The next `count` messages; waits for them."""
        messages = []
        while len(messages) < count:
            message = self.next()
            if message is not None:
                messages.append(message)
        return messages


class Bridge(FanOutTest):
    program = "feedbench-bridge"

    def run_bridge(self, exchange, *arguments) -> tuple:
        """(program, path of its ring, the exchange's end of the upstream)"""
        program = self.start(self.program, "--upstream", exchange.url(), *arguments)
        ready = program.event("ring_ready")
        return program, ready["file"], self.accept_upstream(program, exchange)

    def run_spsc(self, *arguments) -> tuple:
        program, file, upstream = self.run_bridge(self.exchange(), "--ring", "spsc", *arguments)
        return program, SpscReader(file), upstream

    def test_every_frame_is_one_message_over_each_transport(self):
        for transport in ("select", "epoll", "io_uring"):
            for wait in ("block", "spin"):
                with self.subTest(transport=transport, wait=wait):
                    program, reader, upstream = self.run_spsc("--transport", transport, "--wait", wait)
                    frames = some_frames(400, seed=1)
                    upstream.send(b"".join(frames))
                    self.assertEqual(reader.exactly(400), frames)
                    self.assertEqual(program.stop(), EXIT_OK, program.error_text())
                    self.assertEqual(program.counters()["messages_published"], 400)
                    self.assertEqual(program.counters()["bytes_published"], sum(map(len, frames)))

    def test_frames_that_arrive_in_pieces_are_published_whole(self):
        program, reader, upstream = self.run_spsc()
        frames = some_frames(30, seed=2, largest=300)
        stream = b"".join(frames)
        for size in (1, 2, 3, 7):
            for at in range(0, 400, size):
                upstream.send(stream[at:at + size][:max(0, 400 - at)])
            upstream.send(stream[400:])
            self.assertEqual(reader.exactly(30), frames)
        self.assertEqual(program.stop(), EXIT_OK)

    def test_fragments_are_messages_of_their_own(self):
        program, reader, upstream = self.run_spsc()
        fragments = [frame(b"one", TEXT, fin=False), frame(b"two", 0, fin=False), frame(b"three", 0)]
        upstream.send(b"".join(fragments))
        self.assertEqual(reader.exactly(3), fragments)
        self.assertEqual(program.stop(), EXIT_OK)

    def test_frames_that_come_with_the_response_head_are_not_lost(self):
        exchange = self.exchange()
        program = self.start(self.program, "--upstream", exchange.url(), "--ring", "spsc")
        reader = SpscReader(program.event("ring_ready")["file"])
        upstream = exchange.accept_websocket(frame(b"first"))
        self.addCleanup(upstream.close)
        upstream.send(frame(b"second"))
        self.assertEqual(reader.exactly(2), [frame(b"first"), frame(b"second")])
        self.assertEqual(program.stop(), EXIT_OK)

    def test_a_full_ring_holds_the_exchange_back_and_nothing_is_lost(self):
        program, reader, upstream = self.run_spsc("--ring-bytes", 64 * KIBIBYTE)
        # Far more than the ring, the buffer and the kernel hold.
        frames = [frame(bytes([n % 127]) * 3000) for n in range(8000)]
        sender = threading.Thread(target=upstream.send, args=(b"".join(frames),))
        sender.start()
        while reader.published() < 64 * KIBIBYTE - 4000:  # until not one more fits
            pass
        self.assertEqual(reader.exactly(len(frames)), frames)
        sender.join()
        self.assertEqual(program.stop(), EXIT_OK)
        self.assertGreater(program.counters()["ring_full"], 0)

    def test_pings_are_answered_and_not_published(self):
        program, reader, upstream = self.run_spsc()
        upstream.send(frame(b"before") + frame(b"are you there", PING) + frame(b"after"))
        answer = upstream.frame()
        self.assertEqual((answer.opcode, answer.payload), (PONG, b"are you there"))
        self.assertEqual(reader.exactly(2), [frame(b"before"), frame(b"after")])
        self.assertEqual(program.stop(), EXIT_OK)

    def test_the_end_of_the_upstream_is_its_end(self):
        for close in (True, False):
            with self.subTest(close=close):
                program, reader, upstream = self.run_spsc()
                frames = some_frames(50, seed=3)
                upstream.send(b"".join(frames) + (close_frame(1001) if close else b""))
                if close:
                    self.assertEqual(upstream.frame().close_code, 1001)
                else:
                    upstream.close()
                self.assertEqual(program.wait(), EXIT_OK, program.error_text())
                self.assertIn("upstream_lost", [event["event"] for event in program.events])
                self.assertEqual(reader.exactly(50), frames)

    def test_a_segment_with_names_leaves_none_behind_however_it_is_told_to_end(self):
        for how in (signal.SIGTERM, signal.SIGINT, None):
            with self.subTest(how=how):
                program, file, upstream = self.run_bridge(self.exchange(), "--ring", "hft_shm")
                self.assertTrue(pathlib.Path(file + ".hdr").exists())
                if how is None:
                    upstream.close()
                    self.assertEqual(program.wait(), EXIT_OK)
                else:
                    self.assertEqual(program.stop(how), EXIT_OK)
                self.assertFalse(pathlib.Path(file + ".hdr").exists())
                self.assertFalse(pathlib.Path(file + ".dat").exists())

    def test_a_frame_larger_than_the_ring_is_one_sentence(self):
        program, _, upstream = self.run_spsc("--ring-bytes", 64 * KIBIBYTE)
        upstream.send(frame(b"x" * 100_000))
        self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, "too large for the ring", "--ring-bytes")

    def test_masked_frames_of_an_exchange_are_one_sentence(self):
        program, _, upstream = self.run_spsc()
        upstream.send(frame(b"masked", mask=True))
        self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, "broke the protocol", "mask")

    def test_an_upstream_where_nobody_listens_is_one_sentence_and_exit_code_3(self):
        exchange = self.exchange()
        url = exchange.url()
        exchange.close()
        program = self.start(self.program, "--upstream", url, "--ring", "hft_shm")
        file = program.event("ring_ready")["file"]
        self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, "127.0.0.1", "cannot be reached", "refused")
        self.assertFalse(pathlib.Path(file + ".hdr").exists())

    def test_an_upstream_that_answers_404_is_one_sentence_and_exit_code_4(self):
        exchange = self.exchange()
        program = self.start(self.program, "--upstream", exchange.url("/nowhere"))
        upstream = exchange.accept()
        self.assertIn("GET /nowhere HTTP/1.1", upstream.head().decode())
        upstream.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.assert_fails_with_one_sentence(program, EXIT_REFUSED, "404", "did not upgrade")
        upstream.close()

    def test_bad_arguments_are_one_sentence_and_exit_code_2(self):
        good_url = ("--upstream", "ws://127.0.0.1:1/")
        for arguments, word in [
            ((), "--upstream"),
            (("--upstream", "http://127.0.0.1:1/"), "http://127.0.0.1:1/"),
            (("--upstream", "wss://127.0.0.1:1/"), "wss://"),
            (good_url + ("--ring", "circle"), "circle"),
            (good_url + ("--transport", "pigeon"), "pigeon"),
            (good_url + ("--ring-bytes", "3000000"), "power of two"),
            (good_url + ("--ring-bytes", "4096"), "--ring-bytes"),
            (good_url + ("--no-such-flag",), "--no-such-flag"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_fails_with_one_sentence(self.start(self.program, *arguments), EXIT_USAGE, word)


if __name__ == "__main__":
    unittest.main()
