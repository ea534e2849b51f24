"""How many images of each class a data set has."""

from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import percent
from chestflow.plots.style import CLASS_COLOURS


def class_counts(report: dict, about: About) -> Figure:
    """Images per class and split; report: the data set's metrics file."""
    splits = report["splits"]
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for shift, key, name, colour in zip(
        (-0.2, 0.2), ("healthy", "positive"), about.classes, CLASS_COLOURS
    ):
        counts = [split[key] for split in splits]
        places = [i + shift for i in range(len(splits))]
        bars = axes.bar(places, counts, 0.4, color=colour, label=name)
        shares = [f"{n:,}\n{percent(n / split['n'])}" for n, split in zip(counts, splits)]
        axes.bar_label(bars, shares, fontsize=9, padding=2)
    names = [f"{split['split']} (n = {split['n']:,})" for split in splits]
    axes.set_xticks(range(len(splits)), names)
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(y=0.18)
    axes.legend()
    figure.suptitle(f"Classes of {about.caption}")
    return figure
