"""The installed client: the ways to build against it in C++ and C, and each program reads a real proxy."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["FEEDBENCH_BUILD"])
BIN = pathlib.Path(os.environ["FEEDBENCH_BIN"])
CONSUMER = pathlib.Path(os.environ["FEEDBENCH_SOURCE"]) / "reference/client/package/consumer"
C_CONSUMER = CONSUMER.with_name("consumer_c")
WARNINGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
C_WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
COMPILER = os.environ.get("CXX", "c++")
C_COMPILER = os.environ.get("CC", "cc")


def sanitizer_flags():
    """A library that was built with a sanitizer wants a program that was."""
    told = re.search(r"^FEEDBENCH_SANITIZE:\w+=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.M)
    return [f"-fsanitize={told.group(1)}"] if told else []


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class InstalledClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="feedproxy_package_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run("cmake", "--install", BUILD, "--prefix", cls.folder / "installed", "--component", "client")

    def read_with(self, consumer):
        """A consumer must read what a mock exchange sends through a proxy."""
        socket = self.folder / f"{consumer.parent.name}.sock"
        exchange = subprocess.Popen(
            [BIN / "mock-exchange", "--venue", "raw", "--synthetic", "100x100", "--speed", "rate:500", "--loop", "forever",
             "--listen", "127.0.0.1:0", "--status-fd", "1", "--parent-death"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(exchange.wait)
        self.addCleanup(exchange.kill)
        self.addCleanup(exchange.stdout.close)
        url = None
        while url is None:
            line = exchange.stdout.readline()
            self.assertTrue(line, "the exchange ended")
            if '"url"' in line:
                url = json.loads(line)["url"]
        proxy = subprocess.Popen(
            [BIN / "feedproxy", "--upstream", url, "--listen", "127.0.0.1:0", "--local-socket", socket, "--status-fd", "1",
             "--parent-death"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.kill)
        self.addCleanup(proxy.stdout.close)
        while "listening" not in proxy.stdout.readline():
            self.assertIsNone(proxy.poll())
        self.assertEqual(run(consumer, socket, 200), "open\ndone\n")

    def test_by_find_package(self):
        build = self.folder / "cmake"
        run("cmake", "-S", CONSUMER, "-B", build, f"-DCMAKE_PREFIX_PATH={self.folder / 'installed'}",
            f"-DCMAKE_CXX_FLAGS={' '.join(WARNINGS[1:])}")
        run("cmake", "--build", build)
        self.read_with(build / "consumer")

    def test_by_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("pkg-config is not installed")
        build = self.folder / "pkg-config"
        build.mkdir()
        packages = next((self.folder / "installed").rglob("pkgconfig"))
        flags = run("pkg-config", "--cflags", "feedproxy-client",
                    env={**os.environ, "PKG_CONFIG_PATH": str(packages)}).split()
        run(COMPILER, *WARNINGS, *flags, CONSUMER / "main.cpp", "-o", build / "consumer")
        self.read_with(build / "consumer")

    def test_by_an_include_path_alone(self):
        build = self.folder / "plain"
        build.mkdir()
        run(COMPILER, *WARNINGS, f"-I{self.folder / 'installed/include'}", CONSUMER / "main.cpp", "-o", build / "consumer")
        self.read_with(build / "consumer")

    def test_c_by_find_package(self):
        build = self.folder / "cmake-c"
        run("cmake", "-S", C_CONSUMER, "-B", build, f"-DCMAKE_PREFIX_PATH={self.folder / 'installed'}",
            f"-DCMAKE_C_FLAGS={' '.join(C_WARNINGS[1:] + sanitizer_flags())}")
        run("cmake", "--build", build)
        self.read_with(build / "consumer")

    def test_c_by_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("pkg-config is not installed")
        build = self.folder / "pkg-config-c"
        build.mkdir()
        packages = next((self.folder / "installed").rglob("pkgconfig"))
        known = {**os.environ, "PKG_CONFIG_PATH": str(packages)}
        flags = run("pkg-config", "--cflags", "--libs", "feedproxy-client-c", env=known).split()
        library = run("pkg-config", "--variable=libdir", "feedproxy-client-c", env=known).strip()
        run(C_COMPILER, *C_WARNINGS, *sanitizer_flags(), C_CONSUMER / "main.c", *flags, f"-Wl,-rpath,{library}", "-o",
            build / "consumer")
        self.read_with(build / "consumer")

    def test_moves_with_its_folder(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("pkg-config is not installed")
        moved = self.folder / "moved"
        shutil.copytree(self.folder / "installed", moved, symlinks=True)
        packages = next(moved.rglob("pkgconfig"))
        for package in ("feedproxy-client", "feedproxy-client-c"):
            told = run("pkg-config", "--variable=includedir", package, env={**os.environ, "PKG_CONFIG_PATH": str(packages)})
            self.assertEqual(pathlib.Path(told.strip()).resolve(), (moved / "include").resolve())

    def test_needs_nothing_of_the_repository(self):
        for name in ("client.hpp", "feedproxy_client.h"):
            text = next((self.folder / "installed").rglob(name)).read_text()
            self.assertNotIn('#include "', text)

    def test_says_where_no_proxy_is(self):
        build = self.folder / "alone"
        build.mkdir()
        run(COMPILER, *WARNINGS, f"-I{self.folder / 'installed/include'}", CONSUMER / "main.cpp", "-o", build / "consumer")
        done = subprocess.run([build / "consumer", self.folder / "nowhere.sock", "1"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn("is feedproxy running", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
