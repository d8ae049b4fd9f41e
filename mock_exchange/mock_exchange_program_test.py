"""The program mock-exchange as a user meets it: what it says, what it refuses, and that it leaves nothing behind."""
import re
import signal
import socket
import ssl
import subprocess
import unittest

from programs import (BIN, EXIT_CANNOT_START, EXIT_OK, EXIT_USAGE, LOG_LINE, SOURCE, ProgramTest, make_certificates)

BINANCE = SOURCE / "scenarios" / "sessions" / "binance-small.jsonl.zst"
ALPACA = SOURCE / "scenarios" / "sessions" / "alpaca-small.jsonl.zst"
UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
HEAD_END = b"\r\n\r\n"
FRAME_BYTES = 2 + 100  # of the synthetic session below


class MockExchange(ProgramTest):
    def exchange(self, *arguments):
        return self.start("mock-exchange", "--listen", "127.0.0.1:0", *arguments)

    def synthetic(self, frames: int, *arguments):
        return self.exchange("--venue", "raw", "--synthetic", f"100x{frames}", "--speed", "max", *arguments)

    def receive_all(self, address) -> bytes:
        """Upgrades and takes everything until the other side ends; returns what followed the head."""
        with socket.create_connection(address) as client:
            client.sendall(UPGRADE)
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        return received.split(HEAD_END, 1)[1]

    @staticmethod
    def logged(program) -> list:
        """What it logged, without the times: "info: client 1 connected ..."."""
        lines = program.error_text().splitlines()
        assert all(LOG_LINE.match(line) for line in lines), lines
        return [line.split(" ", 2)[2] for line in lines]

    def test_refuses_what_it_cannot_do_with_one_sentence(self):
        cases = [
            (EXIT_USAGE, ["--venue", "nasdaq", "--replay", BINANCE], ["nasdaq", "binance"]),
            (EXIT_USAGE, ["--venue", "binance"], ["--replay"]),
            (EXIT_USAGE, ["--venue", "alpaca", "--replay", BINANCE], [BINANCE.name, "of binance", "--venue alpaca"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", ALPACA], [ALPACA.name, "of alpaca", "--venue binance"]),
            (EXIT_USAGE, ["--replay", BINANCE], ["--venue"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--key", "a"], ["--key", "binance", "alpaca"]),
            (EXIT_USAGE, ["--venue", "raw", "--synthetic", "100x10", "--secret", "a"], ["--secret", "raw"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--speed", "warp"], ["'warp'", "recorded"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--speed", "rate:0"], ["'rate:0'"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--loop", "0"], ["'0'", "forever"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--start", "latr"], ["'latr'"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--fault", "explode"], ["'explode'"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--listen", "nowhere"], ["'nowhere'"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--tls-cert", "cert.pem"], ["--tls-key"]),
            (EXIT_USAGE, ["--venue", "raw", "--synthetic", "10x10"], ["'10x10'"]),
            (EXIT_USAGE, ["--venue", "raw", "--synthetic", "128x10", "--send-log-fd", "0"], ["send log"]),
            (EXIT_USAGE, ["--venue", "binance", "--replay", BINANCE, "--colour"], ["--colour"]),
            (EXIT_CANNOT_START, ["--venue", "binance", "--replay", "/no/such/file"], ["/no/such/file"]),
            (EXIT_CANNOT_START, ["--venue", "raw", "--synthetic", "128x10", "--listen", "192.0.2.1:1",
                                 "--allow-remote", "on"],
             ["192.0.2.1:1"]),
            (EXIT_CANNOT_START, ["--venue", "raw", "--synthetic", "128x10", "--tls-cert", "/no/cert", "--tls-key",
                                 "/no/key"], ["/no/cert"]),
            (EXIT_CANNOT_START, ["--venue", "raw", "--synthetic", "128x10", "--cpu", "100000"], ["100000"]),
        ]
        for exit_code, arguments, words in cases:
            with self.subTest(arguments=arguments):
                program = self.start("mock-exchange", *arguments)
                self.assert_fails_with_one_sentence(program, exit_code, *words)

    def test_refuses_recordings_that_are_broken_with_file_and_cause(self):
        directory = self.temporary_directory()
        whole = BINANCE.read_bytes()
        text = subprocess.run(["zstd", "-dc", BINANCE], capture_output=True).stdout if zstd_is_there() else None
        broken = {"cut.jsonl.zst": whole[:len(whole) // 2], "not.jsonl.zst": b"this is no zstd",
                  "corrupt.jsonl.zst": whole[:2000] + bytes(64) + whole[2064:], "empty.jsonl": b"",
                  "words.jsonl": b"hello\n"}
        if text:
            broken["line.jsonl"] = text[:len(text) // 2]
        for name, content in broken.items():
            with self.subTest(name):
                path = directory / name
                path.write_bytes(content)
                program = self.exchange("--venue", "binance", "--replay", path)
                self.assert_fails_with_one_sentence(program, EXIT_USAGE, name)

    def test_refuses_a_port_in_use(self):
        first = self.synthetic(10)
        host, port = first.listening()
        second = self.start("mock-exchange", "--venue", "raw", "--synthetic", "100x10", "--listen", f"{host}:{port}")
        self.assert_fails_with_one_sentence(second, EXIT_CANNOT_START, f"{host}:{port}", "in use", "--listen")

    def test_says_what_it_serves_and_how_to_connect(self):
        for venue, recording, words in [
                ("binance", BINANCE, ["wscat -c 'ws://127.0.0.1:", "/stream?streams=", "@"]),
                ("alpaca", ALPACA, ["wscat -c 'ws://127.0.0.1:", "/v2/", '"action":"auth"', '"action":"subscribe"']),
                ("raw", BINANCE, ["wscat -c 'ws://127.0.0.1:"])]:
            with self.subTest(venue):
                program = self.exchange("--venue", venue, "--replay", recording, "--speed", "x10", "--loop", "forever")
                _, port = program.listening()
                self.assertEqual(program.stop(), EXIT_OK)
                output = program.output_text()
                for word in [*words, "frames", "speed x10", "for ever", f"listening on ws://127.0.0.1:{port}"]:
                    self.assertIn(word, output)
                self.assertEqual(program.error_text(), "")

    def test_logs_a_line_for_each_client_and_for_the_end_of_its_replay(self):
        program = self.synthetic(1000, "--when-done", "exit")
        self.receive_all(program.listening())
        self.assertEqual(program.wait(), EXIT_OK)
        lines = self.logged(program)
        self.assertEqual(len(lines), 3, lines)
        self.assertRegex(lines[0], r"^info: client 1 connected from 127\.0\.0\.1:\d+: /$")
        self.assertEqual(lines[1], "info: client 1 has had the whole replay: 1000 frames")
        self.assertTrue(lines[2].startswith("info: client 1 gone after 1000 frames"), lines[2])

    def test_logs_once_that_a_replay_for_all_is_done(self):
        program = self.synthetic(10, "--start", "signal", "--when-done", "exit")
        address = program.listening()
        with socket.create_connection(address) as one, socket.create_connection(address) as other:
            for client in (one, other):
                client.sendall(UPGRADE)
                self.assertTrue(client.recv(65536).endswith(HEAD_END))
            program.process.send_signal(signal.SIGUSR1)
            for client in (one, other):
                while client.recv(65536):
                    pass
        self.assertEqual(program.wait(), EXIT_OK)
        done = [line for line in self.logged(program) if "replay" in line]
        self.assertEqual(done, ["info: the replay is done: 10 frames"])

    def test_logs_a_refused_upgrade_with_its_status(self):
        program = self.exchange("--venue", "binance", "--replay", BINANCE)
        with socket.create_connection(program.listening()) as client:
            client.sendall(UPGRADE.replace(b"GET / ", b"GET /nowhere "))
            self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 404"))
        self.assertEqual(program.stop(), EXIT_OK)
        (line,) = self.logged(program)
        self.assertTrue(line.startswith("warning: client 1 refused with HTTP 404: "), line)

    def test_logs_that_it_closed_a_client_with_1008_and_why(self):
        program = self.exchange("--venue", "binance", "--replay", BINANCE)
        with socket.create_connection(program.listening()) as client:
            client.sendall(UPGRADE.replace(b"GET / ", b"GET /ws/BTC,USDT@@ "))
            received = b""
            while b"\x03\xf0" not in received:
                received += client.recv(65536)
        self.assertEqual(program.stop(), EXIT_OK)
        self.assertIn("warning: client 1 closed with 1008: ", "\n".join(self.logged(program)))

    def test_a_crowd_of_clients_does_not_flood_the_log(self):
        program = self.synthetic(1)
        address = program.listening()
        clients = 400
        for _ in range(clients):
            with socket.create_connection(address) as client:
                client.sendall(b"nonsense\r\n\r\n")
                while client.recv(65536):
                    pass
        self.assertEqual(program.stop(), EXIT_OK)
        lines = self.logged(program)
        left_out = sum(int(line.split()[1]) for line in lines if "lines left out" in line)
        refused = sum("refused with HTTP 400" in line for line in lines)
        self.assertEqual(refused + left_out, clients)

    def test_says_its_version(self):
        for name in ("mock-exchange", "feedbench", "feedproxy"):
            run = subprocess.run([BIN / name, "--version"], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (EXIT_OK, f"{name} {project_version()}\n", ""))

    def test_listens_beyond_loopback_only_when_told_to(self):
        arguments = ["--venue", "raw", "--synthetic", "100x10", "--listen", "0.0.0.0:0"]
        self.assert_fails_with_one_sentence(self.start("mock-exchange", *arguments), EXIT_USAGE,
                                            "0.0.0.0:0", "not a loopback address", "--allow-remote on")
        program = self.start("mock-exchange", *arguments, "--allow-remote", "on")
        program.listening()
        self.assertEqual(program.stop(), EXIT_OK)

    def test_helps(self):
        run = subprocess.run([BIN / "mock-exchange", "--help"], capture_output=True, text=True)
        self.assertEqual(run.returncode, EXIT_OK)
        for option in ("--venue", "--replay", "--listen", "--speed", "--loop", "--tls-cert", "--start", "--fault"):
            self.assertIn(option, run.stdout)
        self.assertEqual(run.stderr, "")

    def test_replays_to_each_connection_and_ends_when_it_is_done(self):
        program = self.synthetic(1000, "--when-done", "exit")
        frames = self.receive_all(program.listening())
        self.assertEqual(len(frames), 1000 * FRAME_BYTES + 4 + len("end of the replay"))
        self.assertEqual(frames[:len(b"\x81\x64{\"n\":000000000000")], b"\x81\x64{\"n\":000000000000")
        self.assertEqual(program.wait(), EXIT_OK)
        counters = program.counters()
        self.assertEqual(counters["frames_sent"], 1000)
        self.assertEqual(counters["bytes_sent"], 1000 * FRAME_BYTES)

    def test_loops(self):
        program = self.synthetic(10, "--loop", "3", "--when-done", "close")
        frames = self.receive_all(program.listening())
        once = frames[:10 * FRAME_BYTES]
        self.assertEqual(frames[:30 * FRAME_BYTES], once * 3)

    def test_starts_on_a_signal(self):
        program = self.synthetic(10, "--start", "signal", "--when-done", "close")
        with socket.create_connection(program.listening()) as client:
            client.sendall(UPGRADE)
            received = b""
            while HEAD_END not in received:
                received += client.recv(65536)
            self.assertTrue(received.endswith(HEAD_END))
            program.process.send_signal(signal.SIGUSR1)
            program.event("started")
            while chunk := client.recv(65536):
                received += chunk
        self.assertGreater(len(received.split(HEAD_END, 1)[1]), 10 * FRAME_BYTES)

    def test_spinning_serves_the_same(self):
        program = self.synthetic(1000, "--wait", "spin", "--when-done", "exit")
        self.assertGreater(len(self.receive_all(program.listening())), 1000 * FRAME_BYTES)
        self.assertEqual(program.wait(), EXIT_OK)

    def test_paces_by_its_schedule(self):
        # 100 frames at 1,000 a second take 99 ms: the client is served no faster, by the server's own account.
        program = self.exchange("--venue", "raw", "--synthetic", "100x100", "--speed", "rate:1000", "--when-done", "exit")
        frames = self.receive_all(program.listening())
        self.assertEqual(len(frames), 100 * FRAME_BYTES + 4 + len("end of the replay"))
        self.assertEqual(program.wait(), EXIT_OK)
        self.assertGreaterEqual(program.counters()["writes"], 2)

    def test_serves_wss_with_the_certificate_it_was_given(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        program = self.synthetic(100, "--tls-cert", certificate, "--tls-key", key, "--when-done", "close")
        event = program.event("listening")
        self.assertTrue(event["url"].startswith("wss://"))
        port = int(event["endpoint"].rsplit(":", 1)[1])
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection(("127.0.0.1", port)) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(UPGRADE)
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        self.assertEqual(len(received.split(HEAD_END, 1)[1]), 100 * FRAME_BYTES + 4 + len("end of the replay"))

    def test_breaks_off_in_the_middle_of_a_frame_when_asked(self):
        program = self.synthetic(100, "--fault", "close-mid-frame:7")
        frames = self.receive_all(program.listening())
        self.assertEqual(len(frames), 7 * FRAME_BYTES + FRAME_BYTES // 2)
        self.assertEqual(program.stop(), EXIT_OK)
        self.assertEqual(program.counters()["faults_injected"], 1)

    def test_answers_an_unmasked_frame_with_1002_and_goes_on_serving(self):
        program = self.synthetic(1, "--loop", "1")
        address = program.listening()
        with socket.create_connection(address) as client:
            client.sendall(UPGRADE + b"\x81\x02hi")
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        self.assertIn(b"\x03\xea", received)  # 1002
        with socket.create_connection(address) as client:
            client.sendall(UPGRADE)
            self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 101"))
        self.assertEqual(program.stop(), EXIT_OK)
        self.assertEqual(program.counters()["protocol_errors"], 1)

    def test_stops_on_either_signal_and_tells_its_clients(self):
        for stop in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(stop):
                program = self.synthetic(1)
                with socket.create_connection(program.listening()) as client:
                    client.sendall(UPGRADE)
                    received = client.recv(65536)
                    program.process.send_signal(stop)
                    while chunk := client.recv(65536):
                        received += chunk
                self.assertIn(b"\x03\xe9", received)  # 1001
                self.assertEqual(program.wait(), EXIT_OK)


def project_version() -> str:
    return re.search(r"project\(feedbench VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text()).group(1)


def zstd_is_there() -> bool:
    try:
        return subprocess.run(["zstd", "--version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    unittest.main()
