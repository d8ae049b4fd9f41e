"""The tables of the report page, as HTML."""

import html

from . import style


def text(value):
    return html.escape(str(value))


def _cell(value, look=""):
    return f"<td class='{look}'>{value}</td>" if look else f"<td>{value}</td>"


def _table(head, rows):
    """head: [(title, class)]; rows: [str of <tr>]."""
    cells = "".join(f"<th class='{look}'>{title}</th>" if look else f"<th>{title}</th>" for title, look in head)
    return f"<div class='scroll'><table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def ratio(value):
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def comparisons(entries):
    """One row a comparison, with its interval and whether its bound was met."""
    rows = []
    for one in entries:
        bound = "–" if one["bound"] is None else f"{'≤' if one['bound_is_upper'] else '≥'} {one['bound']:.4g}"
        met = {True: "<span class='good'>met</span>", False: "<span class='bad'>not met</span>", None: ""}[one["met"]]
        interval = "–" if one["low"] is None else f"{ratio(one['low'])} to {ratio(one['high'])}"
        rows.append(
            "<tr>"
            + _cell(
                f"{text(one['name'])}<small>{text(one['metric'])}: "
                f"{text(' / '.join(name for name in (one['numerator'], one['denominator']) if name))}</small>",
                "text wrap",
            )
            + _cell(f"<b>{ratio(one['ratio'])}</b>")
            + _cell(interval)
            + _cell(one["pairs"])
            + _cell(bound)
            + _cell(met, "text")
            + _cell(text(one["words"]), "text wrap")
            + "</tr>"
        )
    head = [("comparison", "text"), ("ratio", ""), ("95 % interval", ""), ("pairs", ""), ("bound", "")]
    return _table(head + [("", "text"), ("in words", "text")], rows)


def _banded(case, value_of, scale=1.0, digits=None):
    band = case.band(value_of)
    if band is None:
        return "–"
    show = style.measured if digits is None else lambda value: f"{value:,.{digits}f}"
    middle, low, high = (show(value * scale) for value in band)
    return middle if low == high else f"{middle}<small>{low} … {high}</small>"


def _percentile(case, name):
    def value_of(repetition):
        if repetition["latency"] is None:
            return None
        return repetition["latency"]["percentiles"].get(name)

    return _banded(case, value_of, 1e-3, 1)


def cases(one):
    """All cases of a slice that ran, valid or not."""
    ran = sorted((case for case in one.cases if case.valid or case.invalid), key=lambda c: (c.clients, c.order))
    if not ran:
        return ""
    rows, last = [], None
    for case in ran:
        first = " class='first'" if last not in (None, case.clients) else ""
        last = case.clients
        total = len(case.valid) + len(case.invalid)
        look = "good" if not case.invalid else "bad" if not case.valid else "warn"
        rows.append(
            f"<tr{first}>"
            + _cell(case.clients)
            + _cell(text(case.label), "text")
            + _cell(text(case.wait), "text")
            + _cell(f"<span class='{look}'>{len(case.valid)}/{total}</span>")
            + "".join(_cell(_percentile(case, name)) for name in ("p50", "p99", "p99.9"))
            + _cell(_banded(case, lambda r: r["frames_per_second"]))
            + _cell(_banded(case, lambda r: r["bytes_per_second"], 1e-6))
            + _cell(_banded(case, lambda r: r["proxy_cpu_seconds_per_million"]))
            + _cell(_banded(case, lambda r: r["rss_bytes_per_client"], 1 / 1024, 2))
            + _cell(_banded(case, lambda r: r["swarm_occupancy"], 100, 0))
            + "</tr>"
        )
    head = [("clients", ""), ("system", "text"), ("wait", "text"), ("valid", "")]
    head += [("p50<br>µs", ""), ("p99<br>µs", "")]
    head += [("p99.9<br>µs", ""), ("delivered<br>1/s", ""), ("bytes<br>MB/s", ""), ("CPU s per<br>million", "")]
    head += [("memory per<br>client, KiB", ""), ("load busy<br>%", "")]
    return _table(head, rows)


