"""The scores of all runs side by side."""

from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY, forest, point, sized

PANELS = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}


def run_scores(reports: dict[str, dict], data: str) -> Figure:
    """AUROC, balanced accuracy and accuracy of every run with its interval and its chance level, in
    panels with the same range. reports: the runs' records; data: what they were tested on."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(reports)))
    names = [sized(run, report["n"], report["trainings"]) for run, report in reports.items()]
    panels = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    for axes, (key, title) in zip(panels, PANELS.items()):
        for y, report in zip(forest(axes, names, title), reports.values()):
            each = report["each"][key]
            axes.plot(each, [y - 0.25] * len(each), "|", color=GREY)
            point(axes, y, report[key], report["ci95"][key], CLASS_COLOURS[0])
            chance = report["majority_accuracy"] if key == "accuracy" else 0.5
            # ends above the trainings, or it would hide those at chance
            axes.plot((chance, chance), (y - 0.1, y + 0.35), color=CLASS_COLOURS[1], lw=2)
    figure.suptitle(
        f"Runs (test images × trainings), {data}\nmeans with 95 % intervals; grey: each training;"
        " orange: chance, or the majority class"
    )
    return figure
