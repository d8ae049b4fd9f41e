"""What a reader gets: messages, views, stamps, gaps."""
import asyncio
import gc
import json
import sys

from client_case import ClientTest, eventually, is_there, logs_mapped
from installed_package import feedproxy, numpy
from raw_websocket import BINARY, CONTINUATION, TEXT, frame


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

    def test_messages_that_are_kept_outlive_replacements_of_the_proxy(self):
        client = self.client()
        feed, upstream = self.open(client)
        kept = []
        for turn in range(4):
            if turn:
                self.replace()
            self.publish(upstream, *(f"message {turn} {i}" for i in range(10)))
            while len(kept) < (turn + 1) * 10:
                kept += feed.read(100)
        self.assertEqual([bytes(each.payload).decode() for each in kept],
                         [f"message {turn} {i}" for turn in range(4) for i in range(10)])
        self.assertEqual([each.sequence for each in kept], list(range(1, 41)))
        self.assertTrue(all(each.intact for each in kept))
        self.assertEqual(feed.gaps, 0)
        kinds = [notice.kind for notice in client.notices()]
        self.assertEqual(kinds.count(feedproxy.NoticeKind.PROXY_REPLACED), 3)

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

    def test_who_joins_may_begin_with_the_newest_of_each_topic(self):
        def text(stream: str, number: int) -> str:
            return json.dumps({"stream": stream, "data": {"n": number}}, separators=(",", ":"))
        early, upstream = self.open(self.client("early"), venue="binance")
        self.publish(upstream, *(text("a@trade" if n % 2 == 0 else "b@trade", n) for n in range(1, 301)))
        eventually(lambda: early.lag == 300)
        late = self.client("late").open(self.exchange.url(), venue="binance", last_values=True)
        found = [next(late), next(late)]
        self.assertEqual([message.text for message in found], [text("b@trade", 299), text("a@trade", 300)])
        self.assertEqual([message.sequence for message in found], [299, 300])
        self.assertEqual([(message.last_value, message.assembled) for message in found], [(True, True)] * 2)
        self.publish(upstream, text("a@trade", 301), text("a@trade", 302))
        behind = [next(late), next(late)]
        self.assertEqual([message.sequence for message in behind], [301, 302])
        self.assertEqual([message.last_value for message in behind], [False, False])
        self.assertEqual(found[0].payload, text("b@trade", 299).encode())  # a copy: it stays
        self.assertEqual([(message.sequence, message.last_value) for message in early.read(3)],
                         [(1, False), (2, False), (3, False)])

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
