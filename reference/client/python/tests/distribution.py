"""The source distribution, and the folder alone."""
import shutil
import subprocess
import sys
import sysconfig
import tarfile

from installed_package import PACKAGE, TREE, run
from programs import ProgramTest


class Distribution(ProgramTest):
    def test_a_source_distribution_has_all_that_it_is_built_from(self):
        tree = TREE / PACKAGE
        out = self.temporary_directory()
        run([sys.executable, "setup.py", "-q", "sdist", "--dist-dir", out], cwd=tree)
        archive, = out.glob("feedproxy-*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(out)
        folder = out / archive.name.removesuffix(".tar.gz")
        run(["c++", "-std=c++20", "-fsyntax-only", "-DFP_API=", f"-I{folder / 'include'}",
             f"-I{sysconfig.get_paths()['include']}", *sorted((folder / "native").glob("*.cpp"))])
        told = run([sys.executable, "setup.py", "--version"], cwd=folder)
        self.assertEqual(told.strip().splitlines()[-1], archive.name.removesuffix(".tar.gz").removeprefix("feedproxy-"))

    def test_the_folder_alone_says_what_is_missing(self):
        alone = self.temporary_directory() / "python"
        shutil.copytree(TREE / PACKAGE, alone, ignore=shutil.ignore_patterns("build"))
        self.assert_says_what_is_missing(alone)

    def test_half_a_tree_says_what_is_missing(self):
        half = self.temporary_directory()
        shutil.copytree(TREE / "reference" / "client", half / "reference" / "client", ignore=shutil.ignore_patterns("build"))
        self.assertIn("transports/", self.assert_says_what_is_missing(half / PACKAGE))

    def assert_says_what_is_missing(self, folder):
        done = subprocess.run([sys.executable, "setup.py", "--version"], cwd=folder, capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("FEEDPROXY_SOURCE", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr
