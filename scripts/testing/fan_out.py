"""A fan-out program as a process, between a scripted exchange and raw clients."""
import random
import socket

from programs import Program, ProgramTest
from raw_websocket import BINARY, TEXT, RawConnection, ScriptedExchange, frame, open_websocket


def some_frames(count: int, seed: int, largest: int = 2000) -> list:
    """count unmasked text and binary frames of random sizes, the limits of the header forms among them."""
    draw = random.Random(seed)
    sizes = [0, 1, 125, 126, 127, 65535, 65536] + [draw.randrange(largest) for _ in range(count)]
    draw.shuffle(sizes)
    return [frame(draw.randbytes(size).hex().encode()[:size], draw.choice([TEXT, BINARY])) for size in sizes[:count]]


class FanOutTest(ProgramTest):
    """A subclass says which program, and how its clients connect."""

    program = ""
    arguments = ()
    client = staticmethod(open_websocket)

    def setUp(self):
        self._open_clients = []

    def exchange(self, **options) -> ScriptedExchange:
        exchange = ScriptedExchange(**options)
        self.addCleanup(exchange.close)
        return exchange

    def start_against(self, exchange: ScriptedExchange, *arguments) -> Program:
        return self.start(self.program, "--upstream", exchange.url(), "--listen", "127.0.0.1:0", *self.arguments,
                          *arguments)

    def run_against(self, exchange: ScriptedExchange, *arguments) -> tuple:
        """(program, endpoint of its listener, the exchange's end of the upstream)"""
        program = self.start_against(exchange, *arguments)
        endpoint = program.listening()
        return program, endpoint, self.accept_upstream(program, exchange)

    def accept_upstream(self, program: Program, exchange: ScriptedExchange) -> RawConnection:
        upstream = exchange.accept_websocket()
        self.addCleanup(upstream.close)
        program.event("upstream_open")
        program.event("upstream_ready")
        return upstream

    def clients(self, endpoint, count: int, **options) -> list:
        clients = [self.client(endpoint, **options) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
        self._open_clients.extend(clients)
        return clients

    def stop(self, program: Program) -> int:
        """Lets the clients go first, as the program would else wait for their side of the close."""
        for client in self._open_clients:
            client.close()
        self._open_clients.clear()
        return program.stop()

    def wait_until_joined(self, upstream: RawConnection, clients: list, marker: bytes = frame(b"marker"),
                          behind_a_backlog: bool = False) -> None:
        """Sends marker frames until each client has had one: from here on all of them get what upstream sends.

        behind_a_backlog: other frames may come first, which upstream sent before and the program has not taken yet.
        """
        waiting = list(clients)
        while waiting:
            upstream.send(marker)
            waiting = [client for client in waiting if not self._has_data(client)]
        # How many markers a client had differs, so one last and different frame is the start they share.
        start = frame(b"start here")
        upstream.send(start)
        for client in clients:
            if behind_a_backlog:
                while frame(client.frame().payload) != start:
                    pass
                continue
            received = client.exactly(len(marker))
            while received == marker:
                received = client.exactly(len(marker))
            self.assertEqual(received + client.exactly(len(start) - len(marker)), start)

    @staticmethod
    def _has_data(client: RawConnection) -> bool:
        client.socket.settimeout(0.05)  # how often the marker is repeated, no limit
        try:
            return len(client.socket.recv(1, socket.MSG_PEEK)) == 1
        except (TimeoutError, socket.timeout):
            return False
        finally:
            client.socket.settimeout(None)
