"""A million messages without loss, in four ways; prints the rates."""
import asyncio
import signal
import time

from client_case import ClientTest, eventually

MILLION = 1_000_000


class AMillionMessages(ClientTest):
    # The log holds all of them, so that a slow machine loses nothing either.
    proxy_arguments = ("--ring-bytes", str(1 << 28), "--index-lines", str(1 << 21))

    def setUp(self):
        super().setUp()
        self.venue = self.start("mock-exchange", "--listen", "127.0.0.1:0", "--venue", "raw", "--synthetic", "128x1000",
                                "--loop", str(MILLION // 1000), "--speed", "max", "--start", "signal")
        host, port = self.venue.listening()
        self.feed = self.client().open(f"ws://{host}:{port}/")

    def begin(self) -> float:
        self.venue.process.send_signal(signal.SIGUSR1)
        return time.perf_counter()

    def report(self, how: str, seconds: float) -> None:
        print(f"{how}: {MILLION:,} messages of 128 bytes in {seconds:.2f} s: {MILLION / seconds:,.0f} a second", flush=True)
        self.assertEqual((self.feed.gaps, self.feed.missed, self.feed.lag), (0, 0, 0))

    def test_are_iterated_over_without_loss(self):
        began = self.begin()
        wanted = 1
        size = 0
        for message in self.feed:
            if message.sequence != wanted:
                self.fail(f"{message.sequence} instead of {wanted}")
            size += len(message.payload)
            if wanted == MILLION:
                break
            wanted += 1
        self.report("for message in feed", time.perf_counter() - began)
        self.assertEqual(size, MILLION * 128)

    def test_are_read_in_batches_without_loss(self):
        began = self.begin()
        count = size = 0
        while count < MILLION:
            messages = self.feed.read(256)
            if not [message.sequence for message in messages] == list(range(count + 1, count + len(messages) + 1)):
                self.fail(f"a hole behind {count}")
            size += sum(len(message.payload) for message in messages)
            count += len(messages)
        self.report("feed.read(256)", time.perf_counter() - began)
        self.assertEqual(size, MILLION * 128)

    def test_are_streamed_without_loss(self):
        async def all_of_them():
            wanted = 1
            async for message in self.feed.stream():
                if message.sequence != wanted:
                    self.fail(f"{message.sequence} instead of {wanted}")
                if wanted == MILLION:
                    return
                wanted += 1
        began = self.begin()
        asyncio.run(all_of_them())
        self.report("async for message in feed.stream()", time.perf_counter() - began)

    def test_that_are_there_already_are_read_without_loss(self):
        self.begin()
        eventually(lambda: self.feed.lag == MILLION)
        began = time.perf_counter()
        wanted = 1
        for message in self.feed:
            if not (message.sequence == wanted and message.intact()):
                self.fail(f"{message.sequence} instead of {wanted}, or not intact")
            if wanted == MILLION:
                break
            wanted += 1
        self.report("from a full log", time.perf_counter() - began)
