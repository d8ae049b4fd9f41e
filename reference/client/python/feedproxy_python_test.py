"""The Python package feedproxy as it is installed, against the real proxy and venues that do what the test says.

The tests stand in tests/, an idea a file; they are imported here so that the package is built once for all of them.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "tests"))

# pylint: disable=unused-import,wrong-import-position
from conversation import Conversation  # noqa: E402,F401
from distribution import Distribution  # noqa: E402,F401
from messages import Messages, Gaps  # noqa: E402,F401
from million import AMillionMessages  # noqa: E402,F401
from waiting import Waiting, Streams  # noqa: E402,F401
