"""feedproxy against clients, exchanges and command lines that are wrong."""
import os
import re
import signal
import socket
import struct
import subprocess
import unittest

from fan_out import FanOutTest, some_frames
from foreign_clients import SESSIONS, session_messages
from programs import BIN, EXIT_CANNOT_START, EXIT_OK, EXIT_REFUSED, EXIT_USAGE, make_certificates
from raw_websocket import (BINARY, CLOSE, PING, PONG, TEXT, close_frame, connect, frame, open_websocket)

MEBIBYTE = 1 << 20


class ProxyTest(FanOutTest):
    program = "feedproxy"
    arguments = ("--venue", "raw", "--backoff-first-ms", "1", "--backoff-longest-ms", "10")

    def assert_still_serves(self, upstream, clients: list, seed: int = 1) -> None:
        stream = b"".join(some_frames(60, seed))
        upstream.send(stream)
        for client in clients:
            self.assertEqual(client.exactly(len(stream)), stream)

    def next_close_code(self, client) -> int:
        """Passes over data up to the Close frame."""
        received = client.frame()
        while received.opcode != CLOSE:
            received = client.frame()
        return received.close_code

    def assert_ends_with_close(self, client, code: int) -> None:
        """The next frames are data and then this Close; behind it comes nothing but the end."""
        self.assertEqual(self.next_close_code(client), code)
        self.assertEqual(client.to_end(), b"")


