"""Tests of scripts/plot: the decoder against published encodings and against the C++ side, and pictures and page for
made-up results. FEEDBENCH_SOURCE: the checkout; FEEDBENCH_SYNTHETIC: the program that writes made-up results."""

import html.parser
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

SOURCE = pathlib.Path(os.environ["FEEDBENCH_SOURCE"])
SYNTHETIC = os.environ["FEEDBENCH_SYNTHETIC"]
PLOT = SOURCE / "scripts" / "plot"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "scripts"))

from plotting import draw, hdr, quiet, result, stages, style  # noqa: E402

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "p99.99": 99.99, "p99.999": 99.999}

# As the test suites of other implementations publish them: encoding, count, p50, p99.
PUBLISHED = [
    ("HISTFAAAAB542pNpmSzMwMDAxAABzFCaEUoz2X+AMIKZAEARAtM=", 1, 42, 42),
    ("HISTFAAAACV4nJNpmSzMwMDAwQABzFCaEUrp2H+AsI4zMh1lZEpkAgBdIQSk", 3, 200, 250),
    (
        "HISTFAAAAEV42pNpmSzMwMCgyAABTBDKT4GBgdnNYMcCBvsPEBEJISEuATEZMQ4uASkhIR4nrxg9v2lMaxhvMekILGZkKmcCAEf2CsI=",
        741,
        344063,
        409599,
    ),
    ("HISTEwAAAAYAAAAAAAAAAwAAAAAAAAABAAAAAAAAD/8/8AAAAAAAAP8VAqkTAg", 2, 1408, 3245),
]


class Folder(unittest.TestCase):
    """A folder of the test's own, and made-up results in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="feedbench-plot-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def synthetic(self, kind):
        path = self.folder / f"{kind}.json"
        subprocess.run([SYNTHETIC, kind, str(path)], check=True)
        return path

    def edited(self, kind, edit):
        path = self.synthetic(kind)
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
        return path

    def run_plot(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(PLOT), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MPLCONFIGDIR": str(self.folder / "matplotlib"), **environment},
        )

    def drawn(self, path):
        out = self.folder / "out"
        page = pathlib.Path(draw.draw_all(result.load(str(path)), str(out)))
        return out, page.read_text(encoding="utf-8")


class Decoder(Folder):
    def test_reads_published_encodings_as_their_publishers_do(self):
        for text, count, p50, p99 in PUBLISHED:
            with self.subTest(text=text[:24]):
                histogram = hdr.decode_base64(text)
                self.assertEqual(histogram.count, count)
                self.assertEqual(histogram.value_at(50), p50)
                self.assertEqual(histogram.value_at(99), p99)

    def test_agrees_with_the_encoder_on_every_histogram_of_a_result(self):
        content = json.loads(self.synthetic("one_count").read_text())
        checked = 0
        for entry in self.entries(content):
            histogram = hdr.from_json(entry)
            self.assertEqual(histogram.count, entry["count"])
            for name, percentile in PERCENTILES.items():
                self.assertEqual(histogram.supported(percentile), entry["percentiles"][name])
            self.assertEqual(histogram.value_at(100), entry["max"])
            checked += 1
        self.assertGreater(checked, 100)

    def entries(self, node):
        if isinstance(node, dict):
            if "v2" in node:
                yield node
            else:
                for inner in node.values():
                    yield from self.entries(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from self.entries(inner)

    def test_merges_as_if_all_had_been_recorded_in_one(self):
        content = json.loads(self.synthetic("one_count").read_text())
        one, two = [hdr.from_json(entry) for entry in list(self.entries(content))[:2]]
        merged = result.merge([one, two])
        self.assertEqual(merged.count, one.count + two.count)
        self.assertEqual(merged.exact_max, max(one.exact_max, two.exact_max))
        self.assertLessEqual(min(one.value_at(50), two.value_at(50)), merged.value_at(50))

    def test_refuses_damaged_encodings_with_a_sentence(self):
        whole = hdr.base64.b64decode(PUBLISHED[2][0])
        for length in range(len(whole)):
            with self.assertRaises(hdr.EncodingError):
                hdr.decode(whole[:length])
        for text in ("", "not base64!", "HISTIgAAAFd42pNpmaz="):
            with self.assertRaises(hdr.EncodingError):
                hdr.decode_base64(text)


class PageParser(html.parser.HTMLParser):
    """Collects what the page refers to, and checks that what is opened is closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


