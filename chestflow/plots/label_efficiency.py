"""Test AUROC over the number of labelled images."""

import math
from itertools import cycle

from matplotlib.figure import Figure

from chestflow.plots.style import GREY

CROWDED = 1.6  # ratio of neighbouring numbers of labels below which only one tick has a label
# From the palette of Okabe & Ito, as in style.py; more lines would not be readable.
CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def label_efficiency(points: list[dict], captions: dict[str, str]) -> Figure:
    """Test AUROC by number of labels: a panel per data set and a line per start and strategy, with
    the same colours and axis limits in all panels. Lines are means, dots single trainings, and
    rings mark the runs.

    points: as in data/label_efficiency.json, of which short trainings are left out; captions: of
    the data sets, by their keys.
    """
    points = [point for point in points if not point["short"]]
    figure = Figure(figsize=(5.8 * len(captions), 5.4), layout="constrained")
    colours = dict(zip(_curves(points), cycle(CURVE_COLOURS)))
    labels = [point["labels"] for point in points]
    panels = figure.subplots(1, len(captions), squeeze=False, sharey=True).flat
    for axes, (dataset, caption) in zip(panels, captions.items()):
        here = [point for point in points if point["dataset"] == dataset]
        for curve in _curves(here):
            own = [point for point in here if (point["start"], point["strategy"]) == curve]
            own.sort(key=lambda point: point["labels"])
            _plot_curve(axes, own, ", ".join(curve), colours[curve])
        axes.axhline(0.5, color=GREY, ls=":", label="chance")
        axes.set_xscale("log")
        axes.set(xlabel="labelled training images", xlim=(min(labels) / 1.3, max(labels) * 1.3))
        _name_numbers(axes, sorted({point["labels"] for point in here}))
        axes.set_title(f"{caption}, n = {here[0]['n']:,} test images")
        axes.grid(color="#dddddd")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axes.legend(frameon=False, fontsize=10, ncols=2, **below)
    figure.axes[0].set_ylabel("test AUROC")
    figure.suptitle("Label efficiency: lines are means, dots trainings, rings runs of the graph")
    return figure


def _curves(points: list[dict]) -> list[tuple[str, str]]:
    """Start and strategy of each line; a single point makes no line."""
    kinds = [(point["dataset"], point["start"], point["strategy"]) for point in points]
    return list(dict.fromkeys(kind[1:] for kind in kinds if kinds.count(kind) > 1))


def _plot_curve(axes, points: list[dict], name: str, colour: str) -> None:
    labels, means = ([point[key] for point in points] for key in ("labels", "auroc"))
    axes.plot(labels, means, "-", color=colour, label=name)
    for point in points:
        each = point["each"]
        axes.plot([point["labels"]] * len(each), each, ".", color=colour, markersize=5)
        ring = {"markerfacecolor": "white", "markersize": 9} if point["is_run"] else {}
        axes.plot(point["labels"], point["auroc"], "o", color=colour, **ring)


def _name_numbers(axes, labels: list[int]) -> None:
    """Ticks at the numbers of labels; those without room have no text."""
    next_ones = [*labels[1:], math.inf]
    names = [f"{n:,}" if above >= CROWDED * n else "" for n, above in zip(labels, next_ones)]
    axes.set_xticks(labels, names)
    axes.minorticks_off()
