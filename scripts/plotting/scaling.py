"""Latency, throughput and CPU against the number of clients: lines, or dots where there is one number of clients only."""

from matplotlib.lines import Line2D

from . import style

WAITS = {"spin": "spinning", "block": "blocking"}
DASHES = {"spin": "-", "block": (0, (4, 2))}
P99 = (0, (4, 2))
MEDIANS = "Marks: the median repetition; bars: smallest to largest."


def draw_latency(result, one, path):
    """p50 solid and p99 dashed, a panel a way of waiting. Returns False if there is nothing to draw."""
    p50 = [(case, case.percentile_band("p50")) for case in one.cases if case.valid]
    p99 = [(case, case.percentile_band("p99")) for case in one.cases if case.valid]
    p50, p99 = ([(case, band) for case, band in drawn if band is not None] for drawn in (p50, p99))
    if not p50:
        return False
    subtitle = f"{one.heading}; from intended send to delivery"
    if len(one.counts) == 1:
        page = _dots_page(result, one, "Latency", subtitle, p50)
        axes = page.axes[0][0]
        log = _far_apart(p50 + p99)
        if log:
            axes.set_xscale("log")
        _dots(axes, p50, p99)
        _finish_dots(axes, "latency, µs", log)
        if p99:
            page.legend([_dot(True), _dot(False)], ["p50", "p99"])
        page.save(path, [_repeats(p50), MEDIANS])
        return True
    waits = _waits(one, p50)
    page = style.Page(result, "Latency against clients", subtitle, 1, len(waits), (5.6, 4.2), sharey=True)
    looks = style.looks_of(one.labels)
    for axes, wait in zip(page.axes[0], waits):
        axes.set_yscale("log")
        for drawn, line in ((p50, "-"), (p99, P99)):
            _lines(axes, _of_wait(drawn, wait), looks, line)
        style.clients_axis(axes, one.counts)
        axes.set_title(WAITS.get(wait, wait))
        axes.set_ylabel("latency, µs")
        axes.yaxis.set_tick_params(labelleft=True)
    style.log_axis(page.axes[0][0].yaxis)
    handles, names = _legend(p50, looks, one)
    handles += [Line2D([], [], color=style.INK), Line2D([], [], color=style.INK, linestyle=P99)]
    page.legend(handles, names + ["p50", "p99"])
    page.save(path, [_repeats(p50), MEDIANS, "Marks of one count stand side by side only to be seen."])
    return True


def draw_throughput(result, one, path):
    """Delivered frames a second against clients, to compare by factors and by amount. False if there is nothing."""
    drawn = _drawn(one, lambda repetition: repetition["frames_per_second"])
    if not drawn:
        return False
    subtitle = f"{one.heading}; frames delivered, all clients together"
    if len(one.counts) == 1:
        return _one_count(result, one, path, drawn, "Throughput", subtitle, "frames delivered per second")
    page = style.Page(result, "Throughput against clients", subtitle, 1, 2, (5.6, 4.2))
    looks = style.looks_of(one.labels)
    factors, amounts = page.axes[0]
    factors.set_yscale("log")
    for axes, scale in ((factors, 1.0), (amounts, 1e-6)):
        _lines_by_wait(axes, drawn, looks, scale)
        style.clients_axis(axes, one.counts)
    style.log_axis(factors.yaxis)
    factors.set_title("by factors (logarithmic)")
    factors.set_ylabel("frames per second")
    amounts.set_ylim(bottom=0)
    amounts.set_title("by amount (linear)")
    amounts.set_ylabel("million frames per second")
    page.legend(*_legend(drawn, looks, one, by_wait=True))
    page.save(path, [_repeats(drawn), MEDIANS])
    return True


def draw_cpu(result, one, path):
    """CPU seconds per million delivered frames against clients. Returns False if there is nothing to draw."""
    drawn = _drawn(one, lambda repetition: repetition["proxy_cpu_seconds_per_million"])
    if not drawn:
        return False
    unit = "CPU s per million delivered"
    subtitle = f"{one.heading}; CPU seconds (user and system) of the system under test per million frames"
    waits = _waits(one, drawn)
    notes = [_repeats(drawn), MEDIANS]
    if "spin" in waits and one.paced:
        notes.append("A spinning thread costs a whole core at any rate.")
    if len(one.counts) == 1:
        return _one_count(result, one, path, drawn, "CPU cost", subtitle, unit, notes)
    # Paced, a spinning thread costs its core whatever it does: its cost stands apart from that of a blocking one.
    panels = [[wait] for wait in waits] if one.paced else [waits]
    page = style.Page(result, "CPU cost against clients", subtitle, 1, len(panels), (5.6, 4.2))
    looks = style.looks_of(one.labels)
    for axes, shown in zip(page.axes[0], panels):
        axes.set_yscale("log")
        _lines_by_wait(axes, [(case, band) for case, band in drawn if case.wait in shown], looks, 1.0, one.paced)
        style.log_axis(axes.yaxis)
        style.clients_axis(axes, one.counts)
        if one.paced:
            axes.set_title(WAITS.get(shown[0], shown[0]))
        axes.set_ylabel(unit)
    page.legend(*_legend(drawn, looks, one, by_wait=not one.paced))
    page.save(path, notes)
    return True


