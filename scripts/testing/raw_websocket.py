"""WebSocket at the level of bytes, for tests that must send what no library would, or see exactly what arrived.

Written from RFC 6455 and used by the tests alone. Blocking sockets; a scripted exchange accepts when the test says so.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT, fin: bool = True, mask: bool = False, reserved: int = 0) -> bytes:
    """One frame; reserved: RSV1..3 as bits 4, 2, 1."""
    size = len(payload)
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    masked = 0x80 if mask else 0
    if size < 126:
        head = struct.pack(">BB", first, masked | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + apply_mask(payload, key)


def apply_mask(payload: bytes, key: bytes) -> bytes:
    stretched = (key * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(len(payload), "big")


def close_frame(code: int, reason: str = "", mask: bool = False) -> bytes:
    return frame(struct.pack(">H", code) + reason.encode(), CLOSE, mask=mask)


class Frame:
    def __init__(self, first: int, payload: bytes):
        self.fin, self.reserved, self.opcode, self.payload = bool(first & 0x80), first >> 4 & 7, first & 15, payload

    @property
    def close_code(self) -> int:
        return struct.unpack(">H", self.payload[:2])[0] if self.opcode == CLOSE and len(self.payload) >= 2 else 0

    def __repr__(self):
        return f"Frame(opcode={self.opcode}, fin={self.fin}, {len(self.payload)} bytes {self.payload[:40]!r})"


class RawConnection:
    """Bytes and frames over a connected socket."""

    def __init__(self, connected: socket.socket):
        self.socket = connected
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def exactly(self, size: int) -> bytes:
        """size bytes, or fewer when the peer ends first."""
        parts, missing = [self._received[:size]], size - len(self._received)
        self._received = self._received[size:]
        while missing > 0:
            part = self.socket.recv(min(missing, 1 << 20))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def to_end(self) -> bytes:
        """All that comes until the peer ends or resets."""
        parts, self._received = [self._received], b""
        try:
            while part := self.socket.recv(1 << 20):
                parts.append(part)
        except (ConnectionResetError, ssl.SSLError):
            pass
        return b"".join(parts)

    def head(self) -> bytes:
        """An HTTP head with its empty line; what follows it stays for later."""
        while b"\r\n\r\n" not in self._received:
            part = self.socket.recv(4096)
            if not part:
                raise AssertionError(f"the peer ended inside the HTTP head: {self._received!r}")
            self._received += part
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def frame(self) -> Frame:
        """The next frame, unmasked. Raises EOFError when the peer ended."""
        head = self.exactly(2)
        if len(head) < 2:
            raise EOFError("the peer ended")
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.exactly(8))[0]
        key = self.exactly(4) if head[1] & 0x80 else b""
        payload = self.exactly(size)
        if len(payload) < size:
            raise EOFError("the peer ended inside a frame")
        return Frame(head[0], apply_mask(payload, key) if key else payload)

    def reset(self) -> None:
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def connect(endpoint: tuple, receive_buffer_bytes: int = 0) -> RawConnection:
    """Plain TCP. receive_buffer_bytes: a fixed SO_RCVBUF, set before connecting so that the window is small too."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer_bytes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.connect(endpoint)
    return RawConnection(raw)


def open_websocket(endpoint: tuple, target: str = "/", headers: str = "", **options) -> RawConnection:
    """Connects and upgrades; the answer's Sec-WebSocket-Accept is checked. self.response holds its head."""
    connection = connect(endpoint, **options)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.send((f"GET {target} HTTP/1.1\r\nHost: {endpoint[0]}:{endpoint[1]}\r\nUpgrade: websocket\r\n"
                     f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n").encode())
    connection.response = connection.head().decode()
    if not connection.response.startswith("HTTP/1.1 101 "):
        raise AssertionError(f"not upgraded: {connection.response!r}")
    if accept_of(key).lower() not in connection.response.lower():
        raise AssertionError(f"wrong Sec-WebSocket-Accept: {connection.response!r}")
    return connection


def accept_of(key: str) -> str:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


class ScriptedExchange:
    """An upstream that does exactly what the test says. accept() blocks until the program under test connects."""

    def __init__(self, certificate=None, key=None, host: str = "127.0.0.1", listens: bool = True):
        """listens=False: connecting is refused until listen()."""
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind((host, 0))
        if listens:
            self.listen()
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, key)

    def listen(self) -> None:
        self._listener.listen()

    @property
    def endpoint(self) -> tuple:
        return self._listener.getsockname()

    def url(self, target: str = "/feed") -> str:
        return f"{'wss' if self._context else 'ws'}://{self.endpoint[0]}:{self.endpoint[1]}{target}"

    def accept(self) -> RawConnection:
        """One TCP (or TLS) connection, before any HTTP. Raises ssl.SSLError when the peer gives the handshake up."""
        accepted, _ = self._listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return RawConnection(self._context.wrap_socket(accepted, server_side=True) if self._context else accepted)

    def accept_websocket(self, first_bytes: bytes = b"") -> RawConnection:
        """Accepts and upgrades; first_bytes leave in the same write as the response head. self.request: the head."""
        connection = self.accept()
        connection.request = connection.head().decode()
        key = next(line.split(":", 1)[1].strip() for line in connection.request.splitlines()
                   if line.lower().startswith("sec-websocket-key:"))
        connection.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n".encode() + first_bytes)
        return connection

    def close(self) -> None:
        self._listener.close()
