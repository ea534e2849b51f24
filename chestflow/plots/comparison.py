"""Runs side by side: scores, paired differences, label efficiency."""

import math
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from chestflow.formatting import p_value
from chestflow.plots.style import CLASS_COLOURS, GREY, captions, point

CROWDED = 1.6  # a number of labels this close below the next has no room for its name


def run_scores(reports: dict[str, dict]) -> Figure:
    """AUROC, balanced accuracy and accuracy of every run with its interval and its chance level, in
    panels with the same range."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(reports)), layout="constrained")
    place = np.arange(len(reports))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items()):
        for y, report in zip(place, reports.values()):
            chance = report["majority_accuracy"] if key == "accuracy" else 0.5
            axes.plot(report["each"][key], [y - 0.25] * report["trainings"], "|", color=GREY)
            point(axes, y, report[key], report["ci95"][key], CLASS_COLOURS[0])
            # ends above the trainings, or it would hide those at chance
            axes.plot((chance, chance), (y - 0.1, y + 0.35), color=CLASS_COLOURS[1], lw=2)
        axes.set(xlabel=title, ylim=(-0.6, len(reports) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    sizes = [f"{run} ({r['n']:,} × {r['trainings']})" for run, r in reports.items()]
    figure.axes[0].set_yticks(place, sizes)
    figure.suptitle(
        f"Runs (test images × trainings), {captions(reports)}\n"
        "means with 95 % intervals; grey: each training; orange: chance, or the majority class"
    )
    return figure


def differences(answers: list[dict], data: str) -> Figure:
    """Paired differences of AUROC and of balanced accuracy, one row per question, in panels with
    the same range."""
    figure = Figure(figsize=(11, 1.6 + 0.55 * len(answers)), layout="constrained")
    place = np.arange(len(answers))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharex=True, sharey=True), panels.items()):
        axes.axvline(0, color=GREY, ls=":")
        for y, entry in zip(place, answers):
            p = entry[key]["p_holm"]  # None where the difference is not defined
            if p is not None:
                colour = CLASS_COLOURS[0] if p < 0.05 else GREY
                point(axes, y, entry[key]["difference"], entry[key]["ci95"], colour)
            text = f"p {p_value(p)}" if p is not None and p < 0.001 else f"p = {p_value(p)}"
            axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set(xlabel=f"difference of {title}", ylim=(-0.6, len(answers) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(place, [_question(entry) for entry in answers], fontsize=10)
    star = (
        "; *: settings differ too" if any(entry["config_difference"] for entry in answers) else ""
    )
    figure.suptitle(
        f"Paired differences on the same test images (n × trainings), {data}\n"
        f"means with 95 % intervals; p after Holm, blue: p < 0.05{star}"
    )
    return figure


def _question(entry: dict) -> str:
    star = "*" if entry["config_difference"] else ""
    return f"{entry['run']} - {entry['against']}{star}\n({entry['n']:,} × {entry['trainings']})"


# Of Okabe & Ito, as in style.py: as many as there may be kinds of lines in a readable figure.
CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def efficiency(points: list[dict], captions: dict[str, str]) -> Figure:
    """Test AUROC over the number of labels, one line per start and strategy, with the same colour
    and the same ranges in all panels: mean over the trainings, and each of them as a dot; a ring
    marks a point that is a run of its own."""
    figure = Figure(figsize=(5.8 * len(captions), 5.4), layout="constrained")
    colours = dict(zip(_lines(points), cycle(CURVE_COLOURS)))
    fewest, most = (found(p["labels"] for p in points) for found in (min, max))
    panels = figure.subplots(1, len(captions), squeeze=False, sharey=True).flat
    for axes, (dataset, caption) in zip(panels, captions.items()):
        here = [p for p in points if p["dataset"] == dataset]
        for kind in _lines(here):
            colour = colours[kind]
            curve = [p for p in here if (p["start"], p["strategy"]) == kind]
            curve.sort(key=lambda p: p["labels"])
            n, mean = ([p[key] for p in curve] for key in ("labels", "auroc"))
            axes.plot(n, mean, "-", color=colour, label=", ".join(kind))
            for at in curve:
                each = at["each"]
                axes.plot([at["labels"]] * len(each), each, ".", color=colour, markersize=5)
                ring = {"markerfacecolor": "white", "markersize": 9} if at["is_run"] else {}
                axes.plot(at["labels"], at["auroc"], "o", color=colour, **ring)
        axes.axhline(0.5, color=GREY, ls=":", label="chance")
        axes.set_xscale("log")
        ticks = sorted({point["labels"] for point in here})
        above = [*ticks[1:], math.inf]
        names = ["" if next_one < CROWDED * n else f"{n:,}" for n, next_one in zip(ticks, above)]
        axes.set_xticks(ticks, names)
        axes.minorticks_off()
        axes.set(xlabel="labelled training images", xlim=(fewest / 1.3, most * 1.3))
        axes.set_title(f"{caption}, n = {here[0]['n']:,} test images")
        axes.grid(color="#dddddd")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        axes.legend(frameon=False, fontsize=10, ncols=2, **below)
    figure.axes[0].set_ylabel("test AUROC")
    trainings = points[0]["trainings"]
    each = f"; dots: each of {trainings} trainings" if trainings > 1 else ""
    figure.suptitle(f"Label efficiency: lines are means{each}; rings: runs of the graph")
    return figure


def _lines(points: list[dict]) -> list[tuple]:
    """Start and strategy of the points that make a line: one point makes none."""
    of = [(point["dataset"], point["start"], point["strategy"]) for point in points]
    return list(dict.fromkeys(kind[1:] for kind in of if of.count(kind) > 1))