class Pictures(Folder):
    def check_page(self, page):
        parser = PageParser()
        parser.feed(page)
        self.assertEqual(parser.open, [])
        for reference in parser.references:
            self.assertTrue(reference.startswith(("data:image/svg+xml;base64,", "#")), reference[:60])

    def check_pictures(self, out, names):
        self.assertEqual(sorted(p.stem for p in out.glob("*.png")), sorted(names))
        for name in names:
            self.assertTrue((out / f"{name}.png").read_bytes().startswith(b"\x89PNG"))
            ElementTree.parse(out / f"{name}.svg")

    def test_of_a_full_result_are_all_there_and_the_page_holds_them(self):
        out, page = self.drawn(self.synthetic("full"))
        names = ["latency-stages", "latency-percentiles", "latency-latency", "latency-cpu"]
        names += ["fanout-throughput", "fanout-cpu"]
        self.check_pictures(out, names)
        self.check_page(page)
        self.assertEqual(page.count("<img "), len(names))
        self.assertIn("io_uring_setup is said to be forbidden here (EPERM)", page)
        self.assertIn("the generator was late", page)
        self.assertIn("not met", page)
        self.assertIn("no difference shown", page)
        self.assertIn("# synthetic: no scenario ran", page)

    def test_of_one_client_count_are_drawn_as_rows(self):
        out, page = self.drawn(self.synthetic("one_count"))
        self.assertEqual(len(list(out.glob("*.svg"))), 6)
        self.check_page(page)

    def test_are_left_out_where_every_case_was_skipped(self):
        out, page = self.drawn(self.synthetic("all_skipped"))
        self.check_pictures(out, [])
        self.check_page(page)
        self.assertIn("nothing to draw", page)
        self.assertIn("this kernel is said to lack epoll", page)

    def test_are_left_out_where_every_repetition_is_invalid(self):
        out, page = self.drawn(self.synthetic("invalid_only"))
        self.check_pictures(out, [])
        self.check_page(page)
        self.assertIn("nothing to draw", page)
        self.assertIn("invalid (6)", page)
        self.assertIn("not compared: ", page)

    def test_show_a_stage_that_nobody_stamped_as_a_gap(self):
        def drop_nic(content):
            empty = "HISTFAAAABl4nJNpmSzMgADMUFoEyn1h/wHCAgBDogN4"
            for case in content["groups"][0]["cases"]:
                for repetition in case["repetitions"]:
                    for name in ("sent_nic", "nic_wake"):
                        if repetition["stages"]:
                            stage = repetition["stages"][name]
                            stage.update(count=0, absent=3000, v2=empty, min=None, max=None, mean=None)

        path = self.edited("one_count", drop_nic)
        one = result.load(str(path))["slices"][0]
        staged = next(case for case in one.cases if case.staged)
        self.assertEqual(staged.stage("sent_nic")[0], None)
        notes = []
        stages._note_absent(staged, [staged.stage(name) for name, _ in result.STAGES], notes)
        self.assertEqual(len(notes), 2)
        self.assertIn("is not stamped", notes[0])
        out, _ = self.drawn(path)
        self.assertTrue((out / "latency-stages.png").exists())

    def test_have_no_stages_where_no_system_stamps_them(self):
        def drop_stages(content):
            for case in content["groups"][0]["cases"]:
                for repetition in case["repetitions"]:
                    repetition["stages"] = None

        out, _ = self.drawn(self.edited("one_count", drop_stages))
        self.assertFalse((out / "latency-stages.png").exists())
        self.assertTrue((out / "latency-percentiles.png").exists())

    def test_stand_apart_where_a_group_varies_more_than_systems_and_clients(self):
        def resize(content):
            for case in content["groups"][1]["cases"][::2]:
                case["parameters"]["payload_bytes"] = 1024

        out, page = self.drawn(self.edited("one_count", resize))
        self.assertTrue((out / "fanout-128B-throughput.png").exists())
        self.assertTrue((out / "fanout-1024B-throughput.png").exists())
        self.assertIn("1,024 B payload", page)

    def test_survive_repetitions_without_any_optional_number(self):
        def drop_numbers(content):
            for case in content["groups"][0]["cases"] + content["groups"][1]["cases"]:
                for repetition in case["repetitions"]:
                    for name, value in repetition.items():
                        if name not in ("verdict", "repeat", "order_index", "counters", "seconds"):
                            repetition[name] = None if not isinstance(value, int) else 0

        out, page = self.drawn(self.edited("one_count", drop_numbers))
        self.check_pictures(out, [])
        self.check_page(page)

    def test_of_quiet_repetitions_leave_the_others_out_and_say_so(self):
        def disturb(content):
            for case in content["groups"][0]["cases"]:
                for repetition in case["repetitions"]:
                    busy = repetition["repeat"] == 0
                    repetition["other_cpu_seconds"] = repetition["seconds"] if busy else 0.0
                    repetition["stolen_cpu_seconds"] = 0.0

        path = self.edited("one_count", disturb)
        whole, calm = result.load(str(path)), result.load(str(path), 0.3)
        for before, after in zip(whole["slices"][0].cases, calm["slices"][0].cases):
            kept = [one for one in before.case["repetitions"] if one["repeat"] != 0]
            self.assertEqual([one["repeat"] for one in after.case["repetitions"]], [one["repeat"] for one in kept])
        draw.draw_all(calm, str(self.folder / "calm"))
        self.assertIn("took at most 0.3 of a core", calm["quiet_text"])

    def test_of_quiet_repetitions_compare_pairs_alone(self):
        def case(name, values):
            return {"name": name, "repetitions": [
                {"repeat": repeat, "verdict": {"valid": True}, "seconds": 1.0, "other_cpu_seconds": other,
                 "stolen_cpu_seconds": 0.0, "latency": {"percentiles": {"p50": value}}}
                for repeat, (value, other) in enumerate(values)]}

        content = {"seed": 1, "groups": [{"cases": [case("a", [(2, 0), (900, 2.0), (6, 0.1)]),
                                                    case("b", [(1, 0), (1, 0), (2, 0)])]}],
                   "comparisons": [{"name": "r", "metric": "latency_p50_ns", "numerator": "a", "denominator": "b",
                                    "bound": 2.0, "bound_is_upper": True}]}
        ((_, ratio, low, high, pairs),) = quiet.ratios(content, 0.3)
        self.assertEqual((ratio, low, high, pairs), (2.5, None, None, 2))
        self.assertIn("r: 2.500, bound <= 2: NOT MET, 2 pairs", quiet.text(content, 0.3))

    def test_never_let_text_of_the_result_become_markup(self):
        def inject(content):
            content["name"] = content["scenario_text"] = "<script>alert('x')</script>"
            content["groups"][0]["title"] = content["groups"][0]["cases"][0]["name"] = "<b>&"
            content["groups"][0]["cases"][0]["repetitions"][0]["verdict"]["reasons"] = ["<i>"]
            content["environment"]["cpu_model"] = "$\\frac{1}$ <u> _x_"

        _, page = self.drawn(self.edited("one_count", inject))
        self.check_page(page)
        self.assertNotIn("<script>", page)
        self.assertNotIn("<u>", page)


