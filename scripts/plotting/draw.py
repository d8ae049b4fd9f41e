"""All pictures of a result, and the page that holds them."""

import os

from . import page, percentiles, scaling, stages, style


def draw_all(result, out):
    """Draws into the folder `out`. Returns the path of report.html."""
    os.makedirs(out, exist_ok=True)
    style.setup()
    pictures = {}
    for one in result["slices"]:
        drawn = []
        # At "as fast as possible" a message waits for all before it: its latency says how deep the queue was, no more.
        if one.paced:
            kinds = [
                ("stages", stages.draw),
                ("percentiles", percentiles.draw),
                ("latency", scaling.draw_latency),
                ("cpu", scaling.draw_cpu),
            ]
        else:
            kinds = [("throughput", scaling.draw_throughput), ("cpu", scaling.draw_cpu)]
        for kind, draw in kinds:
            name = f"{one.slug}-{kind}"
            if draw(result, one, os.path.join(out, name)):
                drawn.append((kind, name))
        pictures[one.slug] = drawn
    target = os.path.join(out, "report.html")
    with open(target, "w", encoding="utf-8") as file:
        file.write(page.html_of(result, pictures, out))
    return target
