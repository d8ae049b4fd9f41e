"""Percentile curves: the whole distribution, on an axis that widens the tail."""

from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from . import style

TICKS = [50, 90, 99, 99.9, 99.99, 99.999]
DASHES = {"spin": "-", "block": (0, (4, 2))}


def draw(result, one, path):
    """Draws a slice's curves, one panel a client count. Returns False if there is no latency."""
    counts = [count for count in one.counts if any(_curves(one, count))]
    if not counts:
        return False
    columns = min(2, len(counts))
    rows = -(-len(counts) // columns)
    page = style.Page(
        result,
        "Latency by percentile",
        f"{one.heading}; from intended send to delivery",
        rows,
        columns,
        (5.6, 3.3),
    )
    looks = style.looks_of(one.labels)
    shown, fewest = set(), None
    for position, count in enumerate(counts):
        axes = page.axes[position // columns][position % columns]
        for case, histogram in _curves(one, count):
            _draw_curve(axes, case, histogram, looks[case.label][0])
            shown.add((case.label, case.wait))
            fewest = histogram.count if fewest is None else min(fewest, histogram.count)
        _finish(axes, count)
    for position in range(len(counts), rows * columns):
        page.axes[position // columns][position % columns].set_visible(False)
    pairs = [(label, wait) for label in one.labels for wait in one.waits if (label, wait) in shown]
    page.legend(
        [Line2D([], [], color=looks[label][0], linestyle=DASHES.get(wait, "-"), linewidth=2) for label, wait in pairs],
        [f"{label}, {wait}" for label, wait in pairs],
    )
    page.save(
        path,
        [
            "All valid repetitions together; a curve ends where fewer than ten samples lie beyond it.",
            f"n of the smallest curve: {fewest:,} samples.",
            "Beyond p99 the neighbours of a shared machine speak as loudly as the program.",
        ],
    )
    return True


def _curves(one, count):
    cases = sorted((case for case in one.cases if case.clients == count and case.valid), key=lambda case: case.order)
    return [(case, case.merged_latency()) for case in cases if case.merged_latency() is not None]


def _draw_curve(axes, case, histogram, colour):
    total = histogram.count
    xs, ys = [1.0], [None]
    for share, value in histogram.curve():
        beyond = (1 - share) * total
        if beyond < 10 - 1e-6:
            break
        xs.append(1 / (1 - share))
        ys.append(value / 1000)
    if len(ys) < 2:
        return
    ys[0] = ys[1]
    axes.plot(xs, ys, drawstyle="steps-pre", color=colour, linewidth=1.7, linestyle=DASHES.get(case.wait, "-"))


def _finish(axes, count):
    axes.set_xscale("log")
    axes.set_yscale("log")
    right = axes.get_xlim()[1]
    ticks = [tick for tick in TICKS if 1 / (1 - tick / 100) <= right * 1.001]
    axes.set_xlim(1, right)
    axes.set_xticks([1 / (1 - tick / 100) for tick in ticks])
    axes.set_xticklabels([f"{tick:g}%" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    style.log_axis(axes.yaxis)
    axes.set_title(f"{count} client{'s' if count > 1 else ''}")
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency, µs")
