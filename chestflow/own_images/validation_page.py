"""What `validate` says of labelled images: the same words for a terminal and for a page of HTML."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chestflow import files, formatting
from chestflow.errors import UserError
from chestflow.explain import gradcam as cam
from chestflow.metrics import scores
from chestflow.own_images import judging, out_of_distribution, overlay, radiograph
from chestflow.own_images.chosen_model import Asked
from chestflow.own_images.judging import Judged
from chestflow.own_images.radiograph import shown
from chestflow.plots import out_of_distribution as distances
from chestflow.plots import style, validation
from chestflow.report import page, rendering
from chestflow.sources import parts

PAGE, DATA = "index.html", "validation.json"
TEMPLATE = rendering.TEMPLATE.with_name("validation.md.jinja")
NAMED = 3  # of each kind of finding, the first few
SIDE = 480  # pixels of an error's longer side on the page
INTERVALS = (
    "Intervals: 95 %, for other patients like these (where none are known, for other images),"
    " judged by this one network."
)
SCORES = {  # title -> where it stands under `scores`
    "AUROC": ("auroc",),
    "average precision": ("auprc",),
    **{f"{name} at .5": ("at_half", name) for name in ("accuracy", "recall", "specificity")},
    **{
        f"{name} at validation's threshold": ("at_threshold", name)
        for name in ("accuracy", "recall", "specificity")
    },
    "Brier score": ("brier",),
    "calibration error": ("calibration_error",),
    "calibration-in-the-large (ideal: 0)": ("calibration_in_the_large",),
    "calibration slope (ideal: 1)": ("calibration_slope",),
}


# -------------------------------------------------------------------------------------- the words


def score_rows(report: dict) -> list[tuple[str, ...]]:
    """A header, and a row per score: these images, without any skill, the run's own test set."""
    own = report["own_test"]
    of = formatting.counted(own["trainings"] or 1)
    whole = report["scores_with_overlap"]
    head = ["", "these images", "baseline", f"own test set, mean of {of}"]
    rows = [tuple(head + ["with the training images among them"] * bool(whole))]
    for title, keys in SCORES.items():
        row = [
            title,
            _score(_at(report["scores"], keys)),
            _plain(_at(report["baselines"], keys)),
            _score(_at(own["scores"], keys), missing=""),
        ]
        rows.append(tuple(row + [_score(_at(whole, keys))] * bool(whole)))
    return rows


