"""A result file as the plots need it: groups cut into slices within which only system, transport, wait and the number
of clients vary."""

import json
import statistics

from . import hdr, quiet

SCHEMA = "feedbench.result/1"

STAGES = [
    ("sent_nic", "sent → nic"),
    ("nic_wake", "nic → wake"),
    ("wake_read", "wake → read"),
    ("read_plain", "read → plain"),
    ("plain_parsed", "plain → parsed"),
    ("parsed_handler", "parsed → handler"),
    ("handler_delivered", "handler → delivered"),
]

SYSTEM_ORDER = ["feedproxy", "relay", "beast", "bridge"]
RING_ORDER = ["feed_log", "spsc", "hft_shm", "mirrored"]
TRANSPORT_ORDER = ["epoll", "io_uring", "select", "xdp"]
WAIT_ORDER = ["spin", "block"]


class ResultError(Exception):
    """The file cannot be drawn; str() is one sentence."""


def load(path, quiet_cores=None):
    """Reads and checks a result file. quiet_cores: draw only repetitions beside which others took at most so much of the
    cores. raises ResultError."""
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except OSError as error:
        raise ResultError(f"cannot open the result file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(f"{path} is not a result file: {error}") from error
    schema = result.get("schema") if isinstance(result, dict) else None
    if schema != SCHEMA:
        raise ResultError(f'{path} is not a result file: it says schema "{schema}", and this script reads "{SCHEMA}"')
    try:
        result["quiet_cores"] = quiet_cores
        if quiet_cores is not None:
            result["quiet_text"] = quiet.text(result, quiet_cores)
            for group in result["groups"]:
                for case in group["cases"]:
                    case["repetitions"] = [one for one in case["repetitions"] if quiet.is_quiet(one, quiet_cores)]
        result["slices"] = slices_of(result)
    except (KeyError, TypeError) as error:
        raise ResultError(f"{path} is not a complete result file: {error!r}") from error
    return result


def _order(known, name):
    return (known.index(name), "") if name in known else (len(known), name)


class Measured:
    """One case with its valid repetitions' numbers at hand."""

    def __init__(self, case):
        self.case = case
        self.name = case["name"]
        self.parameters = case["parameters"]
        self.skipped = case["skipped"]
        self.valid = [one for one in case["repetitions"] if one["verdict"]["valid"]]
        self.invalid = [one for one in case["repetitions"] if not one["verdict"]["valid"]]
        self._merged = {}

    @property
    def clients(self):
        return self.parameters["clients"]

    @property
    def wait(self):
        return self.parameters["wait"]

    @property
    def ring(self):
        """Of a bridge; None for every other system."""
        return self.parameters.get("ring")  # older results have none

    @property
    def label(self):
        """ "feedproxy epoll", and whatever else sets a line apart; a baseline without transports is just its name."""
        system, transport = self.parameters["system"], self.parameters["transport"]
        label = system if transport in ("", "asio") or system == "relay" else f"{system} {transport}"
        via = self.parameters.get("via", "websocket")  # older results have none
        if self.ring is not None:
            label += f" {self.ring}"
        elif via != "websocket":
            label += f" {via}"
        if self.parameters["tls"]:
            label += " wss"
        if not self.parameters["stamps"] and system == "feedproxy":
            label += " (stamps off)"
        return label

    @property
    def order(self):
        return (
            _order(SYSTEM_ORDER, self.parameters["system"]),
            _order(TRANSPORT_ORDER, self.parameters["transport"]),
            _order(RING_ORDER, self.ring),
            _order(WAIT_ORDER, self.wait),
        )

    def latencies(self):
        """The latency histograms of the valid repetitions."""
        if "latency" not in self._merged:
            found = [hdr.from_json(one["latency"]) for one in self.valid if one["latency"] is not None]
            self._merged["latency"] = [one for one in found if one.count > 0]
        return self._merged["latency"]

    def merged_latency(self):
        """All of them in one, None if there is none."""
        return merge(self.latencies())

    def stage(self, name):
        """(merged histogram, absent, all messages) of a stage; histogram None where nothing was stamped."""
        entries = [one["stages"][name] for one in self.valid if one["stages"] is not None]
        absent = sum(entry["absent"] + entry["saturated"] for entry in entries)
        stamped = [one for one in map(hdr.from_json, entries) if one.count > 0]
        total = sum(one.count for one in stamped) + absent
        return merge(stamped), absent, total

    @property
    def staged(self):
        return any(one["stages"] is not None for one in self.valid)

    def band(self, value_of):
        """(median, smallest, largest) over valid repetitions of a number, None if no repetition has it."""
        values = [value for value in map(value_of, self.valid) if value is not None]
        if not values:
            return None
        return statistics.median(values), min(values), max(values)

    def percentile_band(self, name):
        """band of a latency percentile ("p50", "p99"...) in us."""
        return self.band(
            lambda one: None
            if one["latency"] is None or one["latency"]["percentiles"].get(name) is None
            else one["latency"]["percentiles"][name] / 1000
        )


def merge(histograms):
    """One histogram of many, None if there is none. Those of another range than the first are left out."""
    merged = None
    for one in histograms:
        if merged is None:
            merged = hdr.Histogram(one.lowest, one.highest, one.digits)
        if (one.lowest, one.highest, one.digits) == (merged.lowest, merged.highest, merged.digits):
            merged.merge(one)
    return merged


class Slice:
    """Cases of one group that belong in one picture."""

    def __init__(self, group, key, cases):
        self.group = group
        self.key = dict(key)
        self.cases = cases

    @property
    def paced(self):
        return self.key["pace"] != "max"

    @property
    def counts(self):
        return sorted({case.clients for case in self.cases if case.valid})

    @property
    def labels(self):
        """System labels in drawing order."""
        ordered = sorted((case for case in self.cases if case.valid), key=lambda case: case.order)
        return list(dict.fromkeys(case.label for case in ordered))

    @property
    def waits(self):
        present = {case.wait for case in self.cases if case.valid}
        return sorted(present, key=lambda wait: _order(WAIT_ORDER, wait))

    def find(self, label, wait, clients):
        for case in self.cases:
            if (case.label, case.wait, case.clients) == (label, wait, clients) and case.valid:
                return case
        return None

    @property
    def heading(self):
        """The group's title; what tells this slice from the group's others is added."""
        title = self.group["title"] or self.group["name"]
        if self.one_of_many:
            return f"{title}: {self.title}"
        return f"{title}, over {self.key['network']}" if self.key["network"] != "loopback" else title

    @property
    def title(self):
        """What all its cases share, in words."""
        words = [pace_words(self.key["pace"]), f"over {self.key['network']}"]
        if self.key["payload_bytes"] is not None:
            words.append(f"{self.key['payload_bytes']:,} B payload")
        words += [f"{name} {value}" for name, value in json.loads(self.key["others"]).items()]
        return ", ".join(words)


def _slug(words):
    return "-".join("".join(c if c.isalnum() else "_" for c in str(word)) for word in words)


def pace_words(pace):
    """The pace of a case in words: "max", "recorded", "x10", "1000/s"."""
    if pace == "max":
        return "as fast as possible"
    if pace == "recorded":
        return "recorded pace"
    if pace.endswith("/s"):
        return f"{float(pace[:-2]):,.0f} messages a second"
    return f"{pace[1:]} times the recorded pace" if pace.startswith("x") else pace


def slices_of(result):
    """Every group's slices, in the order of the file; each has a slug, its part of a file name."""
    slices = []
    for group in result["groups"]:
        by_key = {}
        for case in group["cases"]:
            parameters = case["parameters"]
            others = json.dumps(parameters["others"], sort_keys=True)
            key = (
                ("network", parameters.get("network", "loopback")),  # older results have none
                ("pace", parameters["pace"]),
                ("payload_bytes", parameters["payload_bytes"]),
                ("others", others),
            )
            by_key.setdefault(key, []).append(Measured(case))
        own = [Slice(group, key, cases) for key, cases in by_key.items()]
        for one in own:
            varying = [name for name in one.key if len({json.dumps(other.key[name]) for other in own}) > 1]
            words = [f"{one.key[name]}B" if name == "payload_bytes" else one.key[name] for name in varying]
            one.slug = _slug([group["name"]] + words)
            one.one_of_many = len(own) > 1
        slices += own
    return slices
