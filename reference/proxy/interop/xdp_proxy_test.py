"""feedproxy on the xdp transport, in a test network of its own (scripts/netns): the venue and the clients are on the kernel's
side of a veth pair, the proxy's stack on the other."""
import ctypes
import os
import re
import subprocess
import unittest

from fan_out import FanOutTest, some_frames
from programs import EXIT_CANNOT_START, EXIT_OK, SOURCE
from raw_websocket import connect

NETNS = SOURCE / "scripts" / "netns"
NAME = f"fbtest{os.getpid()}"
CLONE_NEWNET = 0x40000000
FAR, STACK = "10.78.0.1", "10.78.0.2"


def enter(path: str) -> None:
    """Moves this thread, and what it starts from now on, to a network namespace."""
    with open(path) as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class OnXdp(FanOutTest):
    program = "feedproxy"
    arguments = ("--venue", "raw", "--backoff-first-ms", "1", "--backoff-longest-ms", "10", "--transport", "xdp",
                 "--xdp-interface", "feed0", "--xdp-address", f"{STACK}/24", "--allow-remote", "on")

    @classmethod
    def setUpClass(cls):
        made = subprocess.run([NETNS, "up", NAME], capture_output=True, text=True)
        if made.returncode != 0:
            raise unittest.SkipTest(f"xdp: no test network here: {made.stderr.strip().splitlines()[-1]}")
        cls.addClassCleanup(subprocess.run, [NETNS, "down", NAME], check=True, capture_output=True)
        cls.here = f"/proc/{os.getpid()}/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}"
        enter(f"/run/netns/{NAME}-far")
        cls.addClassCleanup(enter, cls.here)

    def start_against(self, exchange, *arguments):
        enter(f"/run/netns/{NAME}-near")
        try:
            return self.start(self.program, "--upstream", exchange.url(), "--listen", f"{STACK}:0", *self.arguments,
                              *arguments)
        finally:
            enter(f"/run/netns/{NAME}-far")

    def run_or_skip(self, *arguments):
        exchange = self.exchange(host=FAR)
        program = self.start_against(exchange, *arguments)
        try:
            endpoint = program.listening()
        except AssertionError:
            said = program.error_text()
            if re.search("not built in|load the XDP program|attach the XDP program|AF_XDP", said):
                self.skipTest(f"xdp: not usable here: {said.strip().splitlines()[-1]}")
            raise
        return program, endpoint, self.accept_upstream(program, exchange)

    def serves(self, *arguments):
        proxy, endpoint, upstream = self.run_or_skip(*arguments)
        self.assertEqual(endpoint[0], STACK)
        clients = self.clients(endpoint, 20)
        self.wait_until_joined(upstream, clients)
        stream = b"".join(some_frames(400, 7))
        upstream.send(stream)
        for client in clients:
            self.assertEqual(client.exactly(len(stream)), stream)
        self.assertEqual(self.stop(proxy), EXIT_OK, proxy.error_text())

    def test_every_client_gets_every_byte_blocking(self):
        self.serves("--wait", "block")

    def test_every_client_gets_every_byte_spinning(self):
        self.serves("--wait", "spin", "--xdp-attach", "generic", "--xdp-copy", "copy")

    def test_a_client_that_breaks_off_disturbs_nobody(self):
        proxy, endpoint, upstream = self.run_or_skip()
        good, bad = self.clients(endpoint, 2)
        self.wait_until_joined(upstream, [good, bad])
        bad.reset()
        connect(endpoint).close()
        stream = b"".join(some_frames(50, 8))
        upstream.send(stream)
        self.assertEqual(good.exactly(len(stream)), stream)
        self.assertEqual(self.stop(proxy), EXIT_OK, proxy.error_text())

    def test_an_address_that_is_not_its_own_is_one_sentence(self):
        proxy, _, _ = self.run_or_skip()
        self.assertEqual(self.stop(proxy), EXIT_OK, proxy.error_text())
        exchange = self.exchange(host=FAR)
        wrong = self.start("feedproxy", "--upstream", exchange.url(), "--listen", "10.78.0.9:0", "--transport", "xdp",
                           "--xdp-interface", "nothere0", "--xdp-address", "10.78.0.9/24", "--allow-remote", "on")
        self.assert_fails_with_one_sentence(wrong, EXIT_CANNOT_START, "there is no interface", "nothere0")


if __name__ == "__main__":
    unittest.main()
