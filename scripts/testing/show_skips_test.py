"""scripts/show_skips: every skip is told once, with its reason, and one that nobody expects is a fault."""
import pathlib
import subprocess
import tempfile
import unittest

SHOW_SKIPS = pathlib.Path(__file__).parents[1] / "show_skips"


def case(suite: str, name: str, skip: str = "", failure: bool = False) -> str:
    inside = f'<skipped message="{skip}"/>' if skip else '<failure message="no"/>' if failure else ""
    return f'<testcase name="{name}" classname="{suite}" result="{"skipped" if skip else "completed"}">{inside}</testcase>'


class ShowSkips(unittest.TestCase):
    def show(self, cases: list, binary: str = "transports_conformance_test"):
        with tempfile.TemporaryDirectory(prefix="feedbench-test-") as folder:
            text = f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
            (pathlib.Path(folder) / f"{binary}.xml").write_text(text)
            return subprocess.run([SHOW_SKIPS, folder], capture_output=True, text=True)

    def test_cases_of_one_test_and_one_reason_are_one_line(self):
        run = self.show([case(f"Poll/{i}", "Batches", f"../a/b_test.cpp:{i} only a ring batches sends") for i in range(12)]
                        + [case("Poll/12", "Batches", "../a/b_test.cpp:9 made to be slow"), case("Poll/13", "Batches")])
        self.assertEqual(run.stdout.splitlines(), [
            "skipped: transports_conformance_test: Poll.Batches (12 cases): only a ring batches sends",
            "skipped: transports_conformance_test: Poll.Batches: made to be slow",
            "test cases: 1 passed, 0 failed, 13 skipped"])
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_a_skip_that_nobody_expects_is_a_fault_with_its_name(self):
        run = self.show([case("Suite/3", "Works", "not today"), case("Suite", "Fails", failure=True)], "some_test")
        self.assertEqual(run.stdout.splitlines(), ["skipped: some_test: Suite.Works: not today",
                                                   "test cases: 0 passed, 1 failed, 1 skipped"])
        self.assertIn("some_test: Suite/3.Works", run.stderr)
        self.assertEqual(run.returncode, 1)


if __name__ == "__main__":
    unittest.main()
