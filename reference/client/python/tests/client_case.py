"""What the tests of the package share: a proxy and a scripted venue for each."""
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

from installed_package import feedproxy
from programs import BIN, ProgramTest
from raw_websocket import ScriptedExchange, frame


def is_there(pid: int) -> bool:
    """It runs; one that has ended and waits to be noticed (a zombie) does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def eventually(happened) -> None:
    """Waits for what must happen; a hang is ended by run_unittest.py."""
    while not happened():
        time.sleep(0.002)


def logs_mapped() -> int:
    """Feed logs that this process has mapped."""
    lines = pathlib.Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return sum("memfd:" in line and " r--s " in line for line in lines)


class ClientTest(ProgramTest):
    """A proxy of its own, started by the first client and ended with the test, and a scripted venue."""

    proxy_arguments = ()

    def setUp(self):
        self.folder = self.temporary_directory()
        self.path = self.folder / "proxy.sock"
        self.proxies = set()
        self.addCleanup(self._end_proxies)
        self.exchange = ScriptedExchange()
        self.addCleanup(self.exchange.close)

    def _end_proxies(self):
        for pid in self.proxies:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.proxies:
            eventually(lambda pid=pid: not is_there(pid))

    def spawn(self) -> list:
        return [BIN / "feedproxy", "--linger-ms", "30000", "--backoff-first-ms", "5", *self.proxy_arguments]

    def client(self, name: str = "python-test", **options):
        made = feedproxy.Client(name, path=self.path, **{"spawn": self.spawn(), **options})
        self.proxies.add(made.server_pid)
        self.addCleanup(made.close)
        return made

    def replace(self) -> None:
        """Another proxy takes over from the running one."""
        command = [*self.spawn(), "--local-socket", self.path, "--replace", "--detach"]
        self.assertEqual(subprocess.run(list(map(str, command)), check=False).returncode, 0)
        self.client("who").close()  # to know its number

    def open(self, client, target: str = "/feed", exchange=None, **options):
        """(feed, the venue's end); for the first client of this URL."""
        exchange = exchange or self.exchange
        upstreams = []
        accepting = threading.Thread(target=lambda: upstreams.append(exchange.accept_websocket()))
        accepting.start()
        feed = client.open(exchange.url(target), **options)
        accepting.join()
        self.addCleanup(upstreams[0].close)
        return feed, upstreams[0]

    @staticmethod
    def publish(upstream, *texts) -> None:
        upstream.send(b"".join(frame(text.encode()) for text in texts))
