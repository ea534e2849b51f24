"""The paired differences between runs."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.formatting import p_value
from chestflow.plots.style import CLASS_COLOURS, GREY, point


def differences(questions: list[dict], data: str) -> Figure:
    """Paired differences of AUROC and of balanced accuracy, one row per question, in panels with
    the same range. questions: as in metrics/comparison.json."""
    figure = Figure(figsize=(11, 1.6 + 0.55 * len(questions)), layout="constrained")
    rows = np.arange(len(questions))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharex=True, sharey=True), panels.items()):
        axes.axvline(0, color=GREY, ls=":")
        for y, question in zip(rows, questions):
            p = question[key]["p_holm"]  # None where the difference is not defined
            if p is not None:
                colour = CLASS_COLOURS[0] if p < 0.05 else GREY
                point(axes, y, question[key]["difference"], question[key]["ci95"], colour)
            text = f"p {p_value(p)}" if p is not None and p < 0.001 else f"p = {p_value(p)}"
            axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set(xlabel=f"difference of {title}", ylim=(-0.6, len(questions) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(rows, [_name(question) for question in questions], fontsize=10)
    starred = any(question["config_difference"] for question in questions)
    star = "; *: settings differ too" if starred else ""
    figure.suptitle(
        f"Paired differences on the same test images (n × trainings), {data}\n"
        f"means with 95 % intervals; p after Holm, blue: p < 0.05{star}"
    )
    return figure


def _name(question: dict) -> str:
    star = "*" if question["config_difference"] else ""
    size = f"{question['n']:,} × {question['trainings']}"
    return f"{question['run']} - {question['against']}{star}\n({size})"
