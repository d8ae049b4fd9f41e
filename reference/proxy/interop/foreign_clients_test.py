"""feedproxy in front of mock-exchange, as seen by WebSocket clients that are not ours: python3-websockets and npm's ws."""
import signal
import socket
import unittest

from foreign_clients import SESSIONS, ForeignClientTest, session_messages
from programs import EXIT_OK, make_certificates


class Cases:
    """The tests, for either kind of client."""

    transport = "epoll"

    def chain(self, venue: str, tls: bool = False, secure_clients: bool = False, known_clients: bool = False):
        """The URL of a proxy in front of an exchange (self.proxy, self.exchange). The replay waits for begin()."""
        exchange_arguments, proxy_arguments = [], []
        if tls:
            authority, certificate, key = make_certificates(self.temporary_directory())
            exchange_arguments = ["--tls-cert", certificate, "--tls-key", key]
            proxy_arguments = ["--ca", authority]
        if secure_clients:
            self.authority, certificate, key = make_certificates(self.temporary_directory())
            proxy_arguments += ["--listen-certificate", certificate, "--listen-key", key]
            self.client_certificate = {"certificate": self.authority.with_name("client.pem"),
                                       "key": self.authority.with_name("client.key")}
            if known_clients:
                proxy_arguments += ["--listen-client-ca", self.authority]
        recording = SESSIONS / f"{venue}-small.jsonl.zst"
        self.session = session_messages(recording.name)
        self.texts = [text for _, text in self.session]
        self.exchange = self.start("mock-exchange", "--venue", venue, "--replay", recording, "--listen", "127.0.0.1:0",
                                   "--speed", "max", "--start", "signal", *exchange_arguments)
        self.exchange.listening()
        upstream = self.exchange.events[-1]["url"]
        if venue == "binance":
            target = "/stream?streams=" + "/".join(sorted({value["stream"] for value, _ in self.session}))
        else:
            target = "/v2/iex"
            proxy_arguments += ["--subscribe", "trades:*,quotes:*,bars:*,updatedBars:*,dailyBars:*,statuses:*,lulds:*"]
        self.proxy = self.start("feedproxy", "--upstream", upstream + target, "--venue", venue, "--listen",
                                "127.0.0.1:0", "--transport", self.transport, *proxy_arguments,
                                environment={"FEEDPROXY_KEY": "any", "FEEDPROXY_SECRET": "any"})
        host, port = self.proxy.listening()
        self.proxy.event("upstream_ready")
        return f"wss://{host}:{port}/" if secure_clients else f"ws://{host}:{port}/"

    def begin(self):
        self.exchange.process.send_signal(signal.SIGUSR1)

    def assert_session(self, clients: list):
        for client in clients:
            received = client.messages(len(self.texts))
            for at, (expected, theirs) in enumerate(zip(self.texts, received)):
                self.assertEqual(expected, theirs, f"message {at} of {len(self.texts)}")
            self.assertEqual(client.expect("close")["code"], 1000)

    def open_clients(self, url: str, count: int, **plan) -> list:
        clients = [self.client(url, len(self.texts), **plan) for _ in range(count)]
        for client in clients:
            self.assertEqual(client.expect("open")["extensions"], "")
        return clients

    def test_three_clients_receive_the_binance_session_byte_for_byte(self):
        url = self.chain("binance")
        clients = self.open_clients(url, 3)
        self.begin()
        self.assert_session(clients)
        self.assertEqual(self.proxy.stop(), EXIT_OK, self.proxy.error_text())
        self.assertEqual(self.proxy.counters()["clients_evicted"], 0)

    def test_clients_receive_the_session_that_came_over_tls_byte_for_byte(self):
        url = self.chain("binance", tls=True)
        clients = self.open_clients(url, 2)
        self.begin()
        self.assert_session(clients)
        self.assertEqual(self.proxy.stop(), EXIT_OK, self.proxy.error_text())

    def test_clients_that_connect_over_tls_receive_the_session_byte_for_byte(self):
        url = self.chain("binance", tls=True, secure_clients=True)
        clients = self.open_clients(url, 2, authority=self.authority)
        self.begin()
        self.assert_session(clients)
        self.assertEqual(self.proxy.stop(), EXIT_OK, self.proxy.error_text())
        self.assertEqual(self.proxy.counters()["clients_accepted"], 2)

    def test_where_clients_need_a_certificate_those_with_one_are_served_and_others_are_told_by_an_alert(self):
        url = self.chain("binance", secure_clients=True, known_clients=True)
        nameless = self.client(url, len(self.texts), authority=self.authority)
        self.assertIn("certificate required", nameless.expect("error")["text"])
        clients = self.open_clients(url, 2, authority=self.authority, **self.client_certificate)
        self.begin()
        self.assert_session(clients)
        self.assertEqual(self.proxy.stop(), EXIT_OK, self.proxy.error_text())
        self.assertEqual(self.proxy.counters()["clients_accepted"], 2)
        self.assertIn("TLS from a client: it showed no certificate", self.proxy.error_text())

    def test_a_client_over_tls_is_told_1001_when_the_proxy_stops_and_plain_ones_disturb_nobody(self):
        url = self.chain("binance", secure_clients=True)
        host, port = url[len("wss://"):-1].rsplit(":", 1)
        client = self.client(url, 0, authority=self.authority)
        client.expect("open")
        for said in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"\0" * 70_000, b""):
            with socket.create_connection((host, int(port))) as plain:
                try:
                    plain.sendall(said)
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(4096):
                        pass
                except ConnectionError:
                    pass
        self.proxy.process.send_signal(signal.SIGTERM)
        self.assertEqual(client.expect("close")["code"], 1001)
        self.assertEqual(self.proxy.wait(), EXIT_OK, self.proxy.error_text())
        self.assertEqual(self.proxy.counters()["clients_accepted"], 1)

    def test_clients_receive_the_alpaca_session_byte_for_byte_behind_the_login_of_the_proxy(self):
        url = self.chain("alpaca")
        clients = self.open_clients(url, 2)
        self.begin()
        self.assert_session(clients)
        self.assertEqual(self.proxy.stop(), EXIT_OK, self.proxy.error_text())

    def test_compression_that_a_client_offers_is_declined_cleanly(self):
        url = self.chain("binance")
        clients = self.open_clients(url, 1, deflate=True)
        self.begin()
        self.assert_session(clients)

    def test_fragmented_binary_messages_of_a_client_disturb_nobody(self):
        url = self.chain("binance")
        clients = self.open_clients(url, 2, fragmented=True, say_first=['{"action":"subscribe"}'])
        self.begin()
        self.assert_session(clients)

    def test_a_ping_with_a_payload_is_answered_with_it(self):
        url = self.chain("binance")
        client = self.client(url, len(self.texts), ping="payload of the ping")
        client.expect("open")
        self.assertEqual(client.expect("pong")["payload"], "payload of the ping")
        self.begin()
        self.assert_session([client])

    def test_the_close_code_of_a_client_comes_back(self):
        url = self.chain("binance")
        client = self.client(url, 1, close_code=3001, close_reason="had enough")
        client.expect("open")
        self.begin()
        self.assertEqual(client.messages(1), self.texts[:1])
        event = client.next()
        while event["event"] == "message":  # what was under way already
            event = client.next()
        self.assertEqual((event["event"], event["code"]), ("close", 3001))

    def test_a_client_is_told_1001_when_the_proxy_stops(self):
        url = self.chain("binance")
        client = self.client(url, 0)
        client.expect("open")
        self.proxy.process.send_signal(signal.SIGTERM)
        self.assertEqual(client.expect("close")["code"], 1001)
        self.assertEqual(self.proxy.wait(), EXIT_OK, self.proxy.error_text())


class PythonWebsockets(Cases, ForeignClientTest):
    kind = "websockets"


class NpmWs(Cases, ForeignClientTest):
    kind = "ws"


class NpmWsOverIoUring(Cases, ForeignClientTest):
    kind = "ws"
    transport = "io_uring"


class PythonWebsocketsOverSelect(Cases, ForeignClientTest):
    kind = "websockets"
    transport = "select"


if __name__ == "__main__":
    unittest.main()
