"""The scores of all runs side by side."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY, point


def run_scores(reports: dict[str, dict], data: str) -> Figure:
    """AUROC, balanced accuracy and accuracy of every run with its interval and its chance level, in
    panels with the same range. reports: the runs' records; data: what they were tested on."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(reports)), layout="constrained")
    rows = np.arange(len(reports))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items()):
        for y, report in zip(rows, reports.values()):
            chance = report["majority_accuracy"] if key == "accuracy" else 0.5
            axes.plot(report["each"][key], [y - 0.25] * report["trainings"], "|", color=GREY)
            far = [report["each"][key][k] for k in report["far_below"]]
            axes.plot(far, [y - 0.25] * len(far), "x", color="black", markersize=5)
            point(axes, y, report[key], report["ci95"][key], CLASS_COLOURS[0])
            # ends above the trainings, or it would hide those at chance
            axes.plot((chance, chance), (y - 0.1, y + 0.35), color=CLASS_COLOURS[1], lw=2)
        axes.set(xlabel=title, ylim=(-0.6, len(reports) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    sizes = [f"{run} ({r['n']:,} × {r['trainings']})" for run, r in reports.items()]
    figure.axes[0].set_yticks(rows, sizes)
    far_below = any(report["far_below"] for report in reports.values())
    crossed = " (x: far below the others)" if far_below else ""
    figure.suptitle(
        f"Runs (test images × trainings), {data}\n"
        f"means with 95 % intervals; grey: each training{crossed}"
        "; orange: chance, or the majority class"
    )
    return figure
