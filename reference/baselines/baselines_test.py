"""feedbench-relay and feedbench-beast as processes, between a scripted exchange and raw clients."""
import random
import signal
import socket
import subprocess
import unittest

from fan_out import FanOutTest, some_frames
from programs import BIN, EXIT_CANNOT_START, EXIT_OK, EXIT_REFUSED, EXIT_USAGE, make_certificates
from raw_websocket import CLOSE, PING, PONG, close_frame, connect, frame

MEBIBYTE = 1 << 20


class Versions(unittest.TestCase):
    def test_each_program_says_its_version(self):
        for program in ("feedbench-relay", "feedbench-beast", "feedbench-bridge"):
            done = subprocess.run([BIN / program, "--version"], stdout=subprocess.PIPE, text=True, check=True)
            self.assertRegex(done.stdout, rf"^{program} \d+\.\d+\.\d+$")


class Common:
    """The tests that each of the two must pass."""

    waits = ("block", "spin")

    def test_every_client_receives_the_same_bytes_as_the_exchange_sent(self):
        for wait in self.waits:
            with self.subTest(wait=wait):
                program, endpoint, upstream = self.run_against(self.exchange(), "--wait", wait)
                clients = self.clients(endpoint, 7)
                self.wait_until_joined(upstream, clients)
                stream = b"".join(some_frames(400, seed=1))
                upstream.send(stream)
                for client in clients:
                    self.assertEqual(client.exactly(len(stream)), stream)
                self.assertEqual(self.stop(program), EXIT_OK, program.error_text())
                self.assertEqual(program.counters()["clients_accepted"], 7)
                self.assertEqual(program.counters()["clients_evicted"], 0)

    def test_frames_chopped_by_the_exchange_arrive_whole_and_in_order(self):
        program, endpoint, upstream = self.run_against(self.exchange())
        (client,) = self.clients(endpoint, 1)
        self.wait_until_joined(upstream, [client])
        stream = b"".join(some_frames(30, seed=2, largest=300)[:30])
        for size in (1, 2, 3, 7):
            for at in range(0, 400, size):
                upstream.send(stream[at:at + size])
            upstream.send(stream[at + size:])
            self.assertEqual(client.exactly(len(stream)), stream)
        self.assertEqual(self.stop(program), EXIT_OK)

    def test_a_client_that_never_reads_is_disconnected_and_the_others_are_unaffected(self):
        program, endpoint, upstream = self.run_against(self.exchange(), *self.small_lag)
        reader = self.clients(endpoint, 1)[0]
        sleeper = self.clients(endpoint, 1, receive_buffer_bytes=8192)[0]
        self.wait_until_joined(upstream, [reader, sleeper])
        burst = frame(b"x" * 4000) * 64
        sent = 0
        while sent < 64 * MEBIBYTE:  # far more than the kernel keeps for the sleeper
            upstream.send(burst)
            self.assertEqual(reader.exactly(len(burst)), burst)
            sent += len(burst)
        self.assertLess(len(sleeper.to_end()), sent)
        self.assertEqual(self.stop(program), EXIT_OK)
        self.assertEqual(program.counters()["clients_evicted"], 1)

    def test_a_client_that_resets_its_connection_leaves_the_others_alone(self):
        program, endpoint, upstream = self.run_against(self.exchange())
        clients = self.clients(endpoint, 4)
        self.wait_until_joined(upstream, clients)
        clients[1].reset()
        clients[2].close()
        stream = b"".join(some_frames(50, seed=3))
        for client in (clients[0], clients[3]):
            upstream.send(stream)
        for client in (clients[0], clients[3]):
            self.assertEqual(client.exactly(2 * len(stream)), 2 * stream)
        self.assertEqual(self.stop(program), EXIT_OK)

    def test_when_the_exchange_closes_clients_get_all_of_it_and_the_program_ends(self):
        program, endpoint, upstream = self.run_against(self.exchange())
        clients = self.clients(endpoint, 3)
        self.wait_until_joined(upstream, clients)
        stream = b"".join(some_frames(300, seed=4))
        upstream.send(stream)
        upstream.close()
        for client in clients:
            self.assertTrue(client.to_end().startswith(stream))
        self.assertEqual(program.wait(), EXIT_OK, program.error_text())
        self.assertIn("upstream_lost", [event["event"] for event in program.events])

    def test_sigterm_ends_it_in_order_and_the_counters_are_told(self):
        for stop in (signal.SIGTERM, signal.SIGINT):
            program, endpoint, upstream = self.run_against(self.exchange())
            clients = self.clients(endpoint, 2)
            self.wait_until_joined(upstream, clients)
            program.process.send_signal(stop)
            for client in clients:
                self.assert_ended_well(client)
            self.assertEqual(program.wait(), EXIT_OK, program.error_text())
            self.assertEqual(program.counters()["clients_accepted"], 2)
            self.assertGreater(program.counters()["bytes_received"], 0)

    def test_a_port_in_use_is_one_sentence_and_exit_code_3(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            program = self.start(self.program, "--upstream", self.exchange().url(), "--listen", f"127.0.0.1:{port}")
            self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, f"127.0.0.1:{port}", "in use")

    def test_an_upstream_where_nobody_listens_is_one_sentence_and_exit_code_3(self):
        exchange = self.exchange()
        url = exchange.url()
        exchange.close()
        program = self.start(self.program, "--upstream", url)
        self.assert_fails_with_one_sentence(program, EXIT_CANNOT_START, "127.0.0.1", "cannot be reached", "refused")

    def test_an_upstream_that_answers_404_is_one_sentence_and_exit_code_4(self):
        exchange = self.exchange()
        program = self.start(self.program, "--upstream", exchange.url("/nowhere"))
        upstream = exchange.accept()
        self.assertIn("GET /nowhere HTTP/1.1", upstream.head().decode())
        upstream.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.assert_fails_with_one_sentence(program, EXIT_REFUSED, "404", "did not upgrade")
        upstream.close()

    def test_bad_arguments_are_one_sentence_and_exit_code_2(self):
        for arguments, word in self.bad_arguments:
            with self.subTest(arguments=arguments):
                program = self.start(self.program, *arguments)
                self.assert_fails_with_one_sentence(program, EXIT_USAGE, word)

    good_url = ("--upstream", "ws://127.0.0.1:1/")
    bad_arguments = [
        ((), "--upstream"),
        (("--upstream", "http://127.0.0.1:1/"), "http://127.0.0.1:1/"),
        (("--upstream", "ws://"), "ws://"),
        (("--upstream", "ws://127.0.0.1:70000/"), "70000"),
        (good_url + ("--listen", "127.0.0.1"), "HOST:PORT"),
        (good_url + ("--listen", "localhost:1"), "HOST:PORT"),
        (good_url + ("--wait", "sometimes"), "sometimes"),
        (good_url + ("--no-such-flag",), "--no-such-flag"),
    ]


