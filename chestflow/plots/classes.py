"""How many images of each class a data set has."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import percent
from chestflow.plots.style import CLASS_COLOURS, SYNTHETIC, label


def class_counts(report: dict, about: About) -> Figure:
    """Images per class and split; report: the data set's metrics file."""
    counts = {entry["split"]: entry for entry in report["splits"]}
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(counts))
    for kind, key in enumerate(("healthy", "positive")):
        values = [split[key] for split in counts.values()]
        bars = axes.bar(
            place + (kind - 0.5) * 0.4,
            values,
            0.4,
            color=CLASS_COLOURS[kind],
            label=label(about.classes[kind]),
        )
        shares = [f"{v:,}\n{percent(v / split['n'])}" for v, split in zip(values, counts.values())]
        axes.bar_label(bars, shares, fontsize=9, padding=2)
    axes.set_xticks(place, [f"{name} (n = {split['n']:,})" for name, split in counts.items()])
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(y=0.18)
    axes.legend(frameon=False)
    figure.suptitle(f"Classes of {about.caption}{SYNTHETIC * about.is_phantom}")
    return figure
