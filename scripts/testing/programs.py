"""Runs the built programs as processes, as a user would, for the integration tests.

Nothing here waits for a length of time: every wait is for an event, a byte or the end of a process, and a test that
waits for ever is ended by run_unittest.py with its stack.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("FEEDBENCH_BIN", "build/dev/bin"))
SOURCE = pathlib.Path(os.environ.get("FEEDBENCH_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("FEEDBENCH_BUILD", BIN.parent))

# What a program logs while it runs, as against the sentence that it ends with.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ \S+ (info|warning): ")

EXIT_OK, EXIT_NEGATIVE, EXIT_USAGE, EXIT_CANNOT_START, EXIT_REFUSED = range(5)


class Program:
    """One running program. Its status lines are read as events; its error output is kept for the assertions."""

    def __init__(self, name: str, *arguments, environment=None):
        reader, writer = os.pipe()
        self._stderr = tempfile.TemporaryFile()
        self._stdout = tempfile.TemporaryFile()
        self.name = name
        self.events = []
        self.process = subprocess.Popen(
            [BIN / name, *map(str, arguments), "--status-fd", str(writer), "--parent-death"],
            pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr,
            env={**os.environ, **(environment or {})})
        os.close(writer)
        self._lines = os.fdopen(reader, "r", encoding="utf-8")

    def event(self, name: str) -> dict:
        """The next event of this name; those before it are passed over. Fails when the program ends without it."""
        for line in self._lines:
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == name:
                return event
        self.process.wait()
        raise AssertionError(f"{self.name} ended with {self.process.returncode} before the event {name!r}; "
                             f"events {[each['event'] for each in self.events]}, said: {self.error_text()!r}")

    def listening(self) -> tuple:
        """(host, port) once it listens."""
        return address(self.event("listening")["endpoint"])

    def wait(self) -> int:
        """Waits for its end (reading events up to then) and returns the exit code."""
        for line in self._lines:
            self.events.append(json.loads(line))
        return self.process.wait()

    def stop(self, with_signal=signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.wait()

    def counters(self) -> dict:
        """The counters of the event `stopped`, after wait() or stop()."""
        stopped = [event for event in self.events if event["event"] == "stopped"]
        if not stopped:
            raise AssertionError(f"{self.name} wrote no event 'stopped'; it said: {self.error_text()!r}")
        return stopped[-1]["counters"]

    def error_text(self) -> str:
        return self._read(self._stderr)

    def output_text(self) -> str:
        return self._read(self._stdout)

    @staticmethod
    def _read(file) -> str:
        file.seek(0)
        return file.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Ends it whatever it does, for clean-up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._lines.close()
        self._stderr.close()
        self._stdout.close()


def address(endpoint: str) -> tuple:
    host, port = endpoint.rsplit(":", 1)
    return host.strip("[]"), int(port)


class ProgramTest(unittest.TestCase):
    """A test that starts programs; those still running at its end are killed."""

    def start(self, name: str, *arguments, environment=None) -> Program:
        if not (BIN / name).exists():
            self.fail(f"{BIN / name} is not built")
        program = Program(name, *arguments, environment=environment)
        self.addCleanup(program.close)
        return program

    def temporary_directory(self) -> pathlib.Path:
        directory = tempfile.TemporaryDirectory(prefix="feedbench-test-")
        self.addCleanup(directory.cleanup)
        return pathlib.Path(directory.name)

    def assert_fails_with_one_sentence(self, program: Program, exit_code: int, *words: str) -> None:
        """It ends with this code, and says one line on stderr (beside what it logs on its way) that has all the words."""
        self.assertEqual(program.wait(), exit_code, program.error_text())
        lines = [line for line in program.error_text().strip().splitlines() if not LOG_LINE.match(line)]
        self.assertEqual(len(lines), 1, f"not one sentence: {lines}")
        for word in words:
            self.assertIn(word, lines[0])


def make_certificates(directory: pathlib.Path) -> tuple:
    """(authority, certificate, key) as PEM paths; the certificate is for localhost, 127.0.0.1 and ::1. Beside them stand
    client.pem and client.key, a client's certificate of the same authority."""
    subprocess.run([SOURCE / "scripts" / "make-ca", directory], check=True, capture_output=True)
    return directory / "ca.pem", directory / "server.pem", directory / "server.key"
