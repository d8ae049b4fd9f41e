"""The API: clients and feeds."""
from __future__ import annotations

import asyncio
import collections
import enum
import json
import os
import time
import weakref
from dataclasses import dataclass
from typing import (TYPE_CHECKING, Any, AsyncIterator, Callable, Deque, Dict, Iterable, List, Mapping, Optional, Sequence,
                    Set, Tuple, Union)

from . import _native
from ._errors import Error, ErrorCode

if TYPE_CHECKING:
    import numpy

Message = _native.Message

STAGES = ("nic", "wake", "read", "plain", "parsed", "handler")

_SLICE_MS = 50  # how long a wait may keep Ctrl-C waiting
_SLICE_NS = _SLICE_MS * 1_000_000
_NOTICES_MAX = 10_000
_OPENED, _FAILED = 0, 2  # kinds of native notices that answer requests
_MESSAGES_A_TURN = 256  # of a stream, before other tasks of the loop have theirs


class Opcode(enum.IntEnum):
    TEXT = 1
    BINARY = 2


class LogLevel(enum.IntEnum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    OFF = 5


class GapReason(enum.IntEnum):
    LAPPED = 0  #: This client was too slow: the publisher came round. The numbers are exact.
    UPSTREAM_LOST = 1  #: The proxy's upstream was gone for a while: how much came then, nobody knows.
    PROXY_LOST = 2  #: The proxy was: likewise.


@dataclass(frozen=True)
class Gap:
    """Something is missing before the next message."""

    reason: GapReason
    missed_messages: Optional[int]  #: None where nobody can know.
    missed_bytes: Optional[int]  #: Wire bytes, frame headers included; None likewise.


class NoticeKind(enum.IntEnum):
    UPSTREAM_READY = 3
    UPSTREAM_LOST = 4  #: The proxy tries again by itself; text: why.
    CLOSED = 5  #: For good; text: why. What is left in the log can still be read.
    PROXY_LOST = 6
    PROXY_BACK = 7  #: The feeds are being opened again.
    LOG = 8  #: A line of the proxy's log.
    PROXY_REPLACED = 9  #: Another process goes on with everything; text: its version.


_NOTICE_KINDS = frozenset(NoticeKind)


@dataclass(frozen=True)
class Notice:
    """What happened beside the messages."""

    kind: NoticeKind
    feed: Optional[Feed]
    level: Optional[LogLevel]
    text: str


Headers = Union[str, Mapping[str, str], Iterable[Tuple[str, str]]]


class Client:
    """One client of a proxy, and the proxy's start if there is none.

    Several threads may use a client: their calls take turns. Blocking calls give up the GIL and answer Ctrl-C.
    """

    def __init__(self, name: str, path: Union[str, os.PathLike, None] = None,
                 spawn: Union[str, os.PathLike, Sequence[Union[str, os.PathLike]], None] = None,
                 token: Optional[str] = None, reconnect: bool = False, timeout: float = 10.0) -> None:
        """name: 1 to 64 letters, digits and -_.: characters, shown to people.
        path: the proxy's socket; default $XDG_RUNTIME_DIR/feedproxy/default.sock.
        spawn: what to start when no proxy is there: a program, or a program and its arguments.
        token: presented to the proxy, if it asks for one.
        reconnect: come back to a proxy that was restarted, open and subscribe again.
        timeout: seconds for finding or starting the proxy (Ctrl-C waits that long) and for each blocking call.
        Raises Error."""
        words = [spawn] if isinstance(spawn, (str, os.PathLike)) else list(spawn or ())
        if not 0 < timeout <= 86_400:
            raise ValueError(f"timeout must be above 0 and at most 86400 seconds, and is {timeout}")
        self.name = name
        self.timeout = timeout
        #: Called with each Notice while the client waits or reads; without it they wait in notices().
        self.on_notice: Optional[Callable[[Notice], Any]] = None
        self._notices: Deque[Notice] = collections.deque(maxlen=_NOTICES_MAX)
        self._feeds: weakref.WeakValueDictionary[int, Feed] = weakref.WeakValueDictionary()
        self._let_go: List[int] = []  # feeds whose objects are gone
        self._answers: Dict[int, tuple] = {}  # that another thread has come upon
        self._abandoned: Set[int] = set()  # requests that nobody waits for any more
        self._sleepers: Dict[asyncio.Future, int] = {}  # the streams that wait, and for which feed
        self._watched: Optional[Tuple[asyncio.AbstractEventLoop, int]] = None  # the loop that watches our descriptor
        self._reconnect = bool(reconnect)
        self._native = _native.Client(name, None if path is None else os.fspath(path), [os.fspath(word) for word in words],
                                      token, reconnect, max(1, round(timeout * 1000)))

    def __repr__(self) -> str:
        try:
            pid = self._native.server()[0]
        except Error:
            return f"<feedproxy.Client {self.name!r}: closed>"
        feeds = len(self._feeds)
        return f"<feedproxy.Client {self.name!r}: {f'proxy {pid}' if pid else 'no proxy'}, {feeds} feed{'s' * (feeds != 1)}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes everything. Messages that are held can still be read."""
        for feed in list(self._feeds.values()):
            feed._drop()
        self._wake_sleepers()
        self._native.close()

    def open(self, url: Optional[str] = None, credentials: Optional[str] = None, headers: Optional[Headers] = None,
             venue: Optional[str] = None, subprotocol: Optional[str] = None, now: bool = False,
             last_values: bool = False) -> Feed:
        """Opens an upstream, or joins the one that is open already with the same URL, credentials, headers,
        subprotocol and venue: as they are meant, not as they are written (no venue is what the host's name says).
        Reading starts with the first message published after the call.

        url: default the upstream of the proxy's own configuration.
        credentials: NAME: the proxy's environment has NAME_KEY and NAME_SECRET. Never the secret.
        headers: of the handshake: a mapping, pairs, or "Name: value" lines.
        venue: raw, binance, alpaca; default what the host's name says, else raw.
        now: be answered at once, whatever state the upstream is in.
        last_values: begin with the newest message of each topic that the proxy still knows
        (message.last_value), then go on with the log, without a gap or a duplicate.
        Raises Error: what the venue, the proxy or the kernel said."""
        self._drain()
        request = self._native.open(url, credentials, _header_lines(headers), subprotocol, venue, now, last_values)
        answer = self._answer(request)
        feed = Feed(self._native, answer[2])
        feed._set_up(self, answer[2], answer[3])
        self._feeds[feed.id] = feed
        return feed

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Sleeps until a message, a gap or a notice is there (True), or timeout seconds have passed (False)."""
        until = _deadline(timeout)
        self._drain()
        while not self._nap(0, until):
            if _passed(until) or not (self._reconnect or self.server_pid):
                return False
        return True

    def notices(self) -> List[Notice]:
        """What happened beside the messages since the last call, at most the last 10,000; takes them away."""
        self._drain()
        taken = list(self._notices)
        self._notices.clear()
        return taken

    def status(self) -> dict:
        """The proxy's state: feeds, clients, cursors. Raises Error."""
        return json.loads(self._native.status())

    def set_log_level(self, level: LogLevel) -> None:
        """Lines of the proxy's log of at least this level come as notices from now on. Raises Error."""
        self._native.set_log_level(level)

    @property
    def server_pid(self) -> int:
        """The proxy's process; 0 while there is none."""
        return self._native.server()[0]

    @property
    def server_version(self) -> str:
        return self._native.server()[1]

    def fileno(self) -> int:
        """For a loop of one's own: readable when something is there, after arm() said that nothing is. Not to be closed."""
        return self._native.fd()

    def arm(self) -> bool:
        """True: nothing is there, fileno() will tell. False: something is, do not sleep."""
        self._drain()
        return self._native.arm(0)

    # What the feeds need.

    def _answer(self, request: int) -> tuple:
        """Waits for the answer to a request; in parts, so that Ctrl-C is heard. Raises Error."""
        until = time.monotonic() + self.timeout + 1
        answer = None
        try:
            while answer is None:
                if _passed(until):
                    raise Error(ErrorCode.TIMED_OUT, "the proxy does not answer")
                answer = self._answers.pop(request, None) or self._native.answer(request, _SLICE_MS)
        finally:
            if answer is None:
                self._abandon(request)
        if answer[0] == _FAILED:
            raise Error(answer[4], answer[6])
        return answer

    def _abandon(self, request: int) -> None:
        """Nobody waits for its answer any more; what opens after all is closed."""
        self._abandoned.add(request)
        answer = self._answers.pop(request, None)
        if answer is not None:
            self._take_answer(answer)

    def _take_answer(self, answer: tuple) -> None:
        kind, request, feed = answer[:3]
        if request not in self._abandoned:
            self._answers[request] = answer  # for the thread that waits for it
            return
        self._abandoned.discard(request)
        if kind == _OPENED:
            self._let_go.append(feed)

    def _nap(self, feed: int, until: Optional[float]) -> bool:
        """Until the feed (0: any) has something or there was a notice: True. A while without, or at until: False."""
        left_ns = _SLICE_NS if until is None else min(_SLICE_NS, int((until - time.monotonic()) * 1e9))
        there = self._native.wait(feed, max(0, left_ns))
        self._drain()
        return there

    def _drain(self) -> None:
        """Takes the notices out of the native client."""
        while (raw := self._native.next_notice()) is not None:
            kind, request, feed, _, _, level, text = raw
            if request:
                self._take_answer(raw)
                continue
            if kind not in _NOTICE_KINDS:
                continue  # of a newer library
            notice = Notice(NoticeKind(kind), self._feeds.get(feed), LogLevel(level) if kind == NoticeKind.LOG else None, text)
            if self.on_notice is None:
                self._notices.append(notice)
            else:
                self.on_notice(notice)
        while self._let_go:
            try:
                self._abandon(self._native.close_feed(self._let_go.pop()))
            except Error:
                pass  # it went before

    # asyncio: one descriptor for all feeds of the client.

    async def _news(self, feed: int) -> None:
        """Returns when the feed may have something."""
        self._drain()
        if not self._native.arm(feed):
            lost = not self._native.server()[0]
            await asyncio.sleep(_SLICE_MS / 1000 if lost else 0)
            return
        # arm() has taken the bell's ring that another stream may be waiting for.
        if any(self._native.readable(other) for other in set(self._sleepers.values())):
            self._wake_sleepers()
        future = self._watch().create_future()
        self._sleepers[future] = feed
        try:
            await future
        finally:
            self._sleepers.pop(future, None)
            if not self._sleepers:
                self._unwatch()

    def _watch(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._watched is None:
            fd = self._native.fd()
            loop.add_reader(fd, self._wake_sleepers)
            self._watched = (loop, fd)
        if self._watched[0] is not loop:
            raise RuntimeError("the streams of one client belong into one event loop")
        return loop

    def _unwatch(self) -> None:
        if self._watched is not None:
            loop, fd = self._watched
            self._watched = None
            loop.remove_reader(fd)

    def _wake_sleepers(self) -> None:
        self._unwatch()  # else it would be called until somebody has read
        for future in self._sleepers:
            if not future.done():
                future.set_result(None)
        self._sleepers.clear()


class Feed(_native.Feed):
    """One open feed; made by Client.open(), closed with close() or when nobody holds it any more.

    Iterating gives Message objects and waits for them; it ends when the feed is closed, by this program or for good by
    the venue or the proxy. What is missing (see Gap) is told to `on_gap` and counted in `gaps` and `missed`; read()
    has the Gap objects in its lists, where they belong. One place of reading: iterators, read() and stream() of a feed
    continue each other. At most 64 messages are taken from the log ahead of those handed out.
    """

    _client: Client
    id: int  #: Of this client's feeds; stays the same when the proxy is restarted.
    is_new: bool  #: open() made the upstream; nobody else had it.
    on_gap: Optional[Callable[[Gap], Any]]  #: Called with each Gap, before the message behind it is handed out.
    gaps: int
    missed: int  #: Messages that gaps with a known number had.

    def _set_up(self, client: Client, feed: int, is_new: bool) -> None:
        self._client = client
        self.id = feed
        self.is_new = is_new
        self.on_gap = None
        self.gaps = 0
        self.missed = 0

    def __del__(self) -> None:
        # Garbage is collected anywhere, also inside a call of this client: it is closed at the client's next one.
        client = getattr(self, "_client", None)
        if client is not None and not self._ended():
            client._let_go.append(self.id)

    def __repr__(self) -> str:
        return f"<feedproxy.Feed {self.id} of {self._client.name!r}>"

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def subscribe(self, symbol: str, kind: str, request: Optional[str] = None, release: Optional[str] = None) -> bool:
        """Subscribes to kind ("trades", "depth@100ms") of symbol and returns when the venue has acknowledged it; True if it
        was subscribed before. Counted: over all clients the venue is asked once.
        request, release: what to send for it; needed for a raw upstream, for the others the proxy knows.
        Raises Error with the venue's own words if it refuses."""
        client = self._client
        return client._answer(client._native.subscribe(self.id, symbol, kind, request, release))[3]

    def unsubscribe(self, symbol: str, kind: str) -> None:
        """Raises Error if it was not subscribed."""
        self._client._answer(self._client._native.unsubscribe(self.id, symbol, kind))

    def send(self, data: Union[str, bytes, bytearray, memoryview], opcode: Optional[Opcode] = None) -> None:
        """One message to the venue, at most 65,536 bytes. opcode: default text for str, binary for bytes. Raises Error."""
        if opcode is None:
            opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        if isinstance(data, str):
            data = data.encode()
        self._client._answer(self._client._native.send(self.id, data, opcode))

    def close(self) -> None:
        """Lets go of it; the upstream goes with its last user. Nothing happens if it is closed."""
        self._drop()
        client = self._client
        if client._feeds.pop(self.id, None) is None:
            return
        client._wake_sleepers()
        try:
            client._answer(client._native.close_feed(self.id))
        except Error as error:
            if error.code not in (ErrorCode.NO_SUCH_FEED, ErrorCode.PROXY_LOST, ErrorCode.BAD_REQUEST):
                raise

    @property
    def closed(self) -> bool:
        """Nothing more will come, and all that came was taken."""
        return self._ended()

    @property
    def lag(self) -> int:
        """How far behind the publisher this program is, in messages."""
        return self._pending() + self._client._native.lag(self.id)

    def read(self, messages_max: int = 256, timeout: Optional[float] = None) -> List[Union[Message, Gap]]:
        """What is there, at most messages_max; waits for the first at most timeout seconds (None: for ever; 0: not).
        A gap ends the list and is its last element. Empty: the time is over, or the feed is `closed`."""
        if messages_max < 1:
            raise ValueError(f"messages_max must be at least 1, and is {messages_max}")
        until = _deadline(timeout)
        while True:
            items = self._take(messages_max)
            if items or self._ended():
                return items
            if _passed(until):
                return items
            self._idle(until)

    async def stream(self) -> AsyncIterator[Message]:
        """For asyncio: `async for message in feed.stream()`. Ends as iterating does; other tasks have their turn after each
        256 messages. Several feeds of a client may be streamed at once, in one loop."""
        turn = 0
        while True:
            message = self._step()
            if message is False:
                return
            if message is None:
                await self._client._news(self.id)
                turn = 0
                continue
            yield message  # type: ignore[misc]
            turn += 1
            if turn >= _MESSAGES_A_TURN:
                turn = 0
                await asyncio.sleep(0)

    @staticmethod
    def stamps(messages: Sequence[Union[Message, Gap]]) -> numpy.ndarray:
        """See stamps_array()."""
        return stamps_array(messages)

    # Called by the native part.

    def _idle(self, until: Optional[float] = None) -> None:
        """There is nothing: sleeps for a while."""
        try:
            self._client._nap(self.id, until)
        except Error:
            if not self._ended():  # closed meanwhile by another thread
                raise

    def _gap(self, reason: int, missed_messages: Optional[int], missed_bytes: Optional[int]) -> Gap:
        gap = Gap(GapReason(reason), missed_messages, missed_bytes)
        self.gaps += 1
        self.missed += missed_messages or 0
        if self.on_gap is not None:
            self.on_gap(gap)
        return gap


def stamps_array(messages: Sequence[Union[Message, Gap]]) -> numpy.ndarray:
    """The stamps of messages (what read() gave; gaps are passed over) as an array of uint64, a row a message, a column a
    stage in the order of STAGES: TSC ticks, 0 where absent. Needs numpy."""
    import numpy  # pylint: disable=import-outside-toplevel
    return numpy.frombuffer(_native.pack_stamps(messages), dtype=numpy.uint64).reshape(-1, len(STAGES))


def _deadline(timeout: Optional[float]) -> Optional[float]:
    return None if timeout is None else time.monotonic() + timeout


def _passed(until: Optional[float]) -> bool:
    return until is not None and time.monotonic() >= until


def _header_lines(headers: Optional[Headers]) -> Optional[str]:
    if headers is None or isinstance(headers, str):
        return headers
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = []
    for name, value in pairs:
        if any(bad in name + value for bad in "\r\n") or ":" in name:
            raise ValueError(f"a header must be one line, and its name without a colon: {name!r}: {value!r}")
        lines.append(f"{name}: {value}\n")
    return "".join(lines)
