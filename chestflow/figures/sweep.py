"""Every configuration of a sweep."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.figures.style import CLASS_COLOURS, point


def sweep(report: dict) -> Figure:
    """Every configuration of a sweep, best by validation on top: what it scored on validation and,
    with its interval, on test; the small dots are further seeds."""
    rows = report["configurations"]
    seeds = {row["name"]: row for row in report["seeds"]}
    panels = {
        "val_auroc": "validation AUROC",
        "val_loss": "validation loss",
        "auroc": "test AUROC",
        "accuracy": "test accuracy",
    }
    figure = Figure(figsize=(12, 1.6 + 0.36 * len(rows)), layout="constrained")
    place = np.arange(len(rows))[::-1]
    for axes, (score, title) in zip(figure.subplots(1, 4, sharey=True), panels.items()):
        for y, row in zip(place, rows):
            colour = CLASS_COLOURS[1] if row["name"] == report["chosen"] else CLASS_COLOURS[0]
            interval = row["ci95"].get(score, [row[score], row[score]])
            point(axes, y, row[score], interval, colour)
            more = seeds.get(row["name"], {}).get(score, [])
            axes.plot(more, [y - 0.3] * len(more), "o", color=colour, markersize=3)
        axes.set(xlabel=title, ylim=(-0.8, len(rows) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(
        place,
        [
            f"{r['name']}  ({r['parameters']:,} parameters, {r['train_seconds']:.0f} s)"
            for r in rows
        ],
    )
    figure.suptitle(
        f"{len(rows)} configurations on {report['data']}, best by validation on top;"
        " orange: chosen\n"
        f"lines: 95 % intervals over n = {report['n']:,} test images; small dots: further seeds"
    )
    return figure
