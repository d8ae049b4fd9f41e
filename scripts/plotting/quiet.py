"""Repetitions during which the machine was left alone, and the comparisons over those alone.

On a shared machine some repetitions run beside other programs, and say how those are scheduled. Which ones is known
without looking at their latency: each repetition has how much of the cores others took meanwhile."""

import random
import statistics

DRAWS = 2000


def taken_cores(repetition):
    """Cores that other programs and the hypervisor took during a repetition; None where it is not known."""
    other, stolen = repetition.get("other_cpu_seconds"), repetition.get("stolen_cpu_seconds")
    if other is None or stolen is None or not repetition["seconds"]:
        return None
    return (other + stolen) / repetition["seconds"]


def is_quiet(repetition, cores_max):
    taken = taken_cores(repetition)
    return taken is not None and taken <= cores_max


METRICS = {
    "latency_p50_ns": lambda one: one["latency"]["percentiles"]["p50"] if one["latency"] else None,
    "latency_p99_ns": lambda one: one["latency"]["percentiles"].get("p99") if one["latency"] else None,
    "cpu_seconds_per_million": lambda one: one["proxy_cpu_seconds_per_million"],
    "frames_per_second": lambda one: one["frames_per_second"],
    "bytes_per_second": lambda one: one["bytes_per_second"],
}


def ratios(result, cores_max):
    """(comparison, median ratio, low, high, pairs) of every comparison of two cases; pairs are repeats of equal number
    that were both quiet. low and high: a 95 % bootstrap interval of the median, None below five pairs."""
    cases = {case["name"]: case for group in result["groups"] for case in group["cases"]}
    drawn = random.Random(result["seed"])
    for comparison in result["comparisons"]:
        value_of = METRICS.get(comparison["metric"])
        sides = [cases.get(comparison[side]) for side in ("numerator", "denominator")]
        if value_of is None or None in sides:
            continue
        above, below = ({one["repeat"]: value_of(one) for one in side["repetitions"]
                         if one["verdict"]["valid"] and is_quiet(one, cores_max) and value_of(one)} for side in sides)
        pairs = [above[repeat] / below[repeat] for repeat in sorted(above) if repeat in below]
        if not pairs:
            yield comparison, None, None, None, 0
            continue
        low = high = None
        if len(pairs) >= 5:
            medians = sorted(statistics.median(drawn.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
            low, high = medians[int(0.025 * DRAWS)], medians[int(0.975 * DRAWS) - 1]
        yield comparison, statistics.median(pairs), low, high, len(pairs)


def text(result, cores_max):
    """The same as lines for people."""
    lines = [f"over pairs of repetitions beside which others took at most {cores_max:g} of a core:"]
    for comparison, ratio, low, high, pairs in ratios(result, cores_max):
        shown = "no pair" if ratio is None else f"{ratio:.3f}"
        if low is not None:
            shown += f" ({low:.3f} to {high:.3f})"
        if comparison["bound"] is not None and ratio is not None:
            upper = comparison["bound_is_upper"]
            met = ratio <= comparison["bound"] if upper else ratio >= comparison["bound"]
            shown += f", bound {'<=' if upper else '>='} {comparison['bound']:g}: {'met' if met else 'NOT MET'}"
        lines.append(f"  {comparison['name']}: {shown}, {pairs} pairs")
    return "\n".join(lines)
