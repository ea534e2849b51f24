"""The paired differences between runs."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.formatting import MARGIN, p_value
from chestflow.plots.style import CLASS_COLOURS, GREY, point


def differences(compared: dict) -> Figure:
    """Paired differences of AUROC, one row per question: above in blue those that are tested, with
    intervals after correction, below in grey those that are not, with intervals as they are. A band
    shows which differences are too small to matter. compared: as in data/comparison.json."""
    rows = [("ci95_holm", CLASS_COLOURS[0], question) for question in compared["primary"]]
    rows += [("ci95", GREY, question) for question in compared["further"]]
    figure = Figure(figsize=(11, 2 + 0.55 * len(rows)), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(rows))[::-1]
    axes.axvspan(-MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(0, color=GREY, ls=":")
    for y, (interval, colour, question) in zip(places, rows):
        if question["difference"] is not None:
            point(axes, y, question["difference"], question[interval], colour)
        if "p_holm" in question:
            beside = axes.get_yaxis_transform()
            axes.text(1.01, y, _p(question["p_holm"]), transform=beside, va="center", fontsize=10)
    axes.set(xlabel="difference of AUROC", ylim=(-0.6, len(rows) - 0.4))
    axes.grid(axis="x", color="#dddddd")
    axes.set_yticks(places, [_name(question) for _, _, question in rows], fontsize=10)
    starred = any(question["config_difference"] for _, _, question in rows)
    star = "; *: settings differ too" if starred else ""
    figure.suptitle(
        f"Paired differences on the same test images (n × trainings), {compared['data']}\n"
        "blue: tested, p and 95 % intervals after Holm; grey: 95 % intervals, not tested\n"
        f"band: within ±{MARGIN}, too small to matter{star}"
    )
    return figure


def _p(p: float | None) -> str:
    return f"p {p_value(p)}" if p is None or p < 0.001 else f"p = {p_value(p)}"


def _name(question: dict) -> str:
    star = "*" if question["config_difference"] else ""
    size = f"{question['n']:,} × {question['trainings']}"
    return f"{question['run']} - {question['against']}{star}\n({size})"
