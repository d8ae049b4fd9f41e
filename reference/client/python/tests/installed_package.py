"""Builds and installs the package from a copy of the source tree, as a user would, when imported.

feedproxy: the installed package. numpy: None where it is not installed.
"""
import atexit
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile

from programs import SOURCE

PACKAGE = pathlib.Path("reference") / "client" / "python"
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"


def run(command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}")
    return done.stdout


_folder = tempfile.TemporaryDirectory(prefix="feedproxy-python-")
atexit.register(_folder.cleanup)
TREE = pathlib.Path(_folder.name) / "tree"
SITE = pathlib.Path(_folder.name) / "site"


def _install():
    for part in ("reference/client", "transports"):
        shutil.copytree(SOURCE / part, TREE / part, ignore=shutil.ignore_patterns("*_test.*", "build", "*.egg-info"))
    shutil.copy(SOURCE / "CMakeLists.txt", TREE)
    # Python's own headers are not held to our warnings.
    environment = {**os.environ, "CFLAGS": f"-isystem {sysconfig.get_paths()['include']} {WARNINGS}",
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if shutil.which("ccache"):
        environment.update(CC="ccache cc", CCACHE_BASEDIR=str(TREE), CCACHE_NOHASHDIR="1")
    run([sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", SITE,
         TREE / PACKAGE], env=environment)


_install()
sys.path.insert(0, str(SITE))
import feedproxy  # noqa: E402  pylint: disable=wrong-import-position

assert pathlib.Path(feedproxy.__file__).is_relative_to(SITE), feedproxy.__file__

numpy = None
with contextlib.suppress(ImportError):
    import numpy
