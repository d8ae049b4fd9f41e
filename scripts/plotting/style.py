"""One look for all pictures: colours that colour-blind readers tell apart, readable sizes, a caption that says what was
measured where."""

import textwrap

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # noqa: E402

INK = "#1f2933"
MUTED = "#5f6b7a"
GRID = "#dfe4ea"

# Okabe and Ito's palette, ordered so that neighbours differ in lightness too.
COLOURS = {
    "feedproxy epoll": "#0072B2",
    "feedproxy io_uring": "#D55E00",
    "feedproxy select": "#009E73",
    "feedproxy xdp": "#E69F00",
    "relay": "#6b7280",
    "beast": "#CC79A7",
}
SPARE = ["#56B4E9", "#8c564b", "#000000", "#7b3294", "#a6761d"]
MARKERS = {
    "feedproxy epoll": "o",
    "feedproxy io_uring": "s",
    "feedproxy select": "^",
    "feedproxy xdp": "v",
    "relay": "D",
    "beast": "X",
}
SPARE_MARKERS = ["P", "<", ">", "h", "d"]

STAGE_COLOURS = ["#08519c", "#6baed6", "#fdd49e", "#fdae61", "#e66101", "#7f2704", "#5aae61"]
NOT_STAMPED = "#c9ced6"


def setup():
    """Sets matplotlib's defaults. Call once before drawing."""
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.edgecolor": MUTED,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "svg.hashsalt": "feedbench",
            "hatch.linewidth": 0.7,
        }
    )
    if "text.parse_math" in plt.rcParams:  # a "$" in a scenario's title is a dollar
        plt.rcParams["text.parse_math"] = False


def looks_of(labels):
    """{label: (colour, marker)}, the same in every picture."""
    looks, spare = {}, 0
    for label in labels:
        if label in COLOURS:
            looks[label] = (COLOURS[label], MARKERS[label])
        else:
            looks[label] = (SPARE[spare % len(SPARE)], SPARE_MARKERS[spare % len(SPARE_MARKERS)])
            spare += 1
    return looks


def number(value):
    """A number as people read it on an axis: 0.02, 8.5, 120, 31k, 4.2M."""
    size = abs(value)
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            unit = {"G": 1e9, "M": 1e6, "k": 1e3}[suffix]
            return f"{value / unit:.3g}{suffix}"
    return f"{value:.3g}" if size < 100 else f"{value:,.0f}"


def measured(value):
    """A measured number with three digits, zeros kept: 0.0240, 98.0, 26.6M."""
    if abs(value) >= 1e4 or value == 0:
        return number(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def log_axis(axis):
    """Plain numbers at round values of each decade instead of powers of ten; the more, the shorter the axis."""
    low, high = axis.get_view_interval()
    span = high / low if low > 0 else 1e9
    subs = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if span < 3 else (1, 1.5, 2, 3, 5, 7) if span < 12 else (1, 2, 5)
    axis.set_major_locator(matplotlib.ticker.LogLocator(base=10, subs=subs if span < 500 else (1,), numticks=40))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())


def clients_axis(axes, counts):
    """Client counts on a logarithmic axis, each count named."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("clients")


def machine_line(result):
    """Where and when it was measured, in one line."""
    environment, build = result["environment"], result["build"]
    revision = (build["git_revision"] or "no revision")[:10] + (" (changed)" if build["git_dirty"] else "")
    halt = environment["guest_halt_poll_ns"]
    return (
        f"{environment['cpu_model']}, {environment['logical_cores']} cores"
        f"{', ' + environment['hypervisor'] if environment['hypervisor'] else ''}"
        f", Linux {environment['kernel'].split(' ')[0]}"
        f", guest_halt_poll_ns {'absent' if halt is None else halt}"
        f"; feedbench {build['tool_version']} {revision}, {build['build_type']}; {result['created']}"
    )


class Page:
    """A figure with a title, a legend strip and a caption that never run into the panels."""

    def __init__(self, result, title, subtitle, rows, columns, panel_size, sharey=False, sharex=False):
        width = max(8.2, columns * panel_size[0])
        lines = textwrap.wrap(subtitle, int(width * 13))
        self.head = 0.78 + 0.2 * len(lines)
        height = rows * panel_size[1] + self.head + 0.95
        self.figure, self.axes = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, sharey=sharey, sharex=sharex
        )
        self.result = result
        self.width, self.height = width, height
        self.figure.text(0.012, 1 - 0.14 / height, title, fontsize=14, fontweight="bold", va="top")
        self.figure.text(0.012, 1 - 0.44 / height, "\n".join(lines), fontsize=10, color=MUTED, va="top")
        self.handles, self.names = [], []

    def legend(self, handles, names):
        """What the strip below the title shows."""
        self.handles, self.names = handles, names

    def _place_legend(self, columns):
        """Draws the legend; False, and nothing is drawn, if it is wider than the page and could be narrower."""
        rows = -(-len(self.handles) // columns)
        # Matplotlib fills columns; people read rows.
        order = [row * columns + column for column in range(columns) for row in range(rows)]
        order = [at for at in order if at < len(self.handles)]
        legend = self.figure.legend(
            [self.handles[at] for at in order],
            [self.names[at] for at in order],
            loc="upper left",
            bbox_to_anchor=(0.012, 1 - (self.head - 0.32) / self.height),
            ncol=columns,
            fontsize=9.5,
            handlelength=2.2,
            columnspacing=1.6,
            borderaxespad=0,
        )
        extent = legend.get_window_extent(self.figure.canvas.get_renderer())
        if extent.x1 <= self.figure.bbox.x1 or columns == 1:
            return True
        legend.remove()
        return False

    def save(self, path, notes):
        """Writes path.png and path.svg. notes: sentences for the caption; the machine is added."""
        figure, width = self.figure, self.width
        if self.result.get("quiet_cores") is not None:
            notes = notes + [f"Only repetitions beside which others took at most {self.result['quiet_cores']:g} of a core."]
        caption = textwrap.wrap(" ".join(notes), int(width * 14.5)) + textwrap.wrap(
            machine_line(self.result), int(width * 14.5)
        )
        foot = 0.15 + 0.165 * len(caption)
        head = self.head
        if self.handles:
            columns = max(1, min(len(self.handles), int(width / 1.75)))
            while not self._place_legend(columns) and columns > 1:  # long names need wide columns
                columns -= 1
            head += 0.24 * -(-len(self.handles) // columns)
        figure.tight_layout(rect=(0, foot / self.height, 1, 1 - (head - 0.22) / self.height), h_pad=1.6, w_pad=1.8)
        figure.text(0.012, 0.09 / self.height, "\n".join(caption), fontsize=8, color=MUTED, va="bottom", linespacing=1.35)
        figure.savefig(f"{path}.png")
        figure.savefig(f"{path}.svg", metadata={"Date": None})
        plt.close(figure)
