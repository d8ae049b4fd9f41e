"""WebSocket clients that are not ours, as processes, for the integration tests.

Each is told a plan (one JSON argument) and tells what happens to it, one JSON object a line:
{"event": "open", "extensions": ...}, "pong", "message" {data, binary}, "close" {code, reason}, "refused" {status}.
"""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from programs import BUILD, SOURCE, ProgramTest

FOLDER = pathlib.Path(__file__).with_name("foreign")
SESSIONS = SOURCE / "scenarios" / "sessions"


class ForeignClient:
    def __init__(self, command: list, environment: dict, url: str, messages: int, *, say_first=(), answers=(),
                 deflate=False, fragmented=False, ping="", close_code=1000, close_reason="",
                 authority="", certificate="", key=""):
        """messages: the client closes after this many; 0: never by itself. answers: (part of a message, what to say).
        authority: PEM file that a wss:// server's certificate is checked with. certificate, key: PEM files of what the
        client shows of itself (mutual TLS)."""
        plan = {"url": url, "messages": messages, "say_first": list(say_first), "answers": list(answers),
                "deflate": deflate, "fragmented": fragmented, "ping": ping, "close_code": close_code,
                "close_reason": close_reason, "authority": str(authority),
                "certificate": str(certificate), "key": str(key)}
        self.pongs = []
        self.process = subprocess.Popen([*command, json.dumps(plan)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True, env=environment)

    def next(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the client ended with {self.process.wait()} and said no more")
        return json.loads(line)

    def expect(self, event: str) -> dict:
        """The next event, which must be this one. A pong may come at any time; it is kept in self.pongs."""
        line = self.next()
        while line["event"] == "pong" and event != "pong":
            self.pongs.append(line["payload"])
            line = self.next()
        if line["event"] != event:
            raise AssertionError(f"expected {event!r}, the client tells {line}")
        return line

    def messages(self, count: int) -> list:
        return [self.expect("message")["data"] for _ in range(count)]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class ForeignClientTest(ProgramTest):
    """Tests that run once with each kind of client: a subclass sets `kind`."""

    kind = "websockets"

    @classmethod
    def setUpClass(cls):
        if cls.kind == "websockets":
            cls.command = [sys.executable, "-B", str(FOLDER / "websockets_client.py")]
            cls.environment = None
        else:
            cls.command = ["node", str(FOLDER / "ws_client.js")]
            cls.environment = {**os.environ, "NODE_PATH": str(npm_modules())}

    def client(self, url: str, messages: int, **plan) -> ForeignClient:
        client = ForeignClient(self.command, self.environment, url, messages, **plan)
        self.addCleanup(client.close)
        return client


def npm_modules() -> pathlib.Path:
    """Installs what foreign/package.json names into the build folder, once. Skips where that cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("node and npm are not installed")
    folder = BUILD / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several tests may come here at once
        wanted = json.loads((FOLDER / "package.json").read_text())
        shutil.copy(FOLDER / "package.json", folder)
        for name, version in wanted["dependencies"].items():
            installed = folder / "node_modules" / name / "package.json"
            if installed.exists() and json.loads(installed.read_text())["version"] == version:
                continue
            done = subprocess.run(["npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
                                   "--fetch-retries=0", "--prefix", str(folder), f"{name}@{version}"],
                                  capture_output=True, text=True, cwd=folder)
            if done.returncode != 0:
                raise unittest.SkipTest(f"npm cannot install {name} {version} (no package registry?)")
    return folder / "node_modules"


def session_messages(file_name: str) -> list:
    """(the topic-bearing JSON value, the exact text) of each frame that the venue sent; its answers to logins and
    subscriptions, which the mock exchange gives on its own, are left out."""
    lines = subprocess.run(["zstd", "-dc", str(SESSIONS / file_name)], check=True, capture_output=True).stdout
    messages = []
    for line in lines.decode("utf-8").splitlines():
        record = json.loads(line)
        if record["dir"] != "rx" or "data" not in record:
            continue
        value = json.loads(record["data"])
        first = value[0] if isinstance(value, list) and value else value
        is_answer = isinstance(first, dict) and (first.get("T") in ("success", "subscription", "error") or
                                                 {"result", "id"} <= first.keys() or {"error", "id"} <= first.keys())
        if not is_answer:
            messages.append((value, record["data"]))
    if not messages:
        raise AssertionError(f"{file_name} has no messages")
    return messages
