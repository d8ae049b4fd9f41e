#!/usr/bin/env python3
"""Runs one unittest module and writes its results as the GoogleTest binaries do, for scripts/show_skips.

Usage: run_unittest.py MODULE.py --name NAME [--results DIRECTORY] [--give-up-after SECONDS] [TEST ...]
A module that hangs is ended shortly before --give-up-after with the stack of every thread.
Exit 0 when nothing failed, 77 when every case was skipped, 1 otherwise.
"""
import argparse
import faulthandler
import importlib.util
import pathlib
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class Results(unittest.TextTestResult):
    """Keeps what became of each test."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.cases = []  # (case, outcome, text, seconds)
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def _keep(self, test, outcome, text=""):
        self.cases.append((test, outcome, text, time.monotonic() - self._started))

    def addSuccess(self, test):
        super().addSuccess(test)
        self._keep(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._keep(test, "skipped", reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._keep(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._keep(test, "failed", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._keep(subtest, "failed", str(err[1]))


def write_xml(cases, name: str, directory: pathlib.Path) -> None:
    root = ElementTree.Element("testsuites", name=name, tests=str(len(cases)))
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    for test, outcome, text, seconds in cases:
        method = getattr(test, "_testMethodName", str(test)).removeprefix("test_")
        case = ElementTree.SubElement(
            suite, "testcase", name=method, classname=type(test).__name__,
            time=f"{seconds:.3f}",
            result="skipped" if outcome == "skipped" else "completed")
        if outcome != "passed":
            ElementTree.SubElement(case, "skipped" if outcome == "skipped" else "failure", message=text)
    directory.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(directory / f"{name}.xml", encoding="utf-8", xml_declaration=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", type=pathlib.Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--give-up-after", type=float, default=300)
    parser.add_argument("tests", nargs="*", help="names as unittest takes them: Class or Class.method; default all")
    arguments = parser.parse_intermixed_args()

    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.path.insert(0, str(arguments.module.parent))
    faulthandler.dump_traceback_later(max(arguments.give_up_after - 10, 5), exit=True)
    spec = importlib.util.spec_from_file_location(arguments.module.stem, arguments.module)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames(arguments.tests, module) if arguments.tests
             else loader.loadTestsFromModule(module))

    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Results).run(suite)
    if arguments.results:
        write_xml(result.cases, arguments.name, arguments.results)
    if not result.wasSuccessful() or not result.cases:
        return 1
    return 77 if all(outcome == "skipped" for _, outcome, *_ in result.cases) else 0


if __name__ == "__main__":
    sys.exit(main())
