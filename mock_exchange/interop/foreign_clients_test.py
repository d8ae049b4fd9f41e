"""mock-exchange as seen by WebSocket clients that are not ours: python3-websockets and npm's ws."""
import json
import unittest

from foreign_clients import SESSIONS, ForeignClientTest, session_messages
from programs import EXIT_OK, make_certificates

CONNECTED = '[{"T":"success","msg":"connected"}]'
AUTHENTICATED = '[{"T":"success","msg":"authenticated"}]'
AUTH = json.dumps({"action": "auth", "key": "any", "secret": "any"})
CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
SUBSCRIBE_ALL = json.dumps({"action": "subscribe", **{channel: ["*"] for channel in CHANNELS}})


class Cases:
    """The tests, for either kind of client."""

    def exchange(self, venue: str, *arguments):
        """(program, its URL) of an exchange that replays the venue's generated session to each client."""
        self.session = session_messages(f"{venue}-small.jsonl.zst")
        program = self.start("mock-exchange", "--venue", venue, "--replay", SESSIONS / f"{venue}-small.jsonl.zst",
                             "--listen", "127.0.0.1:0", "--speed", "max", *arguments)
        program.listening()
        return program, program.events[-1]["url"]

    def assert_closes_cleanly(self, client, code=1000):
        self.assertEqual(client.expect("close")["code"], code)

    def assert_same(self, received: list, expected: list):
        for at, (ours, theirs) in enumerate(zip(expected, received)):
            self.assertEqual(ours, theirs, f"message {at} of {len(expected)}")
        self.assertEqual(len(received), len(expected))

    def all_streams(self) -> list:
        return sorted({value["stream"] for value, _ in self.session})

    def test_binance_combined_path_gives_the_session_byte_for_byte(self):
        program, url = self.exchange("binance")
        texts = [text for _, text in self.session]
        client = self.client(f"{url}/stream?streams={'/'.join(self.all_streams())}", len(texts))
        client.expect("open")
        self.assert_same(client.messages(len(texts)), texts)
        self.assert_closes_cleanly(client)
        self.assertEqual(program.stop(), EXIT_OK, program.error_text())

    def test_over_tls_a_client_that_checks_the_certificate_gets_the_same(self):
        authority, certificate, key = make_certificates(self.temporary_directory())
        _, url = self.exchange("binance", "--tls-cert", certificate, "--tls-key", key)
        self.assertTrue(url.startswith("wss://"))
        texts = [text for _, text in self.session]
        client = self.client(f"{url}/stream?streams={'/'.join(self.all_streams())}", len(texts), authority=authority)
        client.expect("open")
        self.assert_same(client.messages(len(texts)), texts)
        self.assert_closes_cleanly(client)

    def test_binance_gives_a_client_only_the_streams_it_asked_for(self):
        _, url = self.exchange("binance")
        stream = self.all_streams()[0]
        texts = [text for value, text in self.session if value["stream"] == stream]
        client = self.client(f"{url}/stream?streams={stream}", len(texts))
        client.expect("open")
        self.assert_same(client.messages(len(texts)), texts)
        self.assert_closes_cleanly(client)

    def test_binance_subscribe_by_message_is_answered_with_its_id_and_then_the_session(self):
        for fragmented in (False, True):
            with self.subTest(fragmented=fragmented):
                _, url = self.exchange("binance")
                texts = [text for _, text in self.session]
                subscribe = {"method": "SUBSCRIBE", "params": self.all_streams(), "id": "5f0c7a"}
                client = self.client(f"{url}/stream", 1 + len(texts), say_first=[json.dumps(subscribe)],
                                     fragmented=fragmented)
                client.expect("open")
                self.assertEqual(json.loads(client.expect("message")["data"]), {"result": None, "id": "5f0c7a"})
                self.assert_same(client.messages(len(texts)), texts)
                self.assert_closes_cleanly(client)

    def test_alpaca_login_and_subscription_lead_to_the_session_byte_for_byte(self):
        for fragmented in (False, True):  # alpaca-py fragments every message, in binary
            with self.subTest(fragmented=fragmented):
                program, url = self.exchange("alpaca")
                texts = [text for _, text in self.session]
                client = self.client(f"{url}/v2/iex", 3 + len(texts), fragmented=fragmented,
                                     answers=[('"connected"', AUTH), ('"authenticated"', SUBSCRIBE_ALL)])
                self.assert_alpaca_session(client, texts)
                self.assertEqual(program.stop(), EXIT_OK, program.error_text())

    def test_alpaca_takes_a_login_that_comes_before_its_welcome_was_read(self):
        _, url = self.exchange("alpaca")
        texts = [text for _, text in self.session]
        client = self.client(f"{url}/v2/iex", 3 + len(texts), say_first=[AUTH, SUBSCRIBE_ALL])
        self.assert_alpaca_session(client, texts)

    def assert_alpaca_session(self, client, texts: list):
        client.expect("open")
        self.assertEqual(client.messages(2), [CONNECTED, AUTHENTICATED])
        (subscription,) = json.loads(client.expect("message")["data"])
        self.assertEqual(subscription["T"], "subscription")
        self.assertEqual(subscription["trades"], ["*"])
        self.assert_same(client.messages(len(texts)), texts)
        self.assert_closes_cleanly(client)

    def test_compression_that_a_client_offers_is_declined_cleanly(self):
        _, url = self.exchange("binance")
        texts = [text for _, text in self.session]
        client = self.client(f"{url}/stream?streams={'/'.join(self.all_streams())}", len(texts), deflate=True)
        self.assertEqual(client.expect("open")["extensions"], "")
        self.assert_same(client.messages(len(texts)), texts)
        self.assert_closes_cleanly(client)

    def test_a_ping_with_a_payload_is_answered_with_it(self):
        _, url = self.exchange("binance")
        client = self.client(f"{url}/stream", 0, ping="payload of the ping")
        client.expect("open")
        self.assertEqual(client.expect("pong")["payload"], "payload of the ping")

    def test_the_close_code_and_reason_of_a_client_come_back(self):
        _, url = self.exchange("alpaca")
        client = self.client(f"{url}/v2/iex", 1, close_code=3001, close_reason="had enough")
        client.expect("open")
        self.assertEqual(client.messages(1), [CONNECTED])
        closed = client.expect("close")
        self.assertEqual(closed["code"], 3001)


class PythonWebsockets(Cases, ForeignClientTest):
    kind = "websockets"


class NpmWs(Cases, ForeignClientTest):
    kind = "ws"


if __name__ == "__main__":
    unittest.main()