def _at(found: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _plain(value: float | None) -> str:
    return "" if value is None else formatting.number(value)


def _score(found: dict | None, missing: str = "not defined") -> str:
    if not found or found.get("value") is None:
        return missing
    if (interval := found.get("ci95")) and None not in interval:
        return formatting.with_interval(found["value"], interval)
    return _plain(found["value"])


def confusion_rows(report: dict) -> list[tuple[str, ...]]:
    """A header, and a row per threshold and actual class: what was predicted, here and on the run's
    own test set."""
    said, own = (f"predicted {shown(name)}" for name in report["classes"]), report["own_confusion"]
    head = ("threshold", "actual", *said)
    if own:
        head = (*head, *(f"own test set: {shown(name)}" for name in report["classes"]))
    rows = [head]
    for key, title in (("at_half", ".5"), ("at_threshold", "validation's")):
        for actual, name in enumerate(report["classes"]):
            row = (title, shown(name), *_shares(report["confusion"][key][actual]))
            rows.append((*row, *_shares(own[key][actual])) if own else row)
    return rows


def _shares(counts: list[int]) -> list[str]:
    total = sum(counts)
    return [f"{n:,} ({formatting.percent(n / total)})" if total else f"{n}" for n in counts]


def overlap(report: dict) -> str:
    """The warning that has to come first; empty where no image is known to training."""
    if not (n := report["overlap"]):
        return ""
    text = f"{n:,} of {len(report['images']):,} images are among the training images: scores on"
    text += " them say nothing."
    return f"{text} They are left out." if report["overlap_left_out"] else text


def about(report: dict) -> list[str]:
    """What the scores are about, in sentences."""
    n, patients = report["n"], report["patients"]
    of = "" if patients is None else f" of {patients:,} patients"
    labels = ", ".join(report["diseased_labels"]) or "none of the labels"
    share = formatting.percent(report["diseased"] / n)
    said = [f"{n:,} images{of}; diseased ({shown(labels)}): {report['diseased']:,}, {share}."]
    if report["pooled_splits"]:
        said.append(f"The splits {', '.join(report['pooled_splits'])} are taken together.")
    if patients is None:
        said.append(
            "Patients unknown (see --groups): each image counts as one of its own. Where some are"
            " of the same patient, the intervals are too narrow."
        )
    elif alone := report["without_patient"]:
        said.append(_named(alone, "images without a patient, each one of its own"))
    if not report["overlap"]:
        said.append("No image equals one that training or validation saw, once prepared.")
    return said


def findings(report: dict) -> list[str]:
    """What else was found, in sentences."""
    unlike = report["unlike"]
    share, expected = (formatting.percent(unlike[key]) for key in ("share", "expected"))
    said = [
        f"Unlike the training images: {unlike['n']:,} ({share}; of images like those of validation"
        f" {expected})."
    ]
    for key, what in (
        ("duplicates", "images equal another one, and are kept"),
        ("contradictory", "equal images are labelled otherwise"),
    ):
        if report[key]:
            said.append(_named([" = ".join(pair) for pair in report[key]], what))
    if report["unread"]:
        said.append(f"{len(report['unread']):,} of {report['files']:,} files could not be read.")
    return said


def _named(names: list[str], what: str) -> str:
    rest = ", ..." if len(names) > NAMED else "."
    return f"{len(names):,} {what}: {shown(', '.join(names[:NAMED]))}{rest}"


# --------------------------------------------------------------------------------------- the page


def write(folder: Path, report: dict, used: Judged, model: Asked, own: dict) -> None:
    """Write page and JSON into a folder, each all or nothing.

    used: the images that scores are about; own: the run's own test set, with `labels`, `raw` and
    `calibrated` where its predictions are known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with parts.folder_for(folder / PAGE) as made:
        place = made / "page"
        style.save(curves(report, used, model, own), place / "curves.png")
        usual = judging.usual(model)
        style.save(
            distances.out_of_distribution(used.distances, usual, out_of_distribution.LIMIT),
            place / "unlike.png",
        )
        errors = worst(report, used, model, place / "errors.png")
        unread = [(shown(each["file"]), each["reason"]) for each in report["unread"]]
        words = {
            "report": report,
            "given": shown(report["given"]),
            "overlap": overlap(report),
            "sentences": [*about(report), *findings(report)],
            "scores": table(score_rows(report)),
            "confusion": table(confusion_rows(report)),
            "errors": table(errors),
            "unread": table([("file", "reason"), *unread]),
            "intervals": INTERVALS,
            "spaces": {},
        }
        text = page.html(rendering.rendered(words, TEMPLATE), place)
        (place / PAGE).write_text(text, encoding="utf-8")
        files.write_exact_json(place / DATA, report)
        for name in (DATA, PAGE):
            os.replace(place / name, folder / name)


def table(rows: list[tuple[str, ...]]) -> str:
    """A header and rows as Markdown, in which every word stands as it is."""
    lines = [f"| {' | '.join(map(formatting.literal, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def curves(report: dict, used: Judged, model: Asked, own: dict):
    """ROC and reliability of these images, and of the run's own test set."""
    run = model.run
    found = curve(used.labels, used.raw, used.calibrated)
    found["label"] = _score(report["scores"]["auroc"])
    theirs = None
    if "raw" in own:
        theirs = curve(own["labels"], own["raw"], own["calibrated"])
        theirs["label"] = "AUROC " + formatting.number(own["auroc"])
    given = f"{report['n']:,} images from elsewhere"
    return validation.curves(found, theirs, f"{run.run}, trained on {run.about.caption},", given)


def curve(labels: np.ndarray, raw: np.ndarray, calibrated: np.ndarray) -> dict[str, Any]:
    """(N,) each; the ROC curve is None where a class is missing."""
    both = 0 < labels.sum() < len(labels)
    roc = scores.curves(labels, raw)["roc"] if both else None
    return {"n": len(labels), "roc": roc, "reliability": scores.reliability(labels, calibrated)}


def worst(report: dict, used: Judged, model: Asked, path: Path) -> list[tuple[str, ...]]:
    """Draw the worst errors, whose files are read again; returns the table of them."""
    disease, rows = report["classes"][1], {row["file"]: row for row in report["images"]}
    found = [rows[name] for name in report["worst"]]
    head = ("", "file", "label", f"probability of {disease}", "unlike the training images")
    if not found:
        return [head]
    by_name = {item.name: i for i, item in enumerate(used.items)}
    places = [by_name[name] for name in report["worst"]]
    here = next(model.run.classifier.parameters()).device
    images = torch.from_numpy(used.images[places]).to(here)
    heat = cam.grad_cams(model.run.classifier, model.layer, images, target=1)
    titles = [
        f"{k}. {report['classes'][row['diseased']]}, p = {row['probability']:.2f}"
        for k, row in enumerate(found, start=1)
    ]
    pictures = [picture(used, i, each) for i, each in zip(places, heat)]
    scale = f"evidence for {disease} (GradCAM): the brighter, the more; true class, p of {disease}"
    style.save(validation.errors(pictures, titles, scale), path)
    return [head, *(_error(k, row) for k, row in enumerate(found, start=1))]


def _error(k: int, row: dict) -> tuple[str, ...]:
    probability, unlike = formatting.number(row["probability"]), ("no", "yes")[row["unlike"]]
    return (str(k), shown(row["file"]), shown(row["label"]), probability, unlike)


def picture(used: Judged, i: int, heat: np.ndarray) -> np.ndarray:
    """(H, W, 3): the file's image with the evidence over it; as it was prepared, if the file has
    changed meanwhile and cannot be read any more."""
    try:
        image = radiograph.read(used.items[i].path)
    except UserError:
        image = radiograph.Radiograph(used.images[i])
    drawn, _ = overlay.pictured(image, heat)
    drawn.thumbnail((SIDE, SIDE))
    return np.asarray(drawn)
