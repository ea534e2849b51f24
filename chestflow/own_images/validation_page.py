"""The page on which `validate` says what it found, with its figures."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from chestflow import files, formatting
from chestflow.errors import UserError
from chestflow.metrics import calibration, scores
from chestflow.own_images import out_of_distribution, overlay, radiograph, validation_scores
from chestflow.own_images.model import Model
from chestflow.own_images.radiograph import Radiograph
from chestflow.plots import out_of_distribution as distances
from chestflow.plots import style, validation
from chestflow.report import page, rendering

PAGE, DATA = "index.html", "validation.json"
TEMPLATE = rendering.TEMPLATE.with_name("validation.md.jinja")
RATES = validation_scores.RATES
SCORES = {  # title -> where it stands under `scores`
    "AUROC": ("auroc",),
    "average precision": ("auprc",),
    **{f"{name} at .5": ("at_half", name) for name in RATES},
    **{f"{name} at validation's threshold": ("at_threshold", name) for name in RATES},
    "Brier score": ("brier",),
    "calibration error": ("calibration_error",),
    "calibration-in-the-large (ideal: 0)": ("calibration_in_the_large",),
    "calibration slope (ideal: 1)": ("calibration_slope",),
}
SIDE = 480  # pixels of an error's longer side on the page
FIGURE = re.compile(r"^!\[.*?\n\n", re.MULTILINE | re.DOTALL)  # with its caption
Rows = list[dict[str, Any]]


def write(
    folder: Path,
    report: dict,
    used: Rows,
    worst: list[tuple[dict, np.ndarray]],
    paths: dict[str, Path],
    network: Model,
) -> str:
    """Write page and JSON into a folder; returns the page's text without its figures.

    used: the rows of the images that scores are about; worst: those of the worst errors, with the
    images as they were prepared; paths: of the files, by name.
    """
    own = network.test_predictions()
    values = {"report": report, "scores": score_rows(report), "with_own_curve": bool(own)}
    values |= {"worst": [row for row, _ in worst], "spaces": {}}
    markdown = rendering.rendered(values, TEMPLATE)
    with TemporaryDirectory() as made:
        pictures = Path(made)
        style.save(curves(report, used, own, network), pictures / "curves.png")
        figure = distances.out_of_distribution(
            np.array([row["distance"] for row in used]),
            network.reference.distances,
            out_of_distribution.LIMIT,
        )
        style.save(figure, pictures / "out_of_distribution.png")
        if worst:
            figure = errors(worst, paths, network, report["classes"])
            style.save(figure, pictures / "errors.png")
        html = page.html(markdown, pictures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(html, encoding="utf-8")
    files.write_exact_json(folder / DATA, report)
    return FIGURE.sub("", markdown) + f"\npage: {formatting.printable(folder / PAGE)}"


def score_rows(report: dict) -> list[tuple[str, ...]]:
    """Title, these images, without any skill, the run's own test set."""
    rows: list[tuple[str, ...]] = []
    for title, (name, *part) in SCORES.items():
        here, baseline, own = (
            values.get(name, {})
            for values in (report["scores"], report["baselines"], report["own_test"]["scores"])
        )
        for key in part:
            here, baseline, own = (values.get(key, {}) for values in (here, baseline, own))
        plain = formatting.number(baseline) if baseline else ""
        rows.append((title, score(here), plain, score(own) if own else ""))
    return rows


def score(estimate: dict) -> str:
    if estimate["value"] is None or not estimate.get("ci95"):
        return formatting.number(estimate["value"])
    return formatting.with_interval(estimate["value"], estimate["ci95"])


def curves(report: dict, used: Rows, own: tuple[np.ndarray, np.ndarray] | None, network: Model):
    """ROC and reliability of these images, and of the run's own test set."""
    labels = np.array([row["diseased"] for row in used], int)
    raw = np.array([row["raw_probability"] for row in used])
    label = score(report["scores"]["auroc"])
    theirs = None
    if own:
        of_training = network.report["each"]["auroc"][network.report["representative"]]
        theirs = curve(own[0], own[1], network, f"AUROC {formatting.number(of_training)}")
    trained_on = f"{network.run}, trained on {network.about.caption},"
    given = curve(labels, raw, network, label)
    return validation.curves(given, theirs, trained_on, f"{report['n']:,} images from elsewhere")


def curve(labels: np.ndarray, raw: np.ndarray, network: Model, label: str) -> dict[str, Any]:
    """labels, raw: (N,); the ROC curve is None where a class is missing."""
    both = 0 < labels.sum() < len(labels)
    roc = scores.curves(labels, raw)["roc"] if both else None
    reliability = calibration.reliability(labels, network.calibrated(raw))
    return {"n": len(labels), "roc": roc, "reliability": reliability, "label": label}


def errors(
    worst: list[tuple[dict, np.ndarray]],
    paths: dict[str, Path],
    network: Model,
    classes: list[str],
):
    """GradCAM over the worst errors, whose files are read again for it."""
    rows, images = zip(*worst)
    heat = network.heat(np.stack(images))
    pictures = [picture(paths[r["file"]], i, h) for r, i, h in zip(rows, images, heat)]
    titles = [
        f"{k}. {classes[row['diseased']]}, p = {row['probability']:.2f}"
        for k, row in enumerate(rows, start=1)
    ]
    disease = classes[1]
    scale = f"evidence for {disease} (GradCAM): the brighter, the more; true class, p of {disease}"
    return validation.errors(pictures, titles, scale)


def picture(path: Path, prepared: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """(H, W, 3): the file's image with the evidence over it; as it was prepared, if the file has
    changed meanwhile and cannot be read any more."""
    try:
        image = radiograph.read(path)
    except UserError:
        image = Radiograph(prepared)
    overlaid = overlay.pictured(image, heat)
    overlaid.thumbnail((SIDE, SIDE))
    return np.asarray(overlaid)