def skipped_and_invalid(all_cases):
    """What is missing from the pictures, and why."""
    rows = []
    for case in all_cases:
        if case.skipped:
            rows.append(_reason_row(case.name, "skipped", "warn", case.skipped))
        reasons = {}
        for one, look in [(one, "invalid") for one in case.invalid] + [(one, "note") for one in case.valid]:
            for reason in one["verdict"]["reasons"] or (["no reason given"] if look == "invalid" else []):
                reasons[(look, reason)] = reasons.get((look, reason), 0) + 1
        for (look, reason), times in reasons.items():
            words = f"{look} ({times})" if times > 1 else look
            rows.append(_reason_row(case.name, words, "bad" if look == "invalid" else "", reason))
    if not rows:
        return "<h2>Skipped and invalid</h2><p>Nothing was skipped, and every repetition is valid.</p>"
    head = [("case", "text"), ("what", "text"), ("why", "text")]
    return "<h2>Skipped and invalid</h2>" + _table(head, rows)


def _reason_row(name, what, look, why):
    return (
        f"<tr>{_cell(text(name), 'text')}{_cell(text(what), 'text ' + look)}{_cell(text(why), 'text wrap')}</tr>"
    )


def floors(entries):
    """Core bounce, memory copy and jitter, when they were taken."""
    rows = []
    for one in entries:
        for bounce in one["core_bounce"]:
            what = f"cache line, core {bounce['cpu_a']} to {bounce['cpu_b']} and back"
            value = f"{bounce['round_trip_ns_p50']:,.0f} ns (p99 {bounce['round_trip_ns_p99']:,.0f} ns)"
            rows.append((one["moment"], what, value))
        for copy in one["memory_copy"]:
            rows.append((one["moment"], f"copy of {_size(copy['bytes'])}", f"{copy['gigabytes_per_second']:,.1f} GB/s"))
        for jitter in one["jitter"]:
            value = (
                f"longest {jitter['longest_gap_ns'] / 1000:,.0f} µs; over 10 µs: {jitter['gaps_over_10us']}, over 100 µs: "
                f"{jitter['gaps_over_100us']}, over 1 ms: {jitter['gaps_over_1ms']}"
            )
            rows.append((one["moment"], f"gaps of a spin loop on core {jitter['cpu']}, {jitter['seconds']:.2g} s", value))
    if not rows:
        return ""
    cells = ["<tr>" + "".join(_cell(text(cell), "text") for cell in row) + "</tr>" for row in rows]
    return "<h3>Floors of the machine</h3>" + _table([("taken", "text"), ("what", "text"), ("", "text")], cells)


def _size(count):
    for limit, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count} B"


def placements(slices):
    """Which thread ran on which core, cases of equal placement in one row."""
    by_placement = {}
    for one in slices:
        for case in one.cases:
            placement = case.case["placement"]
            threads = "; ".join(
                f"{thread['what']} {'not pinned' if thread['cpu'] is None else 'on core ' + str(thread['cpu'])}"
                f"{', spinning' if thread['spins'] else ''}"
                for thread in placement["threads"]
            )
            if threads:
                key = (threads, placement["oversubscribed"], placement["note"])
                by_placement.setdefault(key, []).append(case.name)
    if not by_placement:
        return ""
    rows = []
    for (threads, oversubscribed, note), names in by_placement.items():
        mark = "<span class='bad'>oversubscribed</span>" if oversubscribed else ""
        count = f"<td title='{text('; '.join(names))}'>{len(names)}</td>"
        rows.append(f"<tr>{count}{_cell(text(threads), 'text wrap')}{_cell(mark, 'text')}{_cell(text(note), 'text wrap')}</tr>")
    head = [("cases", ""), ("threads", "text"), ("", "text"), ("", "text")]
    return "<h3>Placement</h3>" + _table(head, rows)


def facts(title, entries):
    """Names and values; what is absent says so."""
    rows = [f"<tr>{_cell(text(name), 'text')}{_cell(_fact(value), 'text wrap')}</tr>" for name, value in entries.items()]
    return f"<details><summary>{text(title)}</summary>{_table([('', 'text'), ('', 'text')], rows)}</details>"


def _fact(value):
    if value is None:
        return "<span class='warn'>absent</span>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "<br>".join(f"{text(name)}: {_fact(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return text(", ".join(str(inner) for inner in value)) or "none"
    return text(value) if value != "" else "none"
