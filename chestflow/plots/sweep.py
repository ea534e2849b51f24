"""Every configuration of a sweep."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY, point


def sweep(report: dict) -> Figure:
    """Every configuration of a sweep, best by validation on top: its scores on validation and, with
    intervals, on test. Dots are single trainings. A band marks the validation AUROCs that count as
    equal to the highest, and a line in all panels separates these configurations from the rest."""
    rows = report["configurations"]
    finalists = {row["name"]: row["each"] for row in report["finalists"]}
    panels = {
        "val_auroc": "validation AUROC",
        "val_loss": "validation cross-entropy",
        "auroc": "test AUROC",
        "accuracy": "test accuracy",
    }
    figure = Figure(figsize=(12, 1.9 + 0.36 * len(rows)), layout="constrained")
    place = np.arange(len(rows))[::-1]
    least = max(row["val_auroc"] for row in rows) - report["min_delta"]
    equal = sum(row["val_auroc"] >= least for row in rows)
    for axes, (score, title) in zip(figure.subplots(1, 4, sharey=True), panels.items()):
        for y, row in zip(place, rows):
            colour = CLASS_COLOURS[1] if row["name"] == report["chosen"] else CLASS_COLOURS[0]
            interval = row["ci95"].get(score, [row[score], row[score]])
            point(axes, y, row[score], interval, colour)
            more = finalists.get(row["name"], {}).get(score, [])
            axes.plot(more, [y - 0.3] * len(more), "o", color=colour, markersize=3)
        axes.set(xlabel=title, ylim=(-0.8, len(rows) - 0.4))
        axes.grid(axis="x", color="#dddddd")
        if score == "val_auroc":
            axes.axvspan(least, least + report["min_delta"], color="#e4e4e4", zorder=0)
        axes.axhline(len(rows) - equal - 0.5, color=GREY, ls=":")
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
        f"lines: 95 % intervals over n = {report['n']:,} test images; dots: further trainings\n"
        "band, and above the dotted line: equal on validation, so that the lower loss decides"
    )
    return figure
