"""How many images of each class a data set has."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import percent
from chestflow.plots.style import CLASS_COLOURS, SYNTHETIC


def class_counts(report: dict, about: About) -> Figure:
    """Images per class and split; report: the data set's metrics file."""
    splits = report["splits"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    x = np.arange(len(splits))
    for k, key in enumerate(("healthy", "positive")):
        counts = [split[key] for split in splits]
        place = x + (k - 0.5) * 0.4
        bars = axes.bar(place, counts, 0.4, color=CLASS_COLOURS[k], label=about.classes[k])
        shares = [f"{n:,}\n{percent(n / split['n'])}" for n, split in zip(counts, splits)]
        axes.bar_label(bars, shares, fontsize=9, padding=2)
    axes.set_xticks(x, [f"{split['split']} (n = {split['n']:,})" for split in splits])
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(y=0.18)
    axes.legend(frameon=False)
    figure.suptitle(f"Classes of {about.caption}{SYNTHETIC * about.is_phantom}")
    return figure