class Relay(Common, FanOutTest):
    program = "feedbench-relay"
    client = staticmethod(connect)
    small_lag = ("--ring-bytes", str(MEBIBYTE))
    bad_arguments = Common.bad_arguments + [
        (("--upstream", "wss://127.0.0.1:1/"), "wss://"),
        (Common.good_url + ("--transport", "pigeon"), "pigeon"),
        (Common.good_url + ("--ring-bytes", "3000000"), "power of two"),
        (Common.good_url + ("--ring-bytes", "4096"), "--ring-bytes"),
    ]

    def assert_ended_well(self, client):
        client.to_end()

    def test_each_transport_delivers_the_same_bytes(self):
        for transport in ("select", "epoll", "io_uring"):
            for wait in self.waits:
                with self.subTest(transport=transport, wait=wait):
                    program, endpoint, upstream = self.run_against(
                        self.exchange(), "--transport", transport, "--wait", wait)
                    clients = self.clients(endpoint, 5)
                    self.wait_until_joined(upstream, clients)
                    stream = b"".join(some_frames(300, seed=5))
                    for _ in range(20):  # several times round a 1 MiB ring would be, and within what it may lag
                        upstream.send(stream)
                        for client in clients:
                            self.assertEqual(client.exactly(len(stream)), stream)
                    self.assertEqual(self.stop(program), EXIT_OK, program.error_text())
                    self.assertGreaterEqual(program.counters()["bytes_delivered"], 5 * 20 * len(stream))

    def test_bytes_that_come_with_the_response_head_are_not_lost(self):
        exchange = self.exchange()
        program = self.start(self.program, "--upstream", exchange.url())
        endpoint = program.listening()
        (client,) = self.clients(endpoint, 1)
        upstream = exchange.accept()
        self.assertIn("Sec-WebSocket-Version: 13", upstream.head().decode())
        first = frame(b"first")
        upstream.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + first)
        program.event("upstream_ready")
        self.wait_for_client(upstream, client, first)
        upstream.close()

    def wait_for_client(self, upstream, client, first: bytes):
        """The client may have been accepted before or after the first bytes; it has them, or begins behind them."""
        second = frame(b"second, and last")
        client.socket.settimeout(0.05)
        while True:
            upstream.send(second)
            try:
                received = client.exactly(1)
                break
            except (TimeoutError, socket.timeout):
                continue
        client.socket.settimeout(None)
        rest = client.exactly(len(first) - 1)
        self.assertIn(received + rest, (first, second[:len(first)]))

    def test_the_ring_is_passed_round_many_times(self):
        program, endpoint, upstream = self.run_against(self.exchange(), "--ring-bytes", str(MEBIBYTE))
        clients = self.clients(endpoint, 3)
        self.wait_until_joined(upstream, clients)
        draw = random.Random(6)
        for _ in range(60):
            chunk = draw.randbytes(draw.randrange(1, 400_000))
            upstream.send(chunk)
            for client in clients:
                self.assertEqual(client.exactly(len(chunk)), chunk)
        self.assertEqual(self.stop(program), EXIT_OK)
        self.assertEqual(program.counters()["clients_evicted"], 0)


