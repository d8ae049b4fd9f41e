"""The report page: one HTML file that needs nothing else, neither network nor the pictures beside it."""

import base64
import html
import json
import os

from . import style, tables

HEADINGS = {
    "stages": "Where a message's time goes",
    "percentiles": "Latency by percentile",
    "latency": "Latency against clients",
    "throughput": "Throughput against clients",
    "cpu": "CPU cost against clients",
}

CSS = """
:root { --ink: #1f2933; --muted: #5f6b7a; --line: #dfe4ea; --panel: #f6f8fa; --good: #0b6e4f; --bad: #b42318;
  --warn: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 2.2rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.35rem; margin: 2.8rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
p, li { max-width: 46rem; }
.sub { color: var(--muted); margin: .15rem 0; max-width: none; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem;
  min-width: 8.5rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--muted); font-size: .87rem; }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .34rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  vertical-align: top; }
th { font-weight: 600; background: var(--panel); }
td.text, th.text { text-align: left; }
td.wrap { white-space: normal; min-width: 10rem; max-width: 34rem; }
td.wrap:first-child { min-width: 22rem; }
td small { color: var(--muted); display: block; font-size: .78rem; }
tr.first td { border-top: 2px solid var(--line); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
figure { margin: 1rem 0 2rem; } figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line);
  border-radius: 8px; padding: .6rem; background: #fff; }
nav a { margin-right: 1.1rem; } a { color: #0b5cad; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem;
  overflow-x: auto; font: .82rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
@media print { main { max-width: none; } figure, tr { break-inside: avoid; } nav { display: none; } }
"""

READING = """
<ul>
<li><b>Latency</b> runs from the moment a message was <i>meant</i> to be sent to the moment a client had it. A sender
that is late therefore shows, it does not hide; <i>send lag</i> says how late it was.</li>
<li><b>Numbers in tables</b> are medians over the valid repetitions of a case; the small line under a number is the
smallest and the largest repetition. A dash means: not measured, or too few samples. A percentile is printed only where
at least ten samples lie beyond it (p99 needs 1,000 samples, p99.9 needs 10,000).</li>
<li><b>Ratios</b> compare repetitions that ran next to each other, in interleaved order, so that what the machine did at
that time divides out. The interval is a 95 % bootstrap interval of the median ratio. <i>No difference shown</i> means
just that: the interval holds 1. Below five pairs nothing is said.</li>
<li><b>Valid</b> means that every client received exactly the frames it was entitled to, in order, byte for byte, and
that the load generator kept its schedule. An invalid repetition is shown and enters no number.</li>
<li><b>Spinning and blocking</b> are different products: a spinning thread costs a whole core and answers at once; a
blocking one pays for being woken, which in a virtual machine can be most of the latency
(<code>guest_halt_poll_ns</code>).</li>
<li><b>Floors</b> say what this machine charged at that time: a cache line handed to the other core and back, a memory
copy, and how long a thread that only looks at the clock was away. Tails beyond p99 belong to that as much as to the
program.</li>
</ul>
"""


def text(value):
    """Escaped for HTML."""
    return html.escape(str(value))


def html_of(result, pictures, out):
    """The whole page. pictures: {slug: [(kind, file name without ending)]}, the files stand in the folder `out`."""
    cases = [case for one in result["slices"] for case in one.cases]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>feedbench: {text(result['name'])}</title><style>{CSS}</style></head><body><main>",
        _header(result, cases),
        _comparisons(result),
        _groups(result, pictures, out),
        tables.skipped_and_invalid(cases),
        f"<h2 id='reading'>How to read this page</h2>{READING}",
        _machine(result),
        _scenario(result),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _header(result, cases):
    repetitions = sum(len(case.valid) + len(case.invalid) for case in cases)
    invalid = sum(len(case.invalid) for case in cases)
    skipped = sum(1 for case in cases if case.skipped)
    bound = [one for one in result["comparisons"] if one["bound"] is not None]
    met = sum(1 for one in bound if one["met"])
    tiles = [
        (len(cases), "cases", ""),
        (repetitions - invalid, "valid repetitions", "good" if repetitions > invalid else ""),
        (invalid, "invalid repetitions", "bad" if invalid else ""),
        (skipped, "cases skipped", "warn" if skipped else ""),
    ]
    if bound:
        tiles.append((f"{met} of {len(bound)}", "bounds met", "good" if met == len(bound) else "bad"))
    planned = result.get("repetitions_planned") or repetitions
    if repetitions < planned:
        tiles.append((f"{repetitions} of {planned}", "runs made: interrupted", "warn"))
    tiles.append((_duration(result["seconds_total"]), "for the whole run", ""))
    shown = "".join(f"<li><b class='{look}'>{text(value)}</b><span>{text(name)}</span></li>" for value, name, look in tiles)
    links = [("comparisons", "Comparisons")] if result["comparisons"] else []
    links += [(f"group-{number}", group["name"]) for number, group in enumerate(result["groups"]) if group["cases"]]
    links += [("reading", "How to read this page"), ("machine", "Machine and build"), ("scenario", "Scenario")]
    return (
        f"<h1>{text(result['name'])}</h1><p class='sub'>{text(result['description'])}</p>"
        f"<p class='sub'>{text(style.machine_line(result))}</p><ul class='tiles'>{shown}</ul>"
        f"<nav>{''.join(f'<a href=#{name}>{text(title)}</a>' for name, title in links)}</nav>"
    )


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _comparisons(result):
    if not result["comparisons"]:
        return ""
    quiet = f"<pre>{text(result['quiet_text'])}</pre>" if result.get("quiet_text") else ""
    return f"<h2 id='comparisons'>Comparisons</h2>{tables.comparisons(result['comparisons'])}{quiet}"


def _groups(result, pictures, out):
    parts = []
    for number, group in enumerate(result["groups"]):
        if not group["cases"]:
            continue  # left out with --only
        parts.append(f"<h2 id='group-{number}'>{text(group['name'])}: {text(group['title'])}</h2>")
        for one in result["slices"]:
            if one.group is not group:
                continue
            if one.one_of_many:
                parts.append(f"<h3>{text(one.title)}</h3>")
            if not any(case.valid for case in one.cases):
                parts.append("<p>No case here has a valid repetition, so there is nothing to draw.</p>")
            for kind, name in pictures[one.slug]:
                parts.append(_picture(kind, name, out))
            parts.append(tables.cases(one))
    return "\n".join(parts)


def _picture(kind, name, out):
    with open(os.path.join(out, f"{name}.svg"), "rb") as file:
        data = base64.b64encode(file.read()).decode()
    return f"<figure><img alt='{text(HEADINGS[kind])}' src='data:image/svg+xml;base64,{data}'></figure>"


def _machine(result):
    return (
        "<h2 id='machine'>Machine and build</h2>"
        + tables.floors(result["floors"])
        + tables.placements(result["slices"])
        + tables.facts("Build", result["build"])
        + tables.facts("Environment", {**result["environment"], **{f"clock_{k}": v for k, v in result["clock"].items()}})
    )


def _scenario(result):
    resolved = json.dumps(result["scenario_resolved"], indent=2, ensure_ascii=False)
    return (
        f"<h2 id='scenario'>Scenario</h2><p class='sub'>{text(result['scenario_file'])}, seed {text(result['seed'])}, "
        f"started as <code>{text(' '.join(result['command_line']))}</code></p>"
        f"<pre>{text(result['scenario_text'])}</pre>"
        f"<details><summary>As resolved, with every default</summary><pre>{text(resolved)}</pre></details>"
    )
