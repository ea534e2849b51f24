"""Every configuration of a sweep."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY, point

PANELS = {
    "stress": "stress AUROC",
    "val_auroc": "validation AUROC",
    "auroc": "test AUROC",
    "accuracy": "test accuracy",
}


def sweep(report: dict) -> Figure:
    """Every configuration of a sweep, the highest stress AUROC on top: its scores, with intervals
    but for the validation AUROC. Dots are the trainings of the finalists, a dotted line is the
    reference."""
    rows = report["configurations"]
    finalists = {row["name"]: row for row in report["finalists"]}
    figure = Figure(figsize=(12, 1.9 + 0.36 * len(rows)), layout="constrained")
    place = np.arange(len(rows))[::-1]
    for axes, (score, title) in zip(figure.subplots(1, 4, sharey=True), PANELS.items()):
        for y, row in zip(place, rows):
            colour = CLASS_COLOURS[1] if row["name"] == report["chosen"] else CLASS_COLOURS[0]
            value, interval, _ = values(row, score)
            point(axes, y, value, interval, colour)
            if row["name"] == report["reference"]:
                axes.axvline(value, color=GREY, ls=":")
            if row["name"] in finalists:
                each = values(finalists[row["name"]], score)[2]
                axes.plot(each, [y - 0.3] * len(each), "o", color=colour, markersize=3)
        axes.set(xlabel=title, ylim=(-0.8, len(rows) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    labels = (
        f"{r['name']}  ({r['parameters']:,} parameters, {r['train_seconds']:.0f} s)" for r in rows
    )
    figure.axes[0].set_yticks(place, [*labels])
    stress = rows[0]["stress"]
    figure.suptitle(
        f"{len(rows)} configurations on {report['data']}, best on the stress set on top;"
        f" orange: chosen; dotted: {report['reference']}\n"
        f"stress: n = {stress['n']:,} validation images, each changed {stress['draws']} times;"
        f" test: n = {report['n']:,} images\n"
        "lines: 95 % intervals over images; dots: further trainings"
    )
    return figure


def values(row: dict, score: str) -> tuple[float, list[float], list[float]]:
    """A score of a row, its interval (of no width if it has none), and each training's."""
    if score == "stress":
        return row["stress"]["auroc"], row["stress"]["ci95"], row["stress"]["each"]
    return row[score], row["ci95"].get(score, [row[score]] * 2), row["each"].get(score, [])