class BadClients(ProxyTest):
    """One client is wrong; a good one beside it must not notice."""

    def setUp(self):
        super().setUp()
        self.proxy, self.endpoint, self.upstream = self.run_against(self.exchange(), *self.limits)
        self.good = self.clients(self.endpoint, 1)[0]
        self.wait_until_joined(self.upstream, [self.good])

    limits = ("--ring-bytes", 4 * MEBIBYTE, "--message-max-bytes", 128 << 10, "--client-lag-max-bytes", MEBIBYTE)

    def tearDown(self):
        self.assert_still_serves(self.upstream, [self.good])
        self.assertEqual(self.stop(self.proxy), EXIT_OK, self.proxy.error_text())

    def counted(self, name: str) -> int:
        self.good.close()
        self.assertEqual(self.proxy.stop(), EXIT_OK)
        return self.proxy.counters()[name]

    def test_garbage_instead_of_a_handshake_is_answered_with_400_and_closed(self):
        for garbage in (b"\x00\x01\x02\x03\r\n\r\n", b"hello\r\n\r\n", os.urandom(64) + b"\r\n\r\n",
                        b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"):
            with self.subTest(garbage=garbage):
                client = connect(self.endpoint)
                client.send(garbage)
                answer = client.to_end()
                self.assertTrue(answer.startswith(b"HTTP/1.1 4"), answer)
                client.close()

    def test_a_tls_hello_to_the_plain_port_is_refused(self):
        client = connect(self.endpoint)
        client.send(bytes.fromhex("16030100c8010000c40303") + os.urandom(192))
        client.socket.shutdown(socket.SHUT_WR)
        self.assertNotIn(b"101", client.to_end()[:20])
        client.close()

    def test_a_handshake_without_end_is_refused(self):
        client = connect(self.endpoint)
        try:
            for _ in range(64):
                client.send(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 4096 + b"\r\n")
        except OSError:
            pass  # it had enough before we had said everything
        self.assertNotIn(b"101", client.to_end()[:20])
        client.close()

    def test_a_web_page_of_another_origin_is_refused_with_403(self):
        client = connect(self.endpoint)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://evil.example\r\n\r\n")
        self.assertTrue(client.to_end().startswith(b"HTTP/1.1 403 "))
        client.close()

    def assert_closed_with(self, bad_bytes: bytes, code: int) -> None:
        client = open_websocket(self.endpoint)
        self.addCleanup(client.close)
        client.send(bad_bytes)
        self.assert_ends_with_close(client, code)

    def test_an_unmasked_frame_is_closed_with_1002(self):
        self.assert_closed_with(frame(b"not masked", TEXT, mask=False), 1002)

    def test_an_unmasked_ping_is_closed_with_1002(self):
        self.assert_closed_with(frame(b"", PING, mask=False), 1002)

    def test_reserved_bits_are_closed_with_1002(self):
        self.assert_closed_with(frame(b"x", TEXT, mask=True, reserved=4), 1002)

    def test_an_unknown_opcode_is_closed_with_1002(self):
        self.assert_closed_with(frame(b"x", 3, mask=True), 1002)

    def test_a_fragmented_ping_is_closed_with_1002(self):
        self.assert_closed_with(frame(b"x", PING, fin=False, mask=True), 1002)

    def test_a_continuation_of_nothing_is_closed_with_1002(self):
        self.assert_closed_with(frame(b"x", 0, mask=True), 1002)

    def test_text_that_is_not_utf8_is_closed_with_1007(self):
        self.assert_closed_with(frame(b"\xff\xfe", TEXT, mask=True), 1007)

    def test_an_oversized_frame_is_closed_with_1009_before_its_payload_came(self):
        self.assert_closed_with(struct.pack(">BBQ", 0x82, 0x80 | 127, 64 * MEBIBYTE) + b"\0\0\0\0", 1009)

    def test_a_length_of_63_bits_is_closed(self):
        self.assert_closed_with(struct.pack(">BBQ", 0x82, 0x80 | 127, (1 << 63) - 1) + b"\0\0\0\0", 1009)

    def test_a_length_with_the_top_bit_is_closed_with_1002(self):
        self.assert_closed_with(struct.pack(">BBQ", 0x82, 0x80 | 127, 1 << 63) + b"\0\0\0\0", 1002)

    def test_a_close_with_a_code_that_may_not_be_sent_is_closed_with_1002(self):
        self.assert_closed_with(frame(struct.pack(">H", 1005), CLOSE, mask=True), 1002)

    def test_messages_of_a_client_go_nowhere(self):
        client = open_websocket(self.endpoint)
        self.addCleanup(client.close)
        client.send(b"".join(frame(os.urandom(size), BINARY, mask=True) for size in (0, 1, 125, 126, 4000, 60000)))
        client.send(frame(b"still there?", PING, mask=True))
        answer = client.frame()
        self.assertEqual((answer.opcode, answer.payload), (PONG, b"still there?"))

    def test_a_close_is_answered_with_its_code(self):
        client = open_websocket(self.endpoint)
        self.addCleanup(client.close)
        client.send(close_frame(3333, "bye", mask=True))
        self.assert_ends_with_close(client, 3333)

    def test_a_client_that_resets_its_connection_disturbs_nobody(self):
        for _ in range(20):
            open_websocket(self.endpoint).reset()
        half_way = connect(self.endpoint)
        half_way.send(b"GET / HT")
        half_way.reset()

    def test_a_client_that_never_reads_is_evicted_with_1013_after_whole_frames(self):
        sleeper = self.clients(self.endpoint, 1, receive_buffer_bytes=8192)[0]
        self.wait_until_joined(self.upstream, [sleeper])
        stream = b"".join(some_frames(300, seed=2))
        self.good.exactly(self.bytes_so_far(self.good))
        sent = 0
        while sent < 48 * MEBIBYTE:  # more than the kernel keeps for it and than it may lag
            self.upstream.send(stream)
            self.assertEqual(self.good.exactly(len(stream)), stream)
            sent += len(stream)
        # What it gets now is what was under way: the stream from its beginning, cut at a frame, and the Close.
        received = 0
        data = sleeper.frame()
        while data.opcode != CLOSE:
            again = frame(data.payload, data.opcode)
            at = received % len(stream)
            self.assertEqual(again, stream[at:at + len(again)])
            received += len(again)
            data = sleeper.frame()
        self.assertEqual(data.close_code, 1013)
        self.assertLess(received, sent)
        sleeper.close()

    def bytes_so_far(self, client) -> int:
        """What waits in the socket, which wait_until_joined() of another client has left there."""
        client.socket.setblocking(False)
        try:
            return len(client.socket.recv(MEBIBYTE, socket.MSG_PEEK))
        except BlockingIOError:
            return 0
        finally:
            client.socket.setblocking(True)


class SmallRingBehindTls(ProxyTest):
    def test_clients_that_never_read_get_whole_frames_and_1013_and_the_feed_goes_on(self):
        """More is received at once than the ring holds: decryption has to wait until the evicted let go of it."""
        authority, certificate, key = make_certificates(self.temporary_directory())
        for transport in ("select", "epoll", "io_uring"):
            with self.subTest(transport=transport):
                proxy, endpoint, upstream = self.run_against(
                    self.exchange(certificate=certificate, key=key), "--ca", authority, "--transport", transport,
                    "--ring-bytes", 256 << 10, "--message-max-bytes", 16 << 10, "--client-lag-max-bytes", 128 << 10)
                sleepers = self.clients(endpoint, 2, receive_buffer_bytes=8192)
                self.wait_until_joined(upstream, sleepers)
                numbers = range(1 << 15)
                stream = b"".join(frame(b"%08d" % number * 128, BINARY) for number in numbers)
                upstream.send(stream)
                for sleeper in sleepers:
                    expected = iter(numbers)
                    data = sleeper.frame()
                    while data.opcode != CLOSE:
                        self.assertEqual(data.payload, b"%08d" % next(expected) * 128)
                        data = sleeper.frame()
                    self.assertEqual(data.close_code, 1013)
                self.join_behind_the_backlog(endpoint, upstream)
                self.assertEqual(self.stop(proxy), EXIT_OK, proxy.error_text())
                self.assertGreaterEqual(proxy.counters()["clients_evicted"], 2)

    def join_behind_the_backlog(self, endpoint, upstream):
        """Who comes while the rest of the stream still flows may be too slow for it as well, and comes again."""
        for _ in range(100):
            late = self.clients(endpoint, 1)
            try:
                return self.wait_until_joined(upstream, late, behind_a_backlog=True)
            except (ConnectionError, EOFError):
                pass
        self.fail("no client could join")


class ClientLimits(ProxyTest):
    def test_one_client_more_than_allowed_is_refused(self):
        _, endpoint, upstream = self.run_against(self.exchange(), "--clients-max", 2)
        clients = self.clients(endpoint, 2)
        self.wait_until_joined(upstream, clients)
        third = connect(endpoint)
        self.assertEqual(third.to_end(), b"")
        third.close()
        self.assert_still_serves(upstream, clients)

    def test_clients_up_to_the_limit_leave_the_upstream_its_place(self):
        exchange = self.exchange(listens=False)
        proxy = self.start_against(exchange, "--clients-max", 2)
        endpoint = proxy.listening()
        proxy.event("upstream_lost")
        clients = self.clients(endpoint, 2)
        for _ in range(3):
            with self.assertRaises((OSError, AssertionError)):
                open_websocket(endpoint)
        exchange.listen()
        upstream = self.accept_upstream(proxy, exchange)
        self.wait_until_joined(upstream, clients)
        self.assert_still_serves(upstream, clients)

    def test_a_handshake_that_takes_too_long_is_ended(self):
        _, endpoint, _ = self.run_against(self.exchange(), "--client-handshake-timeout-ms", 50)
        slow = connect(endpoint)
        slow.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(slow.to_end(), b"")
        slow.close()

    def test_a_client_that_does_not_answer_a_close_is_cut(self):
        _, endpoint, _ = self.run_against(self.exchange(), "--client-close-timeout-ms", 50)
        (client,) = self.clients(endpoint, 1)
        client.send(frame(b"not masked"))
        self.assert_ends_with_close(client, 1002)


class BadExchanges(ProxyTest):
    """The upstream is wrong: clients stay, and after the next connection they get whole frames again."""

    def setUp(self):
        super().setUp()
        self.upstream_exchange = self.exchange()
        self.proxy, self.endpoint, self.upstream = self.run_against(
            self.upstream_exchange, "--ring-bytes", 4 * MEBIBYTE, "--message-max-bytes", 128 << 10,
            "--client-lag-max-bytes", MEBIBYTE)
        self.joined = self.clients(self.endpoint, 2)
        self.wait_until_joined(self.upstream, self.joined)

    def assert_reconnects_and_serves(self, reason: str = "") -> None:
        lost = self.proxy.event("upstream_lost")
        self.assertIn(reason, lost["reason"])
        self.upstream = self.accept_upstream(self.proxy, self.upstream_exchange)
        self.assert_still_serves(self.upstream, self.joined, seed=3)
        self.assertEqual(self.stop(self.proxy), EXIT_OK, self.proxy.error_text())
        self.assertEqual(self.proxy.counters()["upstream_losses"], 1)

    def test_a_close_in_the_middle_of_a_frame_tears_nothing_at_the_clients(self):
        whole, torn = frame(b"whole" * 100), frame(b"torn" * 500)
        self.upstream.send(whole + torn[:len(torn) // 2])
        self.upstream.close()
        for client in self.joined:
            self.assertEqual(client.exactly(len(whole)), whole)
        self.assert_reconnects_and_serves()

    def test_a_reset_in_the_middle_of_a_header_tears_nothing_at_the_clients(self):
        self.upstream.send(frame(b"x" * 1000)[:3])
        self.assert_gone_after(self.upstream.reset)

    def assert_gone_after(self, end) -> None:
        end()
        self.assert_reconnects_and_serves()

    def test_a_close_frame_is_answered_and_followed_by_a_new_connection(self):
        self.upstream.send(close_frame(1012, "restart"))
        self.assertEqual(self.next_close_code(self.upstream), 1012)
        self.assert_reconnects_and_serves("1012")

    def test_a_masked_frame_is_a_protocol_error_1002(self):
        self.upstream.send(frame(b"masked", TEXT, mask=True))
        self.assertEqual(self.next_close_code(self.upstream), 1002)
        self.assert_reconnects_and_serves("protocol")

    def test_a_message_larger_than_allowed_is_1009(self):
        self.upstream.send(frame(b"x" * (256 << 10))[:200 << 10])
        self.assertEqual(self.next_close_code(self.upstream), 1009)
        self.assert_reconnects_and_serves()

    def test_text_that_is_not_utf8_is_1007_and_reaches_no_client(self):
        self.upstream.send(frame(b"\xc0\xaf", TEXT))
        self.assertEqual(self.next_close_code(self.upstream), 1007)
        self.assert_reconnects_and_serves()

    def test_fragments_and_pings_between_them_pass_as_they_are_and_pings_are_answered(self):
        before, ping, after = frame(b"first ", TEXT, fin=False), frame(b"alive?", PING), frame(b"last", 0)
        self.upstream.send(before + ping + after)
        answer = self.upstream.frame()
        self.assertEqual((answer.opcode, answer.payload), (PONG, b"alive?"))
        for client in self.joined:
            self.assertEqual(client.exactly(len(before) + len(after)), before + after)

    def test_a_fragmented_message_cut_by_a_reconnect_is_never_continued_by_another(self):
        before = frame(b"first ", TEXT, fin=False)
        self.upstream.send(before)
        self.upstream.close()
        self.proxy.event("upstream_lost")
        self.upstream = self.accept_upstream(self.proxy, self.upstream_exchange)
        whole = frame(b"whole")
        self.upstream.send(whole)
        for client in self.joined:
            self.assert_messages_are_whole(client)

    def assert_messages_are_whole(self, client) -> None:
        """A data frame while a message is open would be a protocol error to any client."""
        received = client.frame()
        if not received.fin:
            received = client.frame()
            self.assertEqual(received.opcode, CLOSE, "a new message began inside an unfinished one")
        else:
            self.assertEqual(received.payload, b"whole")


class UnsteadyExchange(FanOutTest):
    program = "feedproxy"
    arguments = ("--venue", "raw", "--backoff-first-ms", "4", "--backoff-longest-ms", "60000")

    def test_an_exchange_that_drops_each_connection_once_it_is_ready_is_not_stormed(self):
        exchange = self.exchange()
        proxy = self.start_against(exchange)
        for _ in range(6):
            self.accept_upstream(proxy, exchange).close()
            proxy.event("upstream_lost")
        self.accept_upstream(proxy, exchange)
        self.assertEqual(self.stop(proxy), EXIT_OK)
        waits = [int(each) for each in re.findall(r"trying again in (\d+) ms", proxy.error_text())]
        self.assertGreaterEqual(waits[5], 64)
        self.assertLess(waits[0], 4)


class MockExchangeFaults(ProxyTest):
    def test_an_exchange_that_closes_mid_frame_is_reached_again_and_the_client_gets_whole_messages(self):
        recording = SESSIONS / "binance-small.jsonl.zst"
        session = session_messages(recording.name)
        stream = session[0][0]["stream"]
        texts = [text.encode() for value, text in session if value["stream"] == stream]
        cut = len(texts) // 2
        exchange = self.start("mock-exchange", "--venue", "binance", "--replay", recording, "--listen", "127.0.0.1:0",
                              "--speed", "max", "--start", "signal", "--fault", f"close-mid-frame:{cut}")
        host, port = exchange.listening()
        proxy = self.start(self.program, *self.arguments[2:], "--venue", "binance", "--listen", "127.0.0.1:0",
                           "--upstream", f"ws://{host}:{port}/stream?streams={stream}")
        endpoint = proxy.listening()
        proxy.event("upstream_ready")
        (client,) = self.clients(endpoint, 1)
        client.send(frame(b"joined", PING, mask=True))
        self.assertEqual(client.frame().opcode, PONG)
        exchange.process.send_signal(signal.SIGUSR1)
        for text in texts[:cut]:
            self.assertEqual(client.frame().payload, text)
        self.assertTrue(proxy.event("upstream_lost")["was_open"])
        proxy.event("upstream_ready")
        client.send(frame(b"still here", PING, mask=True))
        received = client.frame()
        while received.opcode != PONG:  # where the one shared replay stands by then
            self.assertIn(received.payload, texts)
            received = client.frame()
        self.assertEqual(self.stop(proxy), EXIT_OK, proxy.error_text())

    def test_credentials_that_the_venue_refuses_are_one_sentence_and_exit_code_4(self):
        exchange = self.start("mock-exchange", "--venue", "alpaca", "--replay", SESSIONS / "alpaca-small.jsonl.zst",
                              "--listen", "127.0.0.1:0", "--fault", "refuse-auth")
        host, port = exchange.listening()
        proxy = self.start(self.program, "--venue", "alpaca", "--upstream", f"ws://{host}:{port}/v2/iex", "--listen",
                           "127.0.0.1:0", "--subscribe", "trades:*",
                           environment={"FEEDPROXY_KEY": "known", "FEEDPROXY_SECRET": "unmistakable"})
        self.assert_fails_with_one_sentence(proxy, EXIT_REFUSED, "402")
        self.assertNotIn("unmistakable", proxy.error_text())


class BadStarts(ProxyTest):
    good_url = ("--upstream", "ws://127.0.0.1:1/")

    def assert_start_fails(self, exit_code: int, arguments, *words: str) -> None:
        self.assert_fails_with_one_sentence(self.start(self.program, *arguments), exit_code, *words)

    def test_a_port_in_use_is_one_sentence_and_exit_code_3(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for transport in ("select", "epoll", "io_uring"):
                with self.subTest(transport=transport):
                    self.assert_start_fails(
                        EXIT_CANNOT_START,
                        (*self.good_url, "--listen", f"127.0.0.1:{port}", "--transport", transport),
                        f"127.0.0.1:{port}", "in use")

    def test_an_unknown_transport_is_one_sentence_and_exit_code_2(self):
        self.assert_start_fails(EXIT_USAGE, (*self.good_url, "--transport", "pigeon"), "pigeon", "transport")

    def test_bad_flag_values_are_one_sentence_and_exit_code_2(self):
        for arguments, word in [
            ((), "--upstream"),
            (("--upstream", "http://a/"), "http://a/"),
            (("--upstream", "wss://stream.data.alpaca.markets/v2/iex"), "FEEDPROXY_KEY and FEEDPROXY_SECRET"),
            ((*self.good_url, "--subscribe", "x"), "--subscribe"),
            ((*self.good_url, "--wait", "sometimes"), "sometimes"),
            ((*self.good_url, "--venue", "bianance"), "binance"),
            ((*self.good_url, "--ring-bytes", "20000000"), "20000000"),
            ((*self.good_url, "--ring-bytes", "many"), "many"),
            ((*self.good_url, "--stamps", "perhaps"), "perhaps"),
            ((*self.good_url, "--listen", "nowhere"), "nowhere"),
            ((*self.good_url, "--listen", "0.0.0.0:0"), "--allow-remote"),
            ((*self.good_url, "--clients-max", "0"), "clients"),
            ((*self.good_url, "--no-such-flag"), "--no-such-flag"),
            ((*self.good_url, "--config", "/no/such/file.yaml"), "/no/such/file.yaml"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_start_fails(EXIT_USAGE, arguments, word)

    def test_an_unknown_key_in_the_configuration_names_its_line_and_the_nearest_name(self):
        config = self.temporary_directory() / "proxy.yaml"
        config.write_text("upstream: ws://127.0.0.1:1/\ntransprot: epoll\n")
        self.assert_start_fails(EXIT_USAGE, ("--config", config), f"{config}:2:1", "transprot", "transport")

    def test_a_cpu_that_is_not_there_is_one_sentence_and_exit_code_3(self):
        self.assert_start_fails(EXIT_CANNOT_START, (*self.good_url, "--listen", "127.0.0.1:0", "--cpu", "4095"), "4095")

    def test_authorities_that_are_not_there_are_one_sentence(self):
        self.assert_start_fails(EXIT_CANNOT_START, ("--upstream", "wss://127.0.0.1:1/", "--listen", "127.0.0.1:0",
                                                    "--ca", "/no/such/file.pem"), "/no/such/file.pem: No such file")
        empty = self.temporary_directory() / "empty.pem"
        empty.write_text("")
        self.assert_start_fails(EXIT_CANNOT_START, ("--upstream", "wss://127.0.0.1:1/", "--listen", "127.0.0.1:0", "--ca", empty),
                                f"{empty}: no certificate")

    def test_certificates_of_mutual_tls_that_cannot_be_read_are_one_sentence_and_exit_code_3(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        missing = "/no/such/file.pem"
        listen = (*self.good_url, "--listen", "127.0.0.1:0", "--listen-certificate", certificate, "--listen-key", key)
        upstream = ("--upstream", "wss://127.0.0.1:1/", "--listen", "127.0.0.1:0", "--ca", authority)
        local = ("--local-socket", self.temporary_directory() / "proxy.sock")
        for arguments, words in [
            ((*listen, "--listen-client-ca", missing), ("clients' authorities", missing, "No such file")),
            ((*listen, "--listen-client-ca", key), ("clients' authorities", str(key))),
            ((*upstream, "--client-certificate", missing, "--client-key", key), ("certificate", missing, "No such file")),
            ((*upstream, "--client-certificate", certificate, "--client-key", missing), ("key", missing, "No such file")),
            ((*local, "--client-certificate", certificate, "--client-key", missing), ("key", missing, "No such file")),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_start_fails(EXIT_CANNOT_START, arguments, *words)

    def test_a_certificate_that_is_not_trusted_is_one_sentence_and_exit_code_4(self):
        _, certificate, key = make_certificates(self.temporary_directory())
        self.assert_certificate_refused(certificate, key, (), "127.0.0.1")

    def test_a_certificate_of_another_host_is_one_sentence_and_exit_code_4(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        self.assert_certificate_refused(certificate, key, ("--ca", authority), "127.0.0.2")

    def assert_certificate_refused(self, certificate, key, arguments, host):
        exchange = self.exchange(certificate=certificate, key=key, host=host)
        program = self.start_against(exchange, *arguments)
        with self.assertRaises((OSError, AssertionError)):
            exchange.accept().head()
        self.assert_fails_with_one_sentence(program, EXIT_REFUSED, "certificate", host)

    def test_a_trusted_certificate_is_taken_and_the_feed_arrives(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        exchange = self.exchange(certificate=certificate, key=key)
        program, endpoint, upstream = self.run_against(exchange, "--ca", authority)
        clients = self.clients(endpoint, 2)
        self.wait_until_joined(upstream, clients)
        self.assert_still_serves(upstream, clients)
        self.assertEqual(self.stop(program), EXIT_OK)

    def test_an_upstream_that_answers_404_is_one_sentence_and_exit_code_4(self):
        exchange = self.exchange()
        program = self.start_against(exchange)
        upstream = exchange.accept()
        upstream.head()
        upstream.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.assert_fails_with_one_sentence(program, EXIT_REFUSED, "404")
        upstream.close()

    def test_an_upstream_that_is_not_there_yet_is_tried_again_until_it_is(self):
        exchange = self.exchange()
        program = self.start_against(exchange)
        exchange.accept().reset()
        self.assertFalse(program.event("upstream_lost")["was_open"])
        upstream = self.accept_upstream(program, exchange)
        (client,) = self.clients(program_endpoint(program), 1)
        self.wait_until_joined(upstream, [client])
        self.assertEqual(self.stop(program), EXIT_OK)


def program_endpoint(program) -> tuple:
    """Of an event that was passed over already."""
    text = next(event["endpoint"] for event in program.events if event["event"] == "listening")
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Ends(ProxyTest):
    def with_socket(self) -> tuple:
        path = self.temporary_directory() / "feed.sock"
        program, endpoint, upstream = self.run_against(self.exchange(), "--local-socket", path)
        return path, program, endpoint, upstream

    def test_sigterm_closes_clients_with_1001_and_leaves_nothing_behind(self):
        for stop in (signal.SIGTERM, signal.SIGINT):
            path, program, endpoint, upstream = self.with_socket()
            clients = self.clients(endpoint, 3)
            self.wait_until_joined(upstream, clients)
            self.assertTrue(path.exists())
            program.process.send_signal(stop)
            for client in clients:
                self.assertEqual(self.next_close_code(client), 1001)
                client.send(close_frame(1001, mask=True))
                self.assertEqual(client.to_end(), b"")
            self.assertEqual(self.next_close_code(upstream), 1000)
            self.assertEqual(program.wait(), EXIT_OK, program.error_text())
            self.assertFalse(path.exists())
            self.assertEqual(program.counters()["clients_accepted"], 3)

    def test_sigterm_ends_it_although_a_client_never_answers(self):
        _, program, endpoint, upstream = self.with_socket()
        (client,) = self.clients(endpoint, 1)
        self.wait_until_joined(upstream, [client])
        self.assertEqual(program.stop(), EXIT_OK, program.error_text())
        self.assertEqual(self.next_close_code(client), 1001)

    def test_sigkill_leaves_only_a_socket_path_that_the_next_start_replaces(self):
        path, program, endpoint, upstream = self.with_socket()
        self.assertEqual(program.stop(signal.SIGKILL), -signal.SIGKILL)
        self.assertEqual([each.name for each in path.parent.iterdir()], [path.name])
        self.assertFalse([name for name in os.listdir("/dev/shm") if "feedproxy" in name])
        again = self.start(self.program, *self.arguments, "--upstream", self.exchange().url(), "--local-socket", path,
                           "--listen", f"{endpoint[0]}:{endpoint[1]}")
        again.listening()
        self.assertTrue(path.exists())
        self.assertEqual(again.stop(), EXIT_OK, again.error_text())
        self.assertFalse(path.exists())

    def test_a_local_socket_in_use_is_one_sentence_and_exit_code_3(self):
        path, program, _, _ = self.with_socket()
        second = self.start_against(self.exchange(), "--local-socket", path)
        self.assert_fails_with_one_sentence(second, EXIT_CANNOT_START, str(path), "in use", "--replace")
        self.assertTrue(path.exists())
        self.assertEqual(program.stop(), EXIT_OK)

    def test_standard_descriptors_that_are_closed_never_become_something_else(self):
        exchange = self.exchange()
        for transport in ("select", "epoll", "io_uring"):
            with self.subTest(transport=transport):
                command = [BIN / self.program, *self.arguments, "--upstream", exchange.url(), "--listen", "127.0.0.1:0",
                           "--transport", transport]
                program = subprocess.Popen(["sh", "-c", "exec \"$@\" 0<&- 1>&- 2>&-", "sh", *map(str, command)])
                self.addCleanup(program.wait)
                self.addCleanup(program.kill)
                exchange.accept_websocket().close()
                exchange.accept_websocket()
                for fd in range(3):
                    self.assertEqual(os.readlink(f"/proc/{program.pid}/fd/{fd}"), "/dev/null")
                program.terminate()
                self.assertEqual(program.wait(), EXIT_OK)

    def test_a_status_descriptor_that_is_not_open_is_one_sentence_and_exit_code_3(self):
        run = subprocess.run([BIN / self.program, "--upstream", "ws://127.0.0.1:1/", "--listen", "127.0.0.1:0",
                              "--status-fd", "77"], capture_output=True, text=True)
        self.assertEqual(run.returncode, EXIT_CANNOT_START)
        self.assertIn("--status-fd 77", run.stderr)

    def test_a_folder_that_may_not_be_written_is_one_sentence_and_exit_code_3(self):
        folder = self.temporary_directory()
        folder.chmod(0o555)
        command = [BIN / self.program, "--local-socket", folder / "proxy.sock"]
        if os.geteuid() == 0:  # who may everything
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        folder.parent.chmod(0o755)
        run = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        self.assertEqual(run.returncode, EXIT_CANNOT_START, run.stderr)
        self.assertRegex(run.stderr, r"^feedproxy: .*proxy\.sock: Permission denied\n$")

    def test_a_full_disk_under_the_log_file_ends_nothing(self):
        program, endpoint, upstream = self.run_against(self.exchange(), "--log-file", "/dev/full")
        clients = self.clients(endpoint, 1)
        self.wait_until_joined(upstream, clients)
        self.assert_still_serves(upstream, clients)
        self.assertEqual(program.stop(), EXIT_OK)
        self.assertIn("No space left on device", program.error_text())

    def test_a_file_at_the_local_socket_path_is_left_alone(self):
        path = self.temporary_directory() / "precious"
        path.write_text("precious")
        program = self.start_against(self.exchange(), "--local-socket", path)
        self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, str(path))
        self.assertEqual(path.read_text(), "precious")


if __name__ == "__main__":
    unittest.main()
