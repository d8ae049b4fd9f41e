"""What passes between client, proxy and venue beside the messages."""
import gc
import json
import os
import signal
import subprocess
import sys
import threading

from client_case import ClientTest, eventually
from installed_package import SITE, feedproxy
from programs import SOURCE
from raw_websocket import BINARY, TEXT


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

    def test_a_client_and_the_package_say_what_they_are(self):
        self.assertRegex(feedproxy.__version__, r"^\d+\.\d+\.\d+$")
        client = self.client("me")
        self.assertEqual(repr(client), f"<feedproxy.Client 'me': proxy {client.server_pid}, 0 feeds>")
        with client.open(self.exchange.url(), now=True):
            self.assertIn(", 1 feed>", repr(client))
        client.close()
        self.assertEqual(repr(client), "<feedproxy.Client 'me': closed>")

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
            env={**os.environ, "PYTHONPATH": str(SITE), "FEEDPROXY_SOCKET": str(self.path)}, stdout=subprocess.PIPE, text=True)
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
