"""Runs side by side: scores, paired differences, label efficiency."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.figures.style import CLASS_COLOURS, GREY, captions, point


def run_scores(reports: dict[str, dict]) -> Figure:
    """AUROC, balanced accuracy and accuracy of every run with its interval and its chance level."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(reports)), layout="constrained")
    place = np.arange(len(reports))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 3, sharey=True), panels.items()):
        for y, report in zip(place, reports.values()):
            chance = report["majority_accuracy"] if key == "accuracy" else 0.5
            point(axes, y, report[key], report["ci95"][key], CLASS_COLOURS[0])
            axes.plot((chance, chance), (y - 0.35, y + 0.35), color=CLASS_COLOURS[1], lw=2)
        axes.set(xlabel=title, ylim=(-0.6, len(reports) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(place, [f"{run} (n = {r['n']:,})" for run, r in reports.items()])
    figure.suptitle(
        f"Runs on their test images, {captions(reports)}\n"
        "with 95 % intervals; orange: chance, or the majority class"
    )
    return figure


def differences(answers: list[dict], data: str) -> Figure:
    """Paired differences of AUROC and of balanced accuracy, one row per question."""
    figure = Figure(figsize=(11, 1.6 + 0.55 * len(answers)), layout="constrained")
    place = np.arange(len(answers))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), panels.items()):
        axes.axvline(0, color=GREY, ls=":")
        for y, entry in zip(place, answers):
            clear = entry[key]["p_holm"] < 0.05
            colour = CLASS_COLOURS[0] if clear else GREY
            point(axes, y, entry[key]["difference"], entry[key]["ci95"], colour)
            text = f"p = {entry[key]['p_holm']:.3f}"
            axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set(xlabel=f"difference of {title}", ylim=(-0.6, len(answers) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(
        place, [f"{e['run']} - {e['against']}\n(n = {e['n']:,})" for e in answers], fontsize=10
    )
    figure.suptitle(
        f"Paired differences on the same test images, {data}\n"
        "with 95 % intervals; p after Holm, blue: p < .05"
    )
    return figure


CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def efficiency(table: list[dict], captions: dict[str, str]) -> Figure:
    """Test AUROC over the number of labels: mean, and the range over the seeds as a band."""
    figure = Figure(figsize=(5.8 * len(captions), 4.8), layout="constrained")
    for axes, (dataset, caption) in zip(
        figure.subplots(1, len(captions), squeeze=False).flat, captions.items()
    ):
        rows = [row for row in table if row["dataset"] == dataset]
        for colour, start in zip(CURVE_COLOURS, dict.fromkeys(row["start"] for row in rows)):
            curve = sorted((r for r in rows if r["start"] == start), key=lambda r: r["labels"])
            n, mean, low, high = (
                [row[key] for row in curve] for key in ("labels", "auroc", "lowest", "highest")
            )
            axes.plot(n, mean, "o-", color=colour, label=start)
            axes.fill_between(n, low, high, color=colour, alpha=0.15, lw=0)
        axes.set_xscale("log")
        ticks = sorted({row["labels"] for row in rows})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set(
            xlabel="labelled training images (a third more to validate)",
            ylabel="test AUROC (chance .5)",
            title=caption,
        )
        axes.grid(color="#dddddd")
        axes.legend(frameon=False, loc="lower right", fontsize=10)
    figure.suptitle(f"Label efficiency: mean and range of {table[0]['seeds']} seeds")
    return figure
