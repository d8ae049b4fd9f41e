"""The examples, as a user runs them: three strategies share the one connection that the venue allows."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["FEEDBENCH_BIN"])
BUILD = pathlib.Path(os.environ["FEEDBENCH_BUILD"])
SOURCE = pathlib.Path(os.environ["FEEDBENCH_SOURCE"])
PATIENCE_S = 60  # for broken code, not for slow machines


def has_ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Strategies(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="feedproxy_examples_"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.shared_memory = sorted(os.listdir("/dev/shm"))
        self.exchange = subprocess.Popen(
            [BIN / "mock-exchange", "--venue", "alpaca", "--replay", SOURCE / "scenarios/sessions/alpaca-small.jsonl.zst",
             "--listen", "127.0.0.1:0", "--loop", "forever", "--speed", "rate:2000", "--start", "now", "--max-logins", "1",
             "--key", "K", "--secret", "S", "--status-fd", "1", "--parent-death"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.exchange.stdout.close)
        self.addCleanup(self.exchange.wait)
        self.addCleanup(self.exchange.kill)
        self.url = None
        for line in self.exchange.stdout:
            if '"url"' in line:
                self.url = json.loads(line)["url"]
                break
        self.assertIsNotNone(self.url)

    def strategy(self, name, *symbols, socket="proxy.sock"):
        program = subprocess.Popen(
            [BUILD / "examples/alpaca_strategy", name, *symbols], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "FEED_URL": self.url + "/v2/test", "FEED_VENUE": "alpaca", "ALPACA_KEY": "K",
                 "ALPACA_SECRET": "S", "FEEDPROXY_SOCKET": str(self.folder / socket), "FEEDPROXY": f"{BIN / 'feedproxy'} --linger-ms 30000"})
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.stderr.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def started(self, program, symbols):
        """Waits until it says that it has subscribed; returns its first line."""
        first = program.stdout.readline()
        self.assertIn("proxy", first, first or program.stderr.read())
        for _ in range(symbols):
            self.assertIn("subscribed", program.stdout.readline())
        return first

    def test_three_share_the_one_connection_and_outlive_the_one_that_started_it(self):
        spawner = self.strategy("spawner", "AAPL", "MSFT")
        line = self.started(spawner, 2)
        self.assertIn("opened the connection", line)
        proxy = int(line.split("proxy ")[1].split(",")[0])
        others = [self.strategy(f"other-{i}", "AAPL", "MSFT") for i in (1, 2)]
        for other in others:
            self.assertIn(f"proxy {proxy}, shares the connection", self.started(other, 2))
        spawner.kill()
        spawner.wait()
        # A second connection of the account is what the venue refuses: a proxy of another path cannot have it.
        second = self.strategy("second", "AAPL", socket="other.sock")
        self.assertEqual(second.wait(timeout=PATIENCE_S), 1)
        self.assertIn("406", second.stderr.read())
        self.assertFalse(has_ended(proxy))
        for other in others:
            other.send_signal(signal.SIGTERM)
            last = other.stdout.read()
            self.assertEqual(other.wait(timeout=PATIENCE_S), 0)
            self.assertIn(", 0 missed", last)
            self.assertGreater(int(last.split(": ")[1].split(" messages")[0]), 0)
            self.assertEqual(other.stderr.read(), "")
        os.kill(proxy, signal.SIGTERM)
        self.end_of(proxy)
        self.end_of_all()
        self.assertEqual(sorted(name for name in os.listdir("/dev/shm") if "feedproxy" in name), [])
        left = [name for name in os.listdir("/dev/shm") if name not in self.shared_memory and "feedbench" not in name]
        self.assertEqual(left, [])

    def test_the_python_one_says_how_it_is_used(self):
        # The package is not needed for that: a stand-in is imported.
        (self.folder / "feedproxy.py").write_text("")
        for words in ((), ("a",), ("a", "ws://127.0.0.1:1/", "AAPL"), ("a", "ws://127.0.0.1:1/", "AAPL:")):
            done = subprocess.run([sys.executable, SOURCE / "reference/client/examples/python_consumer.py", *words], text=True,
                                  capture_output=True, env={**os.environ, "PYTHONPATH": str(self.folder)})
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn("SYMBOL:KIND", done.stderr)

    def end_of(self, pid):
        for _ in range(PATIENCE_S * 100):
            if has_ended(pid):
                return
            time.sleep(0.01)
        self.fail(f"process {pid} did not end")

    def end_of_all(self):
        """Whatever proxies of this folder still run are asked to stop."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if str(self.folder) in words and "feedproxy" in words and not has_ended(int(entry.name)):
                os.kill(int(entry.name), signal.SIGTERM)
                self.end_of(int(entry.name))


if __name__ == "__main__":
    unittest.main()