def _drawn(one, value_of):
    drawn = [(case, case.band(value_of)) for case in one.cases if case.valid]
    return [(case, band) for case, band in drawn if band is not None and band[0] > 0]


def _waits(one, drawn):
    return [wait for wait in one.waits if any(case.wait == wait for case, _ in drawn)]


def _of_wait(drawn, wait):
    return [(case, band) for case, band in drawn if case.wait == wait]


def _lines_by_wait(axes, drawn, looks, scale, all_solid=False):
    for wait in dict.fromkeys(case.wait for case, _ in drawn):
        points = [(case, [value * scale for value in band]) for case, band in _of_wait(drawn, wait)]
        _lines(axes, points, looks, "-" if all_solid else DASHES.get(wait, "-"))


def _lines(axes, points, looks, line):
    """A line a label; labels stand a few per cent beside each other, so that equal values do not hide each other."""
    labels = list(looks)
    for label in dict.fromkeys(case.label for case, _ in points):
        own = sorted(((case.clients, band) for case, band in points if case.label == label), key=lambda pair: pair[0])
        shift = 1.045 ** (labels.index(label) - (len(labels) - 1) / 2)
        xs = [clients * shift for clients, _ in own]
        colour, marker = looks[label]
        axes.vlines(xs, [b[1] for _, b in own], [b[2] for _, b in own], color=colour, linewidth=2.2, alpha=0.55)
        axes.plot(xs, [b[0] for _, b in own], color=colour, linestyle=line, marker=marker, markersize=5, linewidth=1.4)


def _legend(drawn, looks, one, by_wait=False):
    """A line a system, and one a way of waiting where both are in one panel."""
    labels = [label for label in one.labels if any(case.label == label for case, _ in drawn)]
    handles = [Line2D([], [], color=looks[label][0], marker=looks[label][1], markersize=5) for label in labels]
    waits = _waits(one, drawn)
    if by_wait and len(waits) > 1:
        handles += [Line2D([], [], color=style.INK, linestyle=DASHES.get(wait, "-")) for wait in waits]
        labels += [WAITS.get(wait, wait) for wait in waits]
    return handles, labels


def _one_count(result, one, path, drawn, title, subtitle, unit, notes=None):
    """A row a case. A logarithmic axis where the cases lie more than a factor of ten apart."""
    page = _dots_page(result, one, title, subtitle, drawn)
    axes = page.axes[0][0]
    log = _far_apart(drawn)
    if log:
        axes.set_xscale("log")
    _dots(axes, drawn, [])
    _finish_dots(axes, unit, log)
    page.save(path, notes or [_repeats(drawn), MEDIANS])
    return True


def _far_apart(drawn):
    middles = [band[0] for _, band in drawn]
    return max(middles) > 10 * min(middles)


def _dots_page(result, one, title, subtitle, drawn):
    count = one.counts[0]
    title = f"{title}, {count} client{'s' if count > 1 else ''}"
    return style.Page(result, title, subtitle, 1, 1, (8.2, 0.75 + 0.36 * len(drawn)))


def _dots(axes, filled, hollow):
    ordered = sorted(filled, key=lambda pair: (pair[0].wait != "spin", pair[0].order))
    looks = style.looks_of([case.label for case, _ in ordered])
    others = {case.name: band for case, band in hollow}
    for row, (case, band) in enumerate(ordered):
        colour = looks[case.label][0]
        for values, face in ((band, colour), (others.get(case.name), "white")):
            if values is None:
                continue
            axes.hlines(row, values[1], values[2], color=colour, linewidth=3, alpha=0.45)
            axes.plot(values[0], row, "o", markersize=7, markeredgecolor=colour, markerfacecolor=face)
            axes.annotate(
                style.measured(values[0]), (values[0], row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_yticks(range(len(ordered)))
    axes.set_yticklabels([f"{case.label}, {case.wait}" for case, _ in ordered])
    axes.set_ylim(len(ordered) - 0.5, -0.7)
    axes.grid(axis="y", visible=False)


def _finish_dots(axes, unit, log):
    axes.set_xlabel(unit)
    if log:
        style.log_axis(axes.xaxis)
    else:
        axes.set_xlim(left=0, right=axes.get_xlim()[1] * 1.03)
        axes.xaxis.set_major_formatter(lambda value, _: style.number(value))


def _dot(filled):
    return Line2D(
        [], [], linestyle="", marker="o", markersize=7, color=style.MUTED, markerfacecolor=style.MUTED if filled else "white"
    )


def _repeats(drawn):
    counts = {len(case.valid) for case, _ in drawn}
    low, high = min(counts), max(counts)
    span = f"{low}" if low == high else f"{low} to {high}"
    return f"n = {span} valid repetition{'s' if high > 1 else ''} a point."
