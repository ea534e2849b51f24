"""Score the released model, or a run trained here, on labelled images of your own: one HTML page
and a JSON file, with scores and intervals, the overlap with the training images, how many images
are out of distribution, and the worst errors. Not for diagnosis."""

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError, printable
from chestflow.metrics import calibration, intervals, scores
from chestflow.own_images import listing, model, out_of_distribution, overlay, radiograph
from chestflow.own_images.listing import Item
from chestflow.own_images.model import Model
from chestflow.plots import evaluation, style
from chestflow.report import page, rendering

PAGE, DATA = "index.html", "validation.json"
TEMPLATE = rendering.TEMPLATE.with_name("validation.md.jinja")
RATES = {"accuracy": (0, 1), "recall": (1,), "specificity": (0,)}  # and of which classes they are
WORST = 12  # errors that the page shows
SIDE = 480  # pixels of an error's longer side on the page
FIGURE = re.compile(r"^!\[.*?\n\n", re.MULTILINE | re.DOTALL)  # with its caption


@dataclass(frozen=True)
class Case:
    """A labelled file, its image as it was prepared, and its row of the JSON."""

    item: Item
    image: np.ndarray  # (side, side) uint8
    row: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    listing.add_arguments(parser)
    add("--out", type=Path, default=Path("validation"), help="folder of the page (%(default)s)")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Write the page and its JSON; returns the exit code: 1 if a file could not be read."""
    params = reading.params("params.yaml")
    listed = listing.items(options.given, options.groups, "validate")
    diseased = listing.diseased_classes(listed, options.positive)
    network = model.load(options.run, params)
    images = listing.prepared(listed, network.side, "validate")
    cases = ask([item for item in listed if item.name in images], images, diseased, network)
    # Scores are about the images that training has not seen, if there are any.
    used = [case for case in cases if not case.row["overlap"]] or cases
    given = {
        "given": str(options.given),
        "files": len(listed),
        "pooled_splits": sorted({item.split for item in listed} - {""}),
        "diseased_labels": list(diseased),
    }
    report = files.rounded(given | document(cases, used, network))
    folder = options.out / (options.run or "released")
    files.write_json(folder / DATA, report)
    print(write_page(folder / PAGE, report, used, network))
    print(f"page: {printable(folder / PAGE)}")
    return int(len(cases) < len(listed))


def ask(
    items: list[Item], images: dict[str, np.ndarray], diseased: Sequence[str], network: Model
) -> list[Case]:
    """What is known, and what the network says, of each image. `overlap`: whether training or
    validation saw an image that is equal once prepared."""
    stacked = np.stack([images[item.name] for item in items])
    overlap = np.isin(model.hashes(stacked), network.known_hashes)
    cases = []
    for item, image, row, known in zip(items, stacked, network.answers(stacked), overlap):
        row |= {"file": item.name, "label": "|".join(item.labels), "patient": item.patient or None}
        row |= {"diseased": item.is_any(diseased), "overlap": bool(known)}
        cases.append(Case(item, image, row))
    return cases


def document(cases: list[Case], used: list[Case], network: Model) -> dict[str, Any]:
    """What the page says; `used`: the `n` images that scores are about."""
    labels, probability, patients = columns(used)
    return {
        "notice": network.notice,
        "classes": list(network.about.classes),
        "n": len(used),
        "diseased": int(labels.sum()),
        "patients": len(set(patients)) if any(case.item.patient for case in used) else None,
        "without_patient": sum(not case.item.patient for case in used),
        "overlap": sum(case.row["overlap"] for case in cases),
        "out_of_distribution": sum(case.row["out_of_distribution"] for case in used),
        "raw_threshold": network.raw_threshold,
        "share": network.share,
        "scores": scored(labels, probability, patients, network.threshold),
        "images": [case.row for case in cases],
    }


def columns(cases: list[Case]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, calibrated probabilities, and patients as numbers from 0, (N,) each; an image whose
    patient is unknown is of its own. Raises UserError for one class or one patient alone."""
    patients = [case.item.whose for case in cases]
    labels = np.array([case.row["diseased"] for case in cases], int)
    if len(set(labels)) == 1:
        kind = ("healthy", "diseased")[labels[0]]
        raise UserError(
            f"all {len(cases):,} images (apart from those that it was trained on) are {kind};"
            " accepted: some of both (see --positive)"
        )
    if len(set(patients)) == 1:
        raise UserError(
            f"all {len(cases):,} images (apart from those that it was trained on) are of"
            f" {patients[0]}; accepted: two patients or more (see --groups)"
        )
    probability = np.array([case.row["probability"] for case in cases])
    return labels, probability, np.unique(patients, return_inverse=True)[1]


# -------------------------------------------------------------------------------------- the scores


