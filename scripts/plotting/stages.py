"""Stacked bars: where the time of a message went, stage by stage."""

from matplotlib.patches import Patch

from . import style
from .result import STAGES

# The stages between the loop's wake-up and the handler are thin beside the others: they get a panel of their own, in
# nanoseconds.
INSIDE = range(2, 6)
BAR = 0.62


def draw(result, one, path):
    """Draws a slice's bars, one row of panels a client count. Returns False if nothing was staged."""
    counts = [count for count in one.counts if any(case.staged for case in _cases(one, count))]
    if not counts:
        return False
    most = max(len(_cases(one, count)) for count in counts)
    page = style.Page(
        result,
        "Where a message's time goes",
        f"{one.heading}; median of each stage, from intended send to delivery",
        len(counts),
        2,
        (6.0, 0.95 + 0.33 * most),
    )
    notes = []
    for row, count in enumerate(counts):
        _draw_row(page.axes[row], _cases(one, count), count, notes)
    handles = [Patch(color=colour) for colour in style.STAGE_COLOURS]
    names = [name for _, name in STAGES]
    handles.append(Patch(facecolor="white", edgecolor=style.MUTED, hatch="////"))
    names.append("not stamped")
    page.legend(handles, names)
    page.save(
        path,
        [
            "Bars: medians of each stage over all valid repetitions, which need not add up to the median of the whole; "
            "the black mark is that median (p50).",
            "Hatched: part of the way for which this system, kernel or device has no stamp.",
        ]
        + notes,
    )
    return True


def _cases(one, count):
    cases = [case for case in one.cases if case.clients == count and case.valid and case.merged_latency() is not None]
    return sorted(cases, key=lambda case: (case.wait != "spin", case.order))


def _median_us(case):
    return case.merged_latency().value_at(50) / 1000


def _cut_us(cases):
    """Where a bar without stages ends that would make those with stages too small to be read; None: nowhere."""
    staged = max((_median_us(case) for case in cases if case.staged), default=0)
    others = max((_median_us(case) for case in cases if not case.staged), default=0)
    return 2 * staged if staged and others > 6 * staged else None


def _draw_row(axes, cases, count, notes):
    whole, inside = axes
    names = [f"{case.label}, {case.wait}" for case in cases]
    cut = _cut_us(cases)
    for position, case in enumerate(cases):
        if cut and _median_us(case) > cut:
            _draw_cut_bar(whole, position, case, cut)
            _add(notes, "A bar that ends in an arrow is longer than the axis.")
        else:
            _draw_bar(whole, inside, position, case, notes)
    for axis in axes:
        axis.set_yticks(range(len(cases)))
        axis.set_ylim(len(cases) - 0.45, -0.55)
        axis.grid(axis="y", visible=False)
        axis.set_xlim(left=0)
    whole.set_yticklabels(names)
    inside.set_yticklabels(["" for _ in names])
    whole.set_title(f"{count} client{'s' if count > 1 else ''}: the whole way")
    inside.set_title("inside the proxy: wake → handler")
    whole.set_xlabel("µs")
    inside.set_xlabel("ns")
    whole.set_xlim(right=whole.get_xlim()[1] * 1.09)
    inside.set_xlim(right=inside.get_xlim()[1] * 1.06)
    inside.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _hatched(axis, position, start, width):
    if width > 0:
        axis.barh(position, width, BAR, left=start, facecolor="white", edgecolor=style.MUTED, hatch="////", linewidth=0.6)


def _draw_cut_bar(axis, position, case, cut):
    _hatched(axis, position, 0, cut)
    axis.annotate(
        f"\u2192 {_median_us(case):,.0f}", (cut, position), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5
    )


def _draw_bar(whole, inside, position, case, notes):
    middle = _median_us(case)
    if not case.staged:
        _hatched(whole, position, 0, middle)
    else:
        found = [case.stage(name) for name, _ in STAGES]
        medians = [None if stage is None else stage.value_at(50) / 1000 for stage, _, _ in found]
        known = sum(value for value in medians if value is not None)
        missing = max(0.0, middle - known) if None in medians else 0.0
        start = 0.0
        for number, value in enumerate(medians):
            if value is None:
                # One gap for all that is not stamped, where the first missing stage would stand.
                _hatched(whole, position, start, missing)
                start, missing = start + missing, 0.0
                continue
            whole.barh(position, value, BAR, left=start, color=style.STAGE_COLOURS[number], linewidth=0)
            start += value
        _draw_inside(inside, position, medians)
        _note_absent(case, found, notes)
    whole.plot([middle, middle], [position - 0.42, position + 0.42], color="black", linewidth=2, solid_capstyle="butt")
    whole.annotate(
        f"{middle:,.1f}",
        (max(middle, _end_of(whole, position)), position),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
    )


def _end_of(axis, position):
    """Right end of what is drawn at a position."""
    ends = [
        patch.get_x() + patch.get_width()
        for patch in axis.patches
        if abs(patch.get_y() + patch.get_height() / 2 - position) < 0.1
    ]
    return max(ends, default=0)


def _draw_inside(axis, position, medians):
    start = 0.0
    for number in INSIDE:
        if medians[number] is None:
            continue
        width = medians[number] * 1000
        axis.barh(position, width, BAR, left=start, color=style.STAGE_COLOURS[number], linewidth=0)
        start += width
    if start:
        axis.annotate(
            f"{start:,.0f}", (start, position), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5
        )


def _note_absent(case, found, notes):
    shared = []
    for (name, title), (stage, absent, total) in zip(STAGES, found):
        if stage is None:
            _add(notes, f"{title} is not stamped for {case.label}.")
        elif absent > 0.005 * total:
            shared.append(title)
    if shared:
        _add(
            notes,
            f"Some messages have no {' and no '.join(shared)}: where one read carries several messages, only the last "
            "is stamped.",
        )


def _add(notes, sentence):
    if sentence not in notes:
        notes.append(sentence)
