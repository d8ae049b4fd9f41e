"""Who waits, and what wakes or ends it: threads, Ctrl-C, asyncio."""
import asyncio
import os
import signal
import threading
import time

from client_case import ClientTest, eventually
from installed_package import feedproxy


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
