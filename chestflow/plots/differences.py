"""The paired differences between runs."""

from matplotlib.figure import Figure

from chestflow.formatting import MARGIN, p_value
from chestflow.plots.style import CLASS_COLOURS, GREY, forest, point, sized


def differences(compared: dict) -> Figure:
    """Paired differences of AUROC, one row per question: above in blue those that are tested, with
    intervals after correction, below in grey those that are not, with intervals as they are. A band
    shows which differences are too small to matter. compared: as in data/comparison.json."""
    questions = compared["primary"] + compared["further"]
    figure = Figure(figsize=(11, 2 + 0.55 * len(questions)))
    axes = figure.subplots()
    rows = forest(axes, [_name(question) for question in questions], "difference of AUROC")
    axes.axvspan(-MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(0, color=GREY, ls=":")
    for y, question in zip(rows, questions):
        is_tested = "p_holm" in question
        interval = question["ci95_holm" if is_tested else "ci95"]
        if question["difference"] is not None:
            colour = CLASS_COLOURS[0] if is_tested else GREY
            point(axes, y, question["difference"], interval, colour)
        if is_tested:
            p, beside = f"p {p_value(question['p_holm'])}", axes.get_yaxis_transform()
            axes.text(1.01, y, p, transform=beside, va="center", fontsize=10)
    starred = any(question["config_difference"] for question in questions)
    star = "; *: settings differ too" if starred else ""
    figure.suptitle(
        f"Paired differences on the same test images (n × trainings), {compared['data']}\n"
        "blue: tested, p and 95 % intervals after Holm; grey: 95 % intervals, not tested\n"
        f"band: within ±{MARGIN}, too small to matter{star}"
    )
    return figure


def _name(question: dict) -> str:
    star = "*" if question["config_difference"] else ""
    pair = f"{question['run']} - {question['against']}{star}"
    return sized(pair, question["n"], question["trainings"])
