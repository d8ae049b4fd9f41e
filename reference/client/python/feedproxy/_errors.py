"""What goes wrong."""
import enum


class ErrorCode(enum.IntEnum):
    """Why something could not be done."""

    NO_PROXY = 1  #: Nobody listens at the path, and none was to be spawned.
    SPAWN_FAILED = 2  #: The proxy could not be started.
    WRONG_VERSION = 3  #: The proxy speaks another version of the protocol.
    NOT_ALLOWED = 4  #: Another user, a wrong token, a URL that is not allowed.
    TOO_MANY = 5  #: A bound was reached.
    BAD_REQUEST = 6  #: Malformed, or it contradicts itself.
    NO_SUCH_FEED = 7  #: The feed is not an open one of this client.
    VENUE_REFUSED = 8  #: The venue said no; the text has its words.
    UPSTREAM_DOWN = 9  #: Not connected to the venue at the moment.
    TIMED_OUT = 10  #: No answer in time.
    TOO_LARGE = 11  #: More bytes than a message takes.
    PROXY_LOST = 12  #: The proxy ended while it was being asked, or before.
    SYSTEM = 13  #: The kernel refused, or memory ran out; the text says what.
    STOPPING = 14  #: The proxy is going away.
    LAPPED = 100  #: Python's own: the bytes of a message are no longer there.
    UNKNOWN = 101  #: Python's own: a newer proxy said something that this package does not know.

    @classmethod
    def _missing_(cls, value: object) -> "ErrorCode":
        return cls.UNKNOWN


class Error(Exception):
    """One sentence, and its `code`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = ErrorCode(code)


class Lapped(Error):
    """The publisher has come round the ring: the bytes of a message are no longer there."""

    def __init__(self, text: str) -> None:
        super().__init__(ErrorCode.LAPPED, text)
