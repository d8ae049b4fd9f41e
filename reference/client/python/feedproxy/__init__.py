"""Local client of feedproxy: one market-data WebSocket, shared by every program of this user, read in place.

    import feedproxy

    with feedproxy.Client("momentum-1", spawn="feedproxy") as client:
        feed = client.open("wss://stream.data.alpaca.markets/v2/iex", credentials="ALPACA")
        feed.subscribe("AAPL", "trades")
        for message in feed:
            print(message.text)
"""
import importlib.metadata

from ._client import (STAGES, Client, Feed, Gap, GapReason, LogLevel, Notice, NoticeKind, Opcode, stamps_array)
from ._errors import Error, ErrorCode, Lapped
from ._native import Message, Stamps

__all__ = ["Client", "Error", "ErrorCode", "Feed", "Gap", "GapReason", "Lapped", "LogLevel", "Message", "Notice",
           "NoticeKind", "Opcode", "STAGES", "Stamps", "stamps_array", "__version__"]

try:
    __version__: str = importlib.metadata.version("feedproxy")
except importlib.metadata.PackageNotFoundError:  # copied somewhere without what pip writes beside it
    __version__ = "unknown"