class Numbers(unittest.TestCase):
    def test_are_written_as_people_read_them(self):
        self.assertEqual([style.number(v) for v in (0.02, 8.5, 120, 31000, 4.2e6)], ["0.02", "8.5", "120", "31k", "4.2M"])
        self.assertEqual([style.measured(v) for v in (0, 0.024, 98, 1234, 2.6e7)], ["0", "0.0240", "98.0", "1,234", "26M"])


class Command(Folder):
    def test_draws_several_results_into_folders_of_their_own(self):
        out = self.folder / "several"
        one, two = self.synthetic("all_skipped"), self.synthetic("invalid_only")
        done = self.run_plot(one, two, "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((out / "all_skipped" / "report.html").exists())
        self.assertTrue((out / "invalid_only" / "report.html").exists())

    def check_refused(self, done, code, sentence):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(sentence, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_refuses_what_it_cannot_read_with_one_sentence(self):
        out = self.folder / "out"
        self.check_refused(self.run_plot(self.folder / "none.json", "--out", out), 3, "cannot open the result file")
        self.check_refused(self.run_plot("x.json"), 2, "--out")
        broken = self.folder / "broken.json"
        for text, sentence in (
            ("hello", "is not a result file"),
            ("[]", "is not a result file"),
            ('{"schema": "feedbench.result/0"}', 'it says schema "feedbench.result/0"'),
            ('{"schema": "feedbench.result/1"}', "is not a complete result file"),
        ):
            broken.write_text(text)
            self.check_refused(self.run_plot(broken, "--out", out), 3, sentence)

        def damage(content):
            content["groups"][0]["cases"][0]["repetitions"][0]["latency"]["v2"] = "HIST!"

        path = self.edited("one_count", damage)
        self.check_refused(self.run_plot(path, "--out", out), 3, "a histogram cannot be read")

    def test_refuses_an_output_folder_that_is_a_file(self):
        (self.folder / "taken").write_text("")
        done = self.run_plot(self.synthetic("all_skipped"), "--out", self.folder / "taken")
        self.check_refused(done, 3, "cannot write to")

    def test_says_so_where_matplotlib_is_missing(self):
        (self.folder / "matplotlib.py").write_text("raise ImportError('not here')")
        done = self.run_plot("x.json", "--out", "y", PYTHONPATH=str(self.folder))
        self.check_refused(done, 3, "install python3-matplotlib")


if __name__ == "__main__":
    unittest.main()
