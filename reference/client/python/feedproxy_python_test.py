"""The Python package feedproxy as it is installed, against the real proxy and venues that do what the test says.

The tests stand in tests/, an idea a file; they are imported here so that the package is built once for all of them.

    ctest --preset dev -R reference_client_python_test        or this file, with or without names of tests
"""
import os
import pathlib
import sys
import unittest

TREE = pathlib.Path(__file__).resolve().parents[3]
for build in ("dev", "release"):
    if (TREE / "build" / build / "bin" / "feedproxy").exists():
        os.environ.setdefault("FEEDBENCH_BIN", str(TREE / "build" / build / "bin"))
os.environ.setdefault("FEEDBENCH_SOURCE", str(TREE))
sys.path[:0] = [str(pathlib.Path(__file__).parent / "tests"), str(TREE / "scripts" / "testing")]

# pylint: disable=unused-import,wrong-import-position
from conversation import Conversation  # noqa: E402,F401
from distribution import Distribution  # noqa: E402,F401
from messages import Messages, Gaps  # noqa: E402,F401
from million import AMillionMessages  # noqa: E402,F401
from waiting import Waiting, Streams  # noqa: E402,F401

if __name__ == "__main__":
    unittest.main()