def scored(
    labels: np.ndarray, probability: np.ndarray, patients: np.ndarray, threshold: float
) -> dict[str, Any]:
    """The record of one network, as that of a run (`scores.report`), but `ci95` and the rates under
    `at_val_threshold` have intervals for other patients.

    labels: (N,) of 0 and 1, both present; probability: (N,) of disease, calibrated; patients: (N,)
    numbers from 0, of two at least. A rate of 0 or 1 has the interval of Clopper & Pearson (1934),
    to which images of the same patient add nothing; other scores at a bound have none.
    """
    choice = calibration.Choice(threshold, calibration.IDENTITY, np.nan)
    record = scores.report(labels, probability[None], [choice], 0)
    brier = intervals.mean((probability - labels)[None] ** 2)
    record["brier"], record["sd"]["brier"] = float(brier.values[0]), None
    measured = {"auroc": intervals.auroc(labels, probability[None]), "brier": brier}
    of_score = {name: interval(one, patients) for name, one in measured.items()}
    record["ci95"] = {name: ends for name, ends in of_score.items() if ends}
    record["at_val_threshold"] = {"threshold": threshold}
    decided = intervals.decisions(labels, probability[None] >= threshold)
    for name, classes in RATES.items():
        rate, ends = float(decided[name].values[0]), interval(decided[name], patients)
        if rate in (0, 1):
            n = len(set(patients[np.isin(labels, classes)]))
            exact = stats.binomtest(round(rate) * n, n).proportion_ci(1 - intervals.LEVEL)
            ends = [float(exact.low), float(exact.high)]
        record["at_val_threshold"][name] = [rate, *ends]
    return record


def interval(measured: intervals.Measured, patients: np.ndarray) -> list[float]:
    """95 % for other patients; empty where it is not defined or has no width."""
    low, high = intervals.estimate(measured.clustered(patients))["ci95"]
    return [low, high] if low < high else []


# ---------------------------------------------------------------------------------------- the page


def write_page(out: Path, report: dict, used: list[Case], network: Model) -> str:
    """Write the page; returns its text without the figures."""
    worst = worst_errors(used)
    values = {"report": report, "own": network.report, "worst": [case.row for case in worst]}
    markdown = rendering.rendered(values | {"limit": out_of_distribution.LIMIT}, TEMPLATE)
    with TemporaryDirectory() as folder:
        style.save(curves(used, report["scores"], network), Path(folder, "evaluation.png"))
        if worst:
            style.save(errors(worst, network), Path(folder, "errors.png"))
        out.write_text(page.html(markdown, Path(folder)), encoding="utf-8")
    return FIGURE.sub("", markdown)


def worst_errors(cases: list[Case]) -> list[Case]:
    """The images decided wrongly, first those with the least probability of their true class."""
    wrong = [case for case in cases if (case.row["decision"] == "healthy") == case.row["diseased"]]
    wrong.sort(key=lambda case: abs(case.row["diseased"] - case.row["probability"]), reverse=True)
    return wrong[:WORST]


def curves(cases: list[Case], record: dict, network: Model) -> Figure:
    """The figure of a run's evaluation, here of calibrated probabilities and of decisions."""
    labels, probability, _ = columns(cases)
    tables = scores.curves(labels, probability)
    for point, case in zip(tables["predictions"], cases):
        point["predicted"] = int(case.row["decision"] != "healthy")
    by_column = {}
    for name, points in tables.items():
        by_column[name] = {key: [point[key] for point in points] for key in points[0]}
        by_column[name]["training"] = [0] * len(points)
    figure = evaluation.evaluation(record, by_column, network.about, network.run)
    threshold = f"predicted at the threshold chosen on validation, {network.threshold:.3f}"
    figure.axes[0].set(title="Confusion matrix", xlabel=threshold)
    figure.suptitle(f"{network.notice}\non {len(cases):,} images from elsewhere")
    return figure


def errors(worst: list[Case], network: Model) -> Figure:
    """GradCAM over the worst errors as they are in their files, four to a row."""
    disease = network.about.classes[1]
    heat = network.heat(np.stack([case.image for case in worst]))
    n_rows = math.ceil(len(worst) / 4)
    figure = Figure(figsize=(10, 2.75 * n_rows + 0.5))
    grid = figure.subplots(n_rows, 4, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, (axes, case, evidence) in enumerate(zip(grid.flat, worst, heat), start=1):
        picture = overlay.pictured(radiograph.read(case.item.path), evidence)
        picture.thumbnail((SIDE, SIDE))
        axes.imshow(picture)
        truth = network.about.classes[case.row["diseased"]]
        axes.set_title(f"{k}. {truth}, p = {case.row['probability']:.2f}", fontsize=10)
    figure.suptitle(
        f"evidence for {disease} (GradCAM): the brighter, the more; true class, p of {disease}"
    )
    return figure
