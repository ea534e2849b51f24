"""Test AUROC over the number of labelled images."""

from itertools import cycle

from matplotlib.figure import Figure

from chestflow.plots.style import GREY

# From the palette of Okabe & Ito, as in style.py; more lines would not be readable.
CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def label_efficiency(points: list[dict], captions: dict[str, str]) -> Figure:
    """Test AUROC by number of labels: a panel per data set and a line per start and strategy, with
    the same colours and range in all panels. Lines are means, dots trainings, rings the runs.

    points: as in data/label_efficiency.json, sorted by the number of labels; captions: of the data
    sets, by their keys.
    """
    curves: dict[tuple, dict] = {}  # by start and strategy: by data set, the points
    for point in points:
        if not point["short"]:  # with fewer steps, and so on no curve over labels
            curve = curves.setdefault((point["start"], point["strategy"]), {})
            curve.setdefault(point["dataset"], []).append(point)
    # a single point makes no line
    curves = {name: c for name, c in curves.items() if max(map(len, c.values())) > 1}
    every = [point["labels"] for point in points]
    figure = Figure(figsize=(5.8 * len(captions), 5.4))
    panels = figure.subplots(1, len(captions), squeeze=False, sharey=True).flat
    for axes, (dataset, caption) in zip(panels, captions.items()):
        here = [point for point in points if point["dataset"] == dataset]
        for (name, of_data), colour in zip(curves.items(), cycle(CURVE_COLOURS)):
            if len(of_data.get(dataset, ())) > 1:
                _plot_curve(axes, of_data[dataset], ", ".join(name), colour)
        axes.axhline(0.5, color=GREY, ls=":", label="chance")
        axes.set(xscale="log", xlim=(min(every) / 1.3, max(every) * 1.3))
        axes.set(
            xlabel="labelled training images", title=f"{caption}, n = {here[0]['n']:,} test images"
        )
        numbers = sorted({point["labels"] for point in here})
        axes.set_xticks(numbers, [f"{n:,}" for n in numbers], rotation=60, fontsize=10)
        axes.minorticks_off()
        axes.grid()
        axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    figure.axes[0].set_ylabel("test AUROC")
    figure.suptitle("Label efficiency: lines are means, dots trainings, rings runs of the graph")
    return figure


def _plot_curve(axes, points: list[dict], name: str, colour: str) -> None:
    labels, means = ([point[key] for point in points] for key in ("labels", "auroc"))
    axes.plot(labels, means, "-", color=colour, label=name)
    for point in points:
        each = point["each"]
        axes.plot([point["labels"]] * len(each), each, ".", color=colour, markersize=5)
        ring = {"markerfacecolor": "white", "markersize": 9} if point["is_run"] else {}
        axes.plot(point["labels"], point["auroc"], "o", color=colour, **ring)
