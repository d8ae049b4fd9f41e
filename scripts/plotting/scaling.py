"""Lines against the number of clients: latency, throughput, CPU."""

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style

WAITS = {"spin": "spinning", "block": "blocking"}
DASHES = {"spin": "-", "block": (0, (4, 2))}


def draw_latency(result, one, path):
    """p50 solid and p99 dashed, a panel a way of waiting. Returns False if there is nothing to draw."""
    drawn = [
        (case, name, case.percentile_band(name)) for case in one.cases if case.valid for name in ("p50", "p99")
    ]
    drawn = [(case, name, band) for case, name, band in drawn if band is not None]
    if not drawn:
        return False
    waits = [wait for wait in one.waits if any(case.wait == wait for case, _, _ in drawn)]
    page = style.Page(
        result,
        "Latency against clients",
        f"{one.heading}; from intended send to delivery",
        1,
        len(waits),
        (5.6, 4.1),
        sharey=True,
    )
    looks = style.looks_of(one.labels)
    for axes, wait in zip(page.axes[0], waits):
        for name, line in (("p50", "-"), ("p99", (0, (4, 2)))):
            points = [(case, band) for case, found, band in drawn if case.wait == wait and found == name]
            _lines(axes, points, looks, line, fill=name == "p50")
        axes.set_yscale("log")
        style.clients_axis(axes, one.counts)
        axes.set_title(WAITS.get(wait, wait))
        axes.set_ylabel("latency, µs")
        axes.yaxis.set_tick_params(labelleft=True)
    style.log_axis(page.axes[0][0].yaxis)
    handles, names = _legend(drawn, looks, one, all_solid=True)
    names[-1] = "p50, all repeats"
    handles[-1:-1] = [Line2D([], [], color=style.INK), Line2D([], [], color=style.INK, linestyle=(0, (4, 2)))]
    names[-1:-1] = ["p50", "p99"]
    page.legend(handles, names)
    page.save(path, [_repeats(drawn), "Lines: the median repetition; band: smallest to largest repetition's p50."])
    return True


def draw_throughput(result, one, path):
    """Delivered frames a second against clients, to compare by factors and by amount. False if there is nothing."""
    drawn = _drawn(one, lambda repetition: repetition["frames_per_second"])
    if not drawn:
        return False
    page = style.Page(
        result,
        "Throughput against clients",
        f"{one.heading}; frames delivered, all clients together",
        1,
        2,
        (5.6, 4.1),
    )
    looks = style.looks_of(one.labels)
    factors, amounts = page.axes[0]
    for axes, scale in ((factors, 1.0), (amounts, 1e-6)):
        _lines_by_wait(axes, drawn, looks, scale)
        style.clients_axis(axes, one.counts)
    factors.set_yscale("log")
    style.log_axis(factors.yaxis)
    factors.set_title("by factors (logarithmic)")
    factors.set_ylabel("frames per second")
    amounts.set_ylim(bottom=0)
    amounts.set_title("by amount (linear)")
    amounts.set_ylabel("million frames per second")
    page.legend(*_legend(drawn, looks, one))
    page.save(path, [_repeats(drawn), "Lines: the median repetition; band: smallest to largest."])
    return True


def draw_cpu(result, one, path):
    """CPU seconds per million delivered frames against clients. Returns False if there is nothing to draw."""
    drawn = _drawn(one, lambda repetition: repetition["proxy_cpu_seconds_per_million"])
    if not drawn:
        return False
    # Paced, a spinning thread costs its core whatever it does: its cost stands apart from that of a blocking one.
    waits = [wait for wait in one.waits if any(case.wait == wait for case, _ in drawn)]
    panels = [[wait] for wait in waits] if one.paced else [waits]
    page = style.Page(
        result,
        "CPU cost against clients",
        f"{one.heading}; CPU seconds (user and system) of the system under test per million frames",
        1,
        len(panels),
        (5.6, 4.1),
    )
    looks = style.looks_of(one.labels)
    for axes, shown in zip(page.axes[0], panels):
        _lines_by_wait(axes, [(case, band) for case, band in drawn if case.wait in shown], looks, 1.0, one.paced)
        axes.set_yscale("log")
        style.log_axis(axes.yaxis)
        style.clients_axis(axes, one.counts)
        if one.paced:
            axes.set_title(WAITS.get(shown[0], shown[0]))
        axes.set_ylabel("CPU s per million delivered")
    page.legend(*_legend(drawn, looks, one, one.paced))
    notes = [_repeats(drawn), "Lines: the median repetition; band: smallest to largest."]
    if "spin" in waits and one.paced:
        notes.append("A spinning thread costs a whole core at any rate.")
    page.save(path, notes)
    return True


def _drawn(one, value_of):
    drawn = [(case, case.band(value_of)) for case in one.cases if case.valid]
    return [(case, band) for case, band in drawn if band is not None and band[0] > 0]


def _lines_by_wait(axes, drawn, looks, scale, all_solid=False):
    for wait in WAITS:
        points = [(case, [value * scale for value in band]) for case, band in drawn if case.wait == wait]
        _lines(axes, points, looks, "-" if all_solid else DASHES[wait], fill=True)


def _legend(drawn, looks, one, all_solid=False):
    """A line a system, a way of waiting where both are in one panel, and the band."""
    labels = [label for label in one.labels if any(case.label == label for case, *_ in drawn)]
    handles = [Line2D([], [], color=looks[label][0], marker=looks[label][1], markersize=5.5) for label in labels]
    waits = {case.wait for case, *_ in drawn}
    if len(waits) > 1 and not all_solid:
        handles += [Line2D([], [], color=style.INK, linestyle=DASHES[wait]) for wait in WAITS]
        labels += list(WAITS.values())
    return handles + [Patch(color=style.INK, alpha=0.15)], labels + ["all repeats"]


def _lines(axes, points, looks, line, fill):
    labels = list(dict.fromkeys(case.label for case, _ in points))
    for label in labels:
        own = sorted(((case.clients, band) for case, band in points if case.label == label), key=lambda pair: pair[0])
        xs = [clients for clients, _ in own]
        colour, marker = looks[label]
        axes.plot(xs, [band[0] for _, band in own], color=colour, linestyle=line, marker=marker, markersize=5.5)
        if not fill:
            continue
        low, high = [band[1] for _, band in own], [band[2] for _, band in own]
        if len(xs) > 1:
            axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
        else:
            axes.vlines(xs, low, high, color=colour, alpha=0.4, linewidth=5)


def _repeats(drawn):
    counts = {len(case.valid) for case, *_ in drawn}
    low, high = min(counts), max(counts)
    return f"n = {low} valid repetitions a point." if low == high else f"n = {low} to {high} valid repetitions a point."