class Beast(Common, FanOutTest):
    program = "feedbench-beast"
    small_lag = ("--queue-max", "1000")

    def assert_ended_well(self, client):
        received = client.frame()
        while received.opcode != CLOSE:
            received = client.frame()
        self.assertEqual(received.close_code, 1001)
        client.send(close_frame(1001, mask=True))
        client.to_end()
        client.close()

    def test_pings_of_clients_are_answered_with_their_payload(self):
        program, endpoint, upstream = self.run_against(self.exchange())
        (client,) = self.clients(endpoint, 1)
        client.send(frame(b"are you there", PING, mask=True))
        answer = client.frame()
        self.assertEqual((answer.opcode, answer.payload), (PONG, b"are you there"))
        self.assertEqual(self.stop(program), EXIT_OK)

    def test_it_connects_upstream_over_tls_and_checks_the_certificate(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        exchange = self.exchange(certificate=certificate, key=key)
        program, endpoint, upstream = self.run_against(exchange, "--ca", authority)
        (client,) = self.clients(endpoint, 1)
        self.wait_until_joined(upstream, [client])
        stream = b"".join(some_frames(100, seed=7))
        upstream.send(stream)
        self.assertEqual(client.exactly(len(stream)), stream)
        self.assertEqual(self.stop(program), EXIT_OK)

    def test_a_certificate_that_is_not_trusted_is_one_sentence_and_exit_code_4(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        self.assert_refused(certificate, key, (), "not trusted")

    def test_a_certificate_of_another_host_is_one_sentence_and_exit_code_4(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        self.assert_refused(certificate, key, ("--ca", authority), "mismatch", host="127.0.0.2")

    def assert_refused(self, certificate, key, arguments, word, host="127.0.0.1"):
        exchange = self.exchange(certificate=certificate, key=key, host=host)
        program = self.start(self.program, "--upstream", exchange.url(), *arguments)
        with self.assertRaises(OSError):
            exchange.accept().head()
        self.assert_fails_with_one_sentence(program, EXIT_REFUSED, "certificate", word)

    def test_a_file_of_authorities_that_is_not_there_is_one_sentence_and_exit_code_2(self):
        program = self.start(self.program, "--upstream", "wss://127.0.0.1:1/", "--ca", "/no/such/file.pem")
        self.assert_fails_with_one_sentence(program, EXIT_USAGE, "/no/such/file.pem")


if __name__ == "__main__":
    unittest.main()
