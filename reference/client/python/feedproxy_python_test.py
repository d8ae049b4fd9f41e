"""The Python package feedproxy as it is installed, against the real proxy and venues that do what the test says."""
import asyncio
import contextlib
import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time

from programs import BIN, SOURCE, ProgramTest
from raw_websocket import BINARY, CONTINUATION, TEXT, ScriptedExchange, frame

PACKAGE = pathlib.Path("reference") / "client" / "python"
MILLION = 1_000_000
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"

feedproxy = None  # the installed package
numpy = None
_folder = None


def setUpModule():
    """Installs the package from a copy of the source tree, as a user would, and imports what was installed."""
    global feedproxy, numpy, _folder
    _folder = tempfile.TemporaryDirectory(prefix="feedproxy-python-")
    tree = pathlib.Path(_folder.name) / "tree"
    for part in ("reference/client", "transports"):
        shutil.copytree(SOURCE / part, tree / part, ignore=shutil.ignore_patterns("*_test.*", "build", "*.egg-info"))
    shutil.copy(SOURCE / "CMakeLists.txt", tree)
    installed = pathlib.Path(_folder.name) / "site"
    # Python's own headers are not held to our warnings.
    environment = {**os.environ, "CFLAGS": f"-isystem {sysconfig.get_paths()['include']} {WARNINGS}",
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if shutil.which("ccache"):
        environment.update(CC="ccache cc", CCACHE_BASEDIR=str(tree), CCACHE_NOHASHDIR="1")
    run([sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", installed,
         tree / PACKAGE], env=environment)
    sys.path.insert(0, str(installed))
    import feedproxy as package
    feedproxy = package
    assert pathlib.Path(feedproxy.__file__).is_relative_to(installed), feedproxy.__file__
    with contextlib.suppress(ImportError):
        import numpy as found
        numpy = found


def tearDownModule():
    _folder.cleanup()


def run(command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def is_there(pid: int) -> bool:
    """It runs; one that has ended and waits to be noticed (a zombie) does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def eventually(happened) -> None:
    """Waits for what must happen; a hang is ended by run_unittest.py."""
    while not happened():
        time.sleep(0.002)


def logs_mapped() -> int:
    """Feed logs that this process has mapped."""
    lines = pathlib.Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return sum("memfd:" in line and " r--s " in line for line in lines)


class ClientTest(ProgramTest):
    """A proxy of its own, started by the first client and ended with the test, and a scripted venue."""

    proxy_arguments = ()

    def setUp(self):
        self.folder = self.temporary_directory()
        self.path = self.folder / "proxy.sock"
        self.proxies = set()
        self.addCleanup(self._end_proxies)
        self.exchange = ScriptedExchange()
        self.addCleanup(self.exchange.close)

    def _end_proxies(self):
        for pid in self.proxies:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.proxies:
            eventually(lambda pid=pid: not is_there(pid))

    def spawn(self) -> list:
        return [BIN / "feedproxy", "--linger-ms", "30000", "--backoff-first-ms", "5", *self.proxy_arguments]

    def client(self, name: str = "python-test", **options):
        made = feedproxy.Client(name, path=self.path, **{"spawn": self.spawn(), **options})
        self.proxies.add(made.server_pid)
        self.addCleanup(made.close)
        return made

    def open(self, client, target: str = "/feed", exchange=None):
        """(feed, the venue's end); for the first client of this URL."""
        exchange = exchange or self.exchange
        upstreams = []
        accepting = threading.Thread(target=lambda: upstreams.append(exchange.accept_websocket()))
        accepting.start()
        feed = client.open(exchange.url(target))
        accepting.join()
        self.addCleanup(upstreams[0].close)
        return feed, upstreams[0]

    @staticmethod
    def publish(upstream, *texts) -> None:
        upstream.send(b"".join(frame(text.encode()) for text in texts))


class Messages(ClientTest):
    def test_clients_share_one_upstream_and_read_the_same(self):
        first, second = self.client("first"), self.client("second")
        feed, upstream = self.open(first)
        joined = second.open(self.exchange.url())
        self.assertTrue(feed.is_new)
        self.assertFalse(joined.is_new)
        self.assertEqual(first.server_pid, second.server_pid)
        texts = [f"message {i}" for i in range(1000)]
        self.publish(upstream, *texts)
        for each in (feed, joined):
            found = []
            for message in each:
                found.append(message.text)
                if len(found) == len(texts):
                    break
            self.assertEqual(found, texts)
            self.assertEqual((each.gaps, each.missed), (0, 0))

    def test_reading_in_any_way_goes_on_where_the_last_one_stopped(self):
        feed, upstream = self.open(self.client())
        self.publish(upstream, *map(str, range(300)))
        eventually(lambda: feed.lag == 300)
        found = []
        for message in feed:
            found.append(message)
            if len(found) == 10:
                break
        self.assertEqual(feed.lag, 290)
        found += feed.read(100)
        found.append(next(feed))

        async def some():
            async for streamed in feed.stream():
                found.append(streamed)
                if len(found) == 200:
                    return
        asyncio.run(some())
        while len(found) < 300:
            found += feed.read()
        self.assertEqual([message.text for message in found], list(map(str, range(300))))
        self.assertEqual([message.sequence for message in found], list(range(1, 301)))
        self.assertEqual(feed.read(timeout=0), [])
        self.assertEqual(feed.lag, 0)

    def test_a_message_has_all_that_the_proxy_knows(self):
        feed, upstream = self.open(self.client())
        upstream.send(frame(b'{"price": 1}', TEXT) + frame(b"\xff\x00", BINARY) + frame(b"", TEXT))
        text, binary, empty = next(feed), next(feed), next(feed)
        self.assertEqual(json.loads(text.payload.tobytes()), {"price": 1})
        self.assertEqual(text.payload, b'{"price": 1}')
        self.assertEqual((text.opcode, binary.opcode), (feedproxy.Opcode.TEXT, feedproxy.Opcode.BINARY))
        self.assertEqual(binary.bytes(), b"\xff\x00")
        with self.assertRaises(UnicodeDecodeError):
            binary.text
        self.assertEqual((empty.bytes(), empty.text, len(empty.payload)), (b"", "", 0))
        self.assertTrue(text.intact())
        self.assertFalse(text.assembled)
        self.assertEqual(text.feed_id, feed.id)
        self.assertEqual(len(text.stamps), len(feedproxy.STAGES))
        self.assertEqual(text.stamps.wake, text.stamps[feedproxy.STAGES.index("wake")])
        self.assertTrue(0 < text.stamps.wake <= text.stamps.read <= text.stamps.handler)
        self.assertTrue(text.payload.readonly)
        with self.assertRaises(TypeError):
            text.payload[0] = 0
        with self.assertRaises(TypeError):
            type(text)()

    def test_a_fragmented_message_comes_whole_and_stays(self):
        feed, upstream = self.open(self.client())
        upstream.send(frame(b"before") + frame(b"one ", TEXT, fin=False) + frame(b"two ", CONTINUATION, fin=False) +
                      frame(b"three", CONTINUATION) + frame(b"four ", TEXT, fin=False) + frame(b"five", CONTINUATION))
        eventually(lambda: feed.lag == 3)
        before, first, second = next(feed), next(feed), next(feed)
        self.assertEqual([before.text, first.text, second.text], ["before", "one two three", "four five"])
        self.assertEqual([before.assembled, first.assembled, second.assembled], [False, True, True])
        view = first.payload
        feed.close()
        del first, feed
        gc.collect()
        self.assertEqual(view, b"one two three")

    def test_a_view_outlives_feed_client_and_proxy(self):
        client = self.client()
        feed, upstream = self.open(client)
        self.publish(upstream, "to be read later", "never taken")
        view = next(feed).payload
        part = view[6:10]
        pid = client.server_pid
        feed.close()
        client.close()
        del feed, client, view
        self.doCleanups()  # what still knows the client
        gc.collect()
        eventually(lambda: not is_there(pid))
        self.assertEqual(part, b"read")
        self.assertEqual(bytes(part.obj), b"to be read later")
        self.assertTrue(part.obj.intact())
        self.assertEqual(part.obj.bytes(), b"to be read later")
        self.assertGreater(logs_mapped(), 0)
        del part
        self.assertEqual(logs_mapped(), 0)

    def test_nothing_stays_mapped_without_a_message(self):
        feed, upstream = self.open(self.client())
        self.publish(upstream, "x", "y")
        next(feed)
        self.assertGreater(logs_mapped(), 0)
        feed.close()
        self.assertEqual(logs_mapped(), 0)

    def test_messages_leave_no_memory_behind(self):
        feed, upstream = self.open(self.client())

        def some() -> int:
            self.publish(upstream, *(["x"] * 500))
            upstream.send(frame(b"a", TEXT, fin=False) + frame(b"b", CONTINUATION))
            for _ in range(250):
                message = next(feed)
                message.payload, message.text, message.bytes(), message.stamps
            left = 251
            while left:
                left -= len(feed.read(100))
            gc.collect()
            return sys.getallocatedblocks()
        some()
        before = some()
        for _ in range(20):
            after = some()
        self.assertLess(after - before, 500)

    def test_stamps_come_as_an_array(self):
        if numpy is None:
            self.skipTest("numpy is not installed")
        feed, upstream = self.open(self.client())
        self.publish(upstream, *map(str, range(100)))
        eventually(lambda: feed.lag == 100)
        messages = feed.read(100)
        stamps = feed.stamps(messages)
        self.assertEqual((stamps.shape, stamps.dtype), ((100, 6), numpy.uint64))
        self.assertEqual([tuple(row) for row in stamps.tolist()], [tuple(message.stamps) for message in messages])
        gap = feedproxy.Gap(feedproxy.GapReason.LAPPED, 1, 1)
        self.assertEqual(feedproxy.stamps_array([gap, messages[0]]).shape, (1, 6))
        self.assertEqual(feedproxy.stamps_array([]).shape, (0, 6))


class Gaps(ClientTest):
    proxy_arguments = ("--ring-bytes", "65536", "--index-lines", "1024", "--message-max-bytes", "8192",
                       "--client-lag-max-bytes", "32768")

    def test_what_the_publisher_has_written_over_is_told(self):
        feed, upstream = self.open(self.client())
        self.publish(upstream, "held")
        held = next(feed)
        view = held.payload
        self.assertTrue(held.intact())
        self.publish(upstream, *["x" * 1000] * 100)
        eventually(lambda: not held.intact())
        self.assertRaises(feedproxy.Lapped, held.bytes)
        with self.assertRaises(feedproxy.Error) as raised:
            held.text
        self.assertEqual(raised.exception.code, feedproxy.ErrorCode.LAPPED)
        self.assertEqual(len(bytes(view)), 4)  # something else by now, and no crash

    def test_who_is_too_slow_is_told_exactly_what_is_missing(self):
        client = self.client()
        feed, upstream = self.open(client)
        told = []
        feed.on_gap = told.append
        self.publish(upstream, *[f"{i:1000}" for i in range(200)])
        eventually(lambda: feed.lag == 200)
        items = feed.read(10_000)
        self.assertEqual(len(items), 1)  # the gap ends the list
        gap = items[0]
        self.assertEqual(told, [gap])
        self.assertEqual(gap.reason, feedproxy.GapReason.LAPPED)
        messages = feed.read(10_000)
        self.assertEqual(gap.missed_messages + len(messages), 200)
        self.assertEqual((feed.gaps, feed.missed), (1, gap.missed_messages))
        self.assertEqual([int(message.text) for message in messages], list(range(gap.missed_messages, 200)))

    def test_an_iterator_passes_over_gaps_that_are_counted(self):
        feed, upstream = self.open(self.client())
        self.publish(upstream, *[f"{i:1000}" for i in range(200)])
        eventually(lambda: feed.lag == 200)
        first = next(feed)
        self.assertEqual(feed.gaps, 1)
        self.assertEqual(int(first.text), feed.missed)

    def test_a_lost_upstream_is_a_gap_of_unknown_size_and_a_notice(self):
        client = self.client()
        feed, upstream = self.open(client)
        self.publish(upstream, "before")
        self.assertEqual(next(feed).text, "before")
        upstream.reset()
        again = self.exchange.accept_websocket()
        self.addCleanup(again.close)
        found = []

        def ready():
            found.extend(client.notices())
            return any(notice.kind == feedproxy.NoticeKind.UPSTREAM_READY for notice in found)
        eventually(ready)
        self.assertEqual([notice.kind for notice in found if notice.kind == feedproxy.NoticeKind.UPSTREAM_LOST],
                         [feedproxy.NoticeKind.UPSTREAM_LOST])
        self.assertTrue(all(notice.feed is feed for notice in found))
        self.publish(again, "behind")
        gap, = feed.read()
        self.assertEqual(gap, feedproxy.Gap(feedproxy.GapReason.UPSTREAM_LOST, None, None))
        self.assertEqual(next(feed).text, "behind")
        self.assertEqual((feed.gaps, feed.missed), (1, 0))

    def test_what_on_gap_raises_reaches_the_reader_and_no_message_is_lost(self):
        feed, upstream = self.open(self.client())
        self.publish(upstream, *[f"{i:1000}" for i in range(200)])
        eventually(lambda: feed.lag == 200)
        feed.on_gap = lambda gap: 1 / 0
        self.assertRaises(ZeroDivisionError, next, feed)
        self.assertEqual(int(next(feed).text), feed.missed)


class Waiting(ClientTest):
    def test_a_wait_gives_up_the_gil_and_is_woken(self):
        feed, upstream = self.open(self.client())
        for i in range(50):
            publisher = threading.Thread(target=self.publish, args=(upstream, str(i)))
            publisher.start()
            self.assertEqual([message.text for message in feed.read()], [str(i)])
            publisher.join()

    def test_ctrl_c_ends_a_wait_and_nothing_is_lost(self):
        feed, upstream = self.open(self.client())
        for wait in (lambda: next(feed), feed.read, feed._client.wait):
            interrupting = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            with self.assertRaises(KeyboardInterrupt):
                interrupting.start()
                while True:
                    wait()
            interrupting.join()
        self.publish(upstream, "still there")
        self.assertEqual(next(feed).text, "still there")

    def test_ctrl_c_ends_an_open_and_what_opens_after_all_is_closed(self):
        client = self.client()
        interrupting = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        with self.assertRaises(KeyboardInterrupt):
            interrupting.start()
            client.open(self.exchange.url())  # nobody accepts
        interrupting.join()
        upstream = self.exchange.accept_websocket()
        self.addCleanup(upstream.close)

        def gone():
            client.notices()
            return not client.status()["feeds"]
        eventually(gone)

    def test_threads_take_turns(self):
        client = self.client()
        feed, upstream = self.open(client)
        found = []
        reading = threading.Thread(target=lambda: found.extend(message.text for message in feed))
        reading.start()
        for i in range(20):
            other, second = self.open(client, f"/{i}")
            self.publish(second, "other")
            self.assertEqual(next(other).text, "other")
            other.close()
            self.publish(upstream, str(i))
        eventually(lambda: len(found) == 20)
        feed.close()  # ends the iteration in the other thread
        reading.join()
        self.assertEqual(found, list(map(str, range(20))))
        self.assertTrue(feed.closed)

    def test_closing_the_client_ends_the_iteration_of_another_thread(self):
        client = self.client()
        feed, _ = self.open(client)
        reading = threading.Thread(target=lambda: list(feed))
        reading.start()
        client.close()
        reading.join()
        self.assertTrue(feed.closed)
        with self.assertRaises(feedproxy.Error):
            client.open(self.exchange.url())

    def test_one_feed_is_waited_for_whatever_another_has(self):
        client = self.client()
        feed, upstream = self.open(client)
        other, noise = self.open(client, "/noise")
        self.publish(noise, "never read")
        eventually(lambda: other.lag == 1)
        self.assertEqual(feed.read(timeout=0.01), [])
        self.assertTrue(client.wait())
        self.publish(upstream, "x")
        self.assertEqual(feed.read()[0].text, "x")


class Streams(ClientTest):
    def test_streams_of_several_feeds_share_a_loop(self):
        client = self.client()
        feeds = [self.open(client, f"/{i}") for i in range(3)]
        count = 200

        async def consume(feed):
            found = []
            async for message in feed.stream():
                found.append(message.text)
                if len(found) == count:
                    return found

        async def produce():
            for i in range(count):
                for _, upstream in feeds:
                    self.publish(upstream, str(i))
                    if i % 20 == 0:
                        await asyncio.sleep(0.002)
                await asyncio.sleep(0)

        async def both():
            *found, _ = await asyncio.gather(*(consume(feed) for feed, _ in feeds), produce())
            return found
        for found in asyncio.run(both()):
            self.assertEqual(found, list(map(str, range(count))))

    def test_a_stream_that_waits_lets_the_loop_sleep(self):
        client = self.client()
        feed, upstream = self.open(client)

        async def one():
            stream = feed.stream()
            waiting = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0.2)
            used = time.process_time()
            await asyncio.sleep(0.5)
            used = time.process_time() - used
            await asyncio.to_thread(self.publish, upstream, "woken")
            return (await waiting).text, used
        text, used = asyncio.run(one())
        self.assertEqual(text, "woken")
        self.assertLess(used, 0.25, "it spins")  # of processor time, in half a second

    def test_a_cancelled_stream_leaves_the_feed_as_it_was(self):
        feed, upstream = self.open(self.client())

        async def cancelled():
            waiting = asyncio.ensure_future(feed.stream().__anext__())
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            self.publish(upstream, "later")
            async for message in feed.stream():
                return message.text
        self.assertEqual(asyncio.run(cancelled()), "later")
        self.publish(upstream, "another loop")

        async def again():
            async for message in feed.stream():
                return message.text
        self.assertEqual(asyncio.run(again()), "another loop")

    def test_a_stream_ends_with_the_proxy(self):
        client = self.client()
        feed, upstream = self.open(client)
        self.publish(upstream, "last")
        eventually(lambda: feed.lag == 1)
        os.kill(client.server_pid, signal.SIGKILL)

        async def rest():
            return [message.text async for message in feed.stream()]
        self.assertEqual(asyncio.run(rest()), ["last"])
        self.assertTrue(feed.closed)


class Conversation(ClientTest):
    def test_what_is_sent_reaches_the_venue(self):
        feed, upstream = self.open(self.client())
        feed.send("text")
        feed.send(b"binary")
        feed.send(bytearray(b"as text"), feedproxy.Opcode.TEXT)
        frames = [upstream.frame() for _ in range(3)]
        self.assertEqual([(each.payload, each.opcode) for each in frames],
                         [(b"text", TEXT), (b"binary", BINARY), (b"as text", TEXT)])
        with self.assertRaises(feedproxy.Error) as raised:
            feed.send("x" * 65_537)
        self.assertEqual(raised.exception.code, feedproxy.ErrorCode.TOO_LARGE)

    def test_headers_reach_the_venue(self):
        client = self.client()
        requests = []
        accepting = threading.Thread(target=lambda: requests.append(self.exchange.accept_websocket()))
        accepting.start()
        client.open(self.exchange.url(), headers={"X-Account": "7"})
        accepting.join()
        self.addCleanup(requests[0].close)
        self.assertIn("X-Account: 7\r\n", requests[0].request)
        self.assertRaises(ValueError, client.open, self.exchange.url(), headers={"X": "a\r\nY: b"})

    def test_subscriptions_are_counted_over_clients_and_refused_in_the_venues_words(self):
        venue = self.start("mock-exchange", "--listen", "127.0.0.1:0", "--venue", "alpaca", "--replay",
                           SOURCE / "scenarios" / "sessions" / "alpaca-small.jsonl.zst", "--loop", "forever")
        host, port = venue.listening()
        url = f"ws://{host}:{port}/v2/iex"
        os.environ.update(PYTHONTEST_KEY="k", PYTHONTEST_SECRET="s")
        options = {"credentials": "PYTHONTEST", "venue": "alpaca"}
        first, second = self.client("first"), self.client("second")
        one, two = first.open(url, **options), second.open(url, **options)
        self.assertFalse(one.subscribe("AAPL", "trades"))
        self.assertTrue(two.subscribe("AAPL", "trades"))
        two.unsubscribe("AAPL", "trades")
        with self.assertRaises(feedproxy.Error) as raised:
            one.subscribe("AAPL", "orderbooks")
        self.assertEqual(raised.exception.code, feedproxy.ErrorCode.VENUE_REFUSED)
        self.assertIn("410", str(raised.exception))
        with self.assertRaises(feedproxy.Error):
            two.unsubscribe("AAPL", "trades")

    def test_failures_are_errors_with_a_code_and_one_sentence(self):
        with self.assertRaises(feedproxy.Error) as raised:
            feedproxy.Client("nobody", path=self.path)
        self.assertEqual(raised.exception.code, feedproxy.ErrorCode.NO_PROXY)
        self.assertIn(str(self.path), str(raised.exception))
        with self.assertRaises(feedproxy.Error) as raised:
            feedproxy.Client("nobody", path=self.path, spawn="/no/such/program")
        self.assertEqual(raised.exception.code, feedproxy.ErrorCode.SPAWN_FAILED)
        self.assertRaises(ValueError, feedproxy.Client, "x", timeout=-1)
        client = self.client()
        for call, code in ((lambda: client.open("ftp://x"), "BAD_REQUEST"),
                           (lambda: client.open(self.exchange.url(), credentials="NOSUCH", venue="alpaca"), "BAD_REQUEST")):
            with self.assertRaises(feedproxy.Error) as raised:
                call()
            self.assertEqual(raised.exception.code, feedproxy.ErrorCode[code])
        self.assertIs(feedproxy.ErrorCode(9999), feedproxy.ErrorCode.UNKNOWN)

    def test_a_feed_that_nobody_holds_is_closed(self):
        client = self.client()
        feed, upstream = self.open(client)
        repr(feed)
        del feed
        gc.collect()
        client.notices()  # any call
        eventually(lambda: not client.status()["feeds"])
        upstream.to_end()

    def test_the_client_comes_back_to_a_proxy_that_was_restarted(self):
        client = self.client(reconnect=True)
        feed, upstream = self.open(client)
        self.publish(upstream, "before")
        self.assertEqual(next(feed).text, "before")
        first = client.server_pid
        os.kill(first, signal.SIGKILL)
        accepted = []
        accepting = threading.Thread(target=lambda: accepted.append(self.exchange.accept_websocket()))
        accepting.start()
        kinds = []

        def back():
            client.wait(0.05)
            kinds.extend(notice.kind for notice in client.notices())
            return feedproxy.NoticeKind.PROXY_BACK in kinds
        eventually(back)
        self.proxies.add(client.server_pid)
        self.assertNotEqual(client.server_pid, first)
        self.assertIn(feedproxy.NoticeKind.PROXY_LOST, kinds)
        accepting.join()
        self.addCleanup(accepted[0].close)
        found = []
        feed.on_gap = found.append

        def told():
            client.wait(0.01)
            return bool(feed.read(timeout=0)) or bool(found)
        eventually(told)
        self.assertEqual([gap.reason for gap in found], [feedproxy.GapReason.PROXY_LOST])
        self.publish(accepted[0], "after")
        self.assertEqual(next(feed).text, "after")

    def test_the_end_of_the_proxy_ends_the_iteration(self):
        client = self.client()
        feed, upstream = self.open(client)
        self.publish(upstream, "last")
        eventually(lambda: feed.lag == 1)
        os.kill(client.server_pid, signal.SIGKILL)
        self.assertEqual([message.text for message in feed], ["last"])
        self.assertEqual(client.server_pid, 0)
        feed.close()

    def test_the_proxys_state_and_log_can_be_had(self):
        client = self.client("with-a-name")
        heard = []
        client.on_notice = heard.append
        client.set_log_level(feedproxy.LogLevel.INFO)
        self.open(client)
        self.assertIn("with-a-name", json.dumps(client.status()))
        self.assertRegex(client.server_version, r"\d+\.\d+")

        def logged():
            client.wait(0.01)
            return any(notice.kind == feedproxy.NoticeKind.LOG and notice.level == feedproxy.LogLevel.INFO for notice in heard)
        eventually(logged)

    def test_the_example_runs(self):
        keeper = self.client()
        example = subprocess.Popen(
            [sys.executable, SOURCE / "reference/client/examples/python_consumer.py", "example", self.exchange.url()],
            env={**os.environ, "PYTHONPATH": sys.path[0], "FEEDPROXY_SOCKET": str(self.path)}, stdout=subprocess.PIPE, text=True)
        self.addCleanup(example.stdout.close)
        self.addCleanup(example.kill)
        upstream = self.exchange.accept_websocket()
        self.addCleanup(upstream.close)
        self.assertEqual(example.stdout.readline(), f"example: proxy {keeper.server_pid}, opened the connection\n")
        joined = keeper.open(self.exchange.url())
        self.publish(upstream, *["x" * 10] * 7)
        eventually(lambda: joined.lag == 7)

        def has_read():
            clients = json.dumps(keeper.status())
            return '"messages": 7' in clients or '"messages":7' in clients
        eventually(has_read)
        example.send_signal(signal.SIGINT)
        self.assertEqual(example.stdout.readline(), "example: 7 messages, 70 bytes, 0 missed, 0 lapped\n")
        self.assertEqual(example.wait(), 0)


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


class Distribution(ProgramTest):
    def test_a_source_distribution_has_all_that_it_is_built_from(self):
        tree = pathlib.Path(_folder.name) / "tree" / PACKAGE
        out = self.temporary_directory()
        run([sys.executable, "setup.py", "-q", "sdist", "--dist-dir", out], cwd=tree)
        archive, = out.glob("feedproxy-*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(out)
        folder = out / archive.name.removesuffix(".tar.gz")
        run(["c++", "-std=c++20", "-fsyntax-only", "-DFP_API=", f"-I{folder / 'include'}",
             f"-I{sysconfig.get_paths()['include']}", folder / "native" / "c_interface.cpp", folder / "native" / "module.cpp"])
        told = run([sys.executable, "setup.py", "--version"], cwd=folder)
        self.assertEqual(told.strip().splitlines()[-1], archive.name.removesuffix(".tar.gz").removeprefix("feedproxy-"))

    def test_the_folder_alone_says_what_is_missing(self):
        alone = self.temporary_directory() / "python"
        shutil.copytree(pathlib.Path(_folder.name) / "tree" / PACKAGE, alone, ignore=shutil.ignore_patterns("build"))
        done = subprocess.run([sys.executable, "setup.py", "--version"], cwd=alone, capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("FEEDPROXY_SOURCE", done.stderr)
