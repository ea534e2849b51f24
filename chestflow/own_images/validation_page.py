"""The page that `validate` writes, with its figures."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chestflow import files, formatting
from chestflow.errors import printable
from chestflow.metrics import calibration, scores
from chestflow.own_images import overlay, radiograph
from chestflow.own_images.model import Model
from chestflow.plots import style, validation
from chestflow.report import page, rendering

PAGE, DATA = "index.html", "validation.json"
TEMPLATE = rendering.TEMPLATE.with_name("validation.md.jinja")
SCORES = {
    "auroc": "AUROC",
    "auprc": "average precision",
    "accuracy": "accuracy",
    "recall": "recall",
    "specificity": "specificity",
    "brier": "Brier score",
    "calibration_error": "calibration error",
}
WORST = 12  # errors that the page shows
SIDE = 480  # pixels of an error's longer side on the page
FIGURE = re.compile(r"^!\[.*?\n\n", re.MULTILINE | re.DOTALL)  # with its caption
Rows = list[dict[str, Any]]


def write(
    folder: Path,
    report: dict,
    used: Rows,
    images: dict[str, np.ndarray],
    paths: dict[str, Path],
    network: Model,
) -> str:
    """Write page and JSON into a folder; returns the page's text without its figures.

    used: the rows of the images that scores are about; images: all of them as they were prepared,
    and paths: of their files, by name.
    """
    worst = worst_errors(used)
    values = {"report": report, "scores": score_rows(report), "worst": worst}
    markdown = rendering.rendered(values, TEMPLATE)
    with TemporaryDirectory() as made:
        figures = Path(made)
        style.save(curves(report, used, network), figures / "curves.png")
        if worst:
            style.save(errors(worst, images, paths, network), figures / "errors.png")
        html = page.html(markdown, figures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(html, encoding="utf-8")
    files.write_exact_json(folder / DATA, report)
    return FIGURE.sub("", markdown) + f"\npage: {printable(folder / PAGE)}"


def score_rows(report: dict) -> list[tuple[str, ...]]:
    """Title, these images, without any skill, the run's own test set."""
    baselines, own = report["baselines"], report["own_test"]["scores"]
    return [
        (
            title,
            with_interval(report["scores"][key]),
            formatting.number(baselines[key]) if key in baselines else "",
            with_interval(own[key]) if key in own else "",
        )
        for key, title in SCORES.items()
    ]


def with_interval(score: dict) -> str:
    if score["value"] is None or not score["ci95"]:
        return formatting.number(score["value"])
    return formatting.with_interval(score["value"], score["ci95"])


def worst_errors(rows: Rows) -> Rows:
    """The images decided wrongly, first those with the least probability of their true class."""
    wrong = [row for row in rows if (row["decision"] == "healthy") == row["diseased"]]
    wrong.sort(key=lambda row: abs(row["diseased"] - row["probability"]), reverse=True)
    return wrong[:WORST]


def curves(report: dict, used: Rows, network: Model) -> Figure:
    labels = np.array([row["diseased"] for row in used], int)
    raw = np.array([row["raw_probability"] for row in used])
    both = 0 < labels.sum() < len(labels)
    trained_on = f"{network.run}, trained on {network.about.caption}"
    return validation.curves(
        scores.curves(labels, raw)["roc"] if both else None,
        calibration.reliability(labels, network.calibrated(raw)),
        f"AUROC {with_interval(report['scores']['auroc'])}",
        f"{trained_on}, on {len(used):,} images from elsewhere",
    )


def errors(
    worst: Rows, images: dict[str, np.ndarray], paths: dict[str, Path], network: Model
) -> Figure:
    """GradCAM over the worst errors, whose files are read again: they are shown as they are."""
    classes = network.about.classes
    heat = network.heat(np.stack([images[row["file"]] for row in worst]))
    pictures = []
    for row, evidence in zip(worst, heat):
        picture = overlay.pictured(radiograph.read(paths[row["file"]]), evidence)
        picture.thumbnail((SIDE, SIDE))
        pictures.append(np.asarray(picture))
    titles = [
        f"{k}. {classes[row['diseased']]}, p = {row['probability']:.2f}"
        for k, row in enumerate(worst, start=1)
    ]
    evidence_for = f"evidence for {classes[1]} (GradCAM): the brighter, the more"
    return validation.errors(pictures, titles, f"{evidence_for}; true class, p of {classes[1]}")
