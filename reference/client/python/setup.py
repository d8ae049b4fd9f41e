"""Builds the package feedproxy: Python modules and one extension, which has the C++ client compiled in.

The headers of the client are looked for, in this order, in $FEEDPROXY_SOURCE, in the feedproxy source tree that this folder
stands in, and in include/ beside this file, where `setup.py sdist` puts those that are needed.
"""
import os
import pathlib
import re
import shutil

import setuptools
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
ENTRY = "reference/client/c/feedproxy_client.cpp"
BUNDLE = "include"
SOURCES = [f"native/{name}.cpp" for name in ("module", "log", "message", "client", "feed", "c_interface")]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def source_root() -> pathlib.Path:
    """The folder under which ENTRY and all it includes are found."""
    candidates = [HERE.parents[2]] if len(HERE.parents) > 2 else []
    if os.environ.get("FEEDPROXY_SOURCE"):
        candidates = [pathlib.Path(os.environ["FEEDPROXY_SOURCE"]).resolve()]
    candidates.append(HERE / BUNDLE)
    faults = []
    for root in candidates:
        missing = next((path for path in needed_files(root) if not (root / path).exists()), None)
        if missing is None:
            return root
        faults.append(f"{root} has no {missing}")
    raise SystemExit(f"setup.py: the C++ client is not to be found whole: {', '.join(faults)}; build inside the feedproxy "
                     "source tree, or set FEEDPROXY_SOURCE to it")


def needed_files(root: pathlib.Path) -> list:
    """ENTRY, and whatever it and the extension's own files include from the tree, as paths under root, there or not."""
    found, waiting = [], [ENTRY]
    for source in SOURCES:
        waiting.extend(INCLUDE.findall((HERE / source).read_text(encoding="utf-8")))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            if (root / path).exists():
                waiting.extend(INCLUDE.findall((root / path).read_text(encoding="utf-8")))
    return found


def version(root: pathlib.Path) -> str:
    """Of the project; in a source distribution that of the distribution."""
    project = root / "CMakeLists.txt"
    told = re.search(r"project\(feedbench VERSION ([0-9.]+)", project.read_text(encoding="utf-8")) if project.exists() else None
    if told:
        return told.group(1)
    described = HERE / "PKG-INFO"
    told = re.search(r"^Version: (\S+)", described.read_text(encoding="utf-8"), re.M) if described.exists() else None
    return told.group(1) if told else "0"


class SourceDistribution(sdist):
    """Takes the headers along."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        root = source_root()
        for path in needed_files(root):
            to = pathlib.Path(base_dir) / BUNDLE / path
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, to)


ROOT = source_root()
setuptools.setup(
    name="feedproxy",
    version=version(ROOT),
    description="Local client of feedproxy: one market-data WebSocket, shared by every program of a user, read in place",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.9",
    packages=["feedproxy"],
    package_data={"feedproxy": ["py.typed", "*.pyi"]},
    extras_require={"numpy": ["numpy"]},
    cmdclass={"sdist": SourceDistribution},
    ext_modules=[setuptools.Extension(
        "feedproxy._native",
        SOURCES,
        depends=[str(ROOT / path) for path in needed_files(ROOT)],
        include_dirs=[str(ROOT)],
        define_macros=[("FP_API", "")],
        extra_compile_args=["-std=c++20", "-O2", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wno-restrict"],
        language="c++")],
)
