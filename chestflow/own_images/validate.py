"""Validate the released model, or a run trained here, on labelled images of your own: scores with
intervals, beside those on the run's own test set; overlap with the training images, and how unlike
them yours are; the worst errors. One page of HTML and a JSON. Not for diagnosis."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.metrics import intervals, scores
from chestflow.own_images import (
    chosen_model,
    judging,
    listing,
    out_of_distribution,
    released,
    trained,
    validation_page,
    validation_scores,
)
from chestflow.own_images.chosen_model import Asked
from chestflow.own_images.judging import Judged
from chestflow.own_images.listing import Classes
from chestflow.own_images.radiograph import shown

WORST = 12  # errors that the page shows
AGREE = 1e-4  # AUROC of a table of predictions, and the one in the metrics file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    layouts = listing.LAYOUTS.replace("%", "%%")
    add("given", type=Path, metavar="FOLDER|CSV", help=f"{layouts}; splits are pooled")
    listing.add_options(parser)
    add("--out", type=Path, default=Path("validation"), help="folder of the page (%(default)s)")
    add("--json", action="store_true", help="print the JSON instead of the table")
    add(
        "--predictions",
        type=Path,
        default=Path("data/results/{run}/predictions.csv"),
        help="of the run, on its own test set (%(default)s)",
    )
    chosen_model.add_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Write the page and its JSON; returns the exit code: 1 if a file could not be read."""
    params = reading.params(options.params)
    items = listing.grouped(listing.files(options.given), options.groups)
    model = chosen_model.load(options, params)
    classes = judging.classes(items, options.positive, model.run.about.classes[1])
    own = own_test(options, model)
    judged, unread = judging.judge(items, classes, model)
    report = files.rounded(document(options.given, model, classes, judged, own, unread))
    folder = options.out / (options.run or "released")
    validation_page.write(folder, report, judged.used, model, own)
    print(
        json.dumps(report, indent=2)
        if options.json
        else table(report, folder / validation_page.PAGE)
    )
    if unread:
        counted = f"{len(unread):,} of {len(items):,} files"
        print(f"validate: {counted} could not be read, see above", file=sys.stderr)
    return int(bool(unread))


# --------------------------------------------------------------------- the run's own test set


def own_test(options: argparse.Namespace, model: Asked) -> dict[str, Any]:
    """The metrics file of the run, and, where its table of predictions is there, labels, raw and
    calibrated probabilities of the network that is asked."""
    if model.folder is not None:
        report, table = model.folder / released.SCORES, model.folder / "predictions.csv"
    else:
        report, table = (
            trained.at(path, run=options.run) for path in (options.scores, options.predictions)
        )
    found = trained.metrics(report, model.run.run)
    own: dict[str, Any] = {"report": found, "scores": own_scores(found)}
    if not table.exists():
        return own
    try:
        labels, probability = scores.predictions(files.read_csv(table))
        raw, auroc = probability[found["shown"]], found["each"]["auroc"][found["shown"]]
        of_table = float(intervals.auroc(labels, raw[None]).values[0])
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{table} is damaged, or another file ({error!r})") from error
    if not abs(of_table - auroc) < AGREE:
        raise UserError(
            f"{table} has an AUROC of {of_table:.4f}, {report} one of {auroc:.4f}; expected: both"
            " of the same trainings"
        )
    return own | {
        "labels": labels,
        "raw": raw,
        "calibrated": model.run.calibrated(raw),
        "auroc": of_table,
    }


def own_scores(found: dict) -> dict[str, Any]:
    """What a metrics file holds of the scores of `validation.report`, in its shape: means over the
    trainings; None for what it lacks."""
    at, intervals = found["at_val_threshold"], found.get("ci95", {})

    def flat(name: str) -> dict[str, Any]:
        return {"value": found.get(name), "ci95": intervals.get(name)}

    scaling = found.get("scaling", {})
    return {
        "auroc": flat("auroc"),
        "auprc": flat("auprc"),
        "at_half": {name: flat(name) for name in validation_scores.RATES},
        "at_threshold": {
            name: {"value": at[name][0], "ci95": at[name][1:]}
            for name in validation_scores.RATES
            if name in at
        },
        "brier": {"value": scaling.get("brier", {}).get("scaled")},
        "calibration_error": {"value": scaling.get("calibration_error", {}).get("scaled")},
    }


# ----------------------------------------------------------------------------- what is reported


def document(
    given: Path, model: Asked, classes: Classes, judged: Judged, own: dict, unread: list[dict]
) -> dict[str, Any]:
    """All that the page says, and a row per image. Scores are about the `n` images that neither
    training nor validation saw, or, if there are none, about all."""
    run, used = model.run, judged.used
    splits = sorted({item.split for item in judged.items} - {""})
    pairs, contradictory = judging.duplicates(judged)
    share_unlike = float(np.mean(used.ranks > out_of_distribution.LIMIT))
    return {
        "notice": run.notice(),
        "run": run.run,
        "data": run.about.caption,
        "classes": list(run.about.classes),
        "given": str(given),
        "labels": list(classes.names),
        "diseased_labels": [classes.names[k] for k in classes.diseased],
        "pooled_splits": splits,
        "files": len(judged.items) + len(unread),
        "n": len(used.items),
        "patients": len(set(used.groups)) if any(item.patient for item in used.items) else None,
        "without_patient": [item.name for item in used.items if not item.patient],
        "diseased": int(used.labels.sum()),
        "overlap": int(judged.overlap.sum()),
        "overlap_left_out": bool(judged.overlap.any() and not judged.overlap.all()),
        "raw_threshold": run.threshold,
        "threshold": run.calibrated_threshold,
        "calibration": list(run.calibration),
        "share_of_probabilities": run.share,
        "scores": scored(used, run),
        "scores_with_overlap": scored(judged, run) if len(used.items) < len(judged.items) else None,
        "baselines": validation_scores.baselines(used.labels),
        "own_test": {"n": own["report"].get("n"), "trainings": own["report"].get("trainings")}
        | {"scores": own["scores"]},
        "confusion": confusions(used.labels, used.raw, run),
        "own_confusion": confusions(own["labels"], own["raw"], run) if "raw" in own else None,
        "reliability": scores.reliability(used.labels, used.calibrated),
        "unlike": {
            "above": out_of_distribution.LIMIT,
            "n": int((used.ranks > out_of_distribution.LIMIT).sum()),
            "share": share_unlike,
            "expected": 1 - out_of_distribution.LIMIT / 100,
            "median_percentile": float(np.median(used.ranks)),
            "validation_images": len(judging.usual(model)),
        },
        "duplicates": pairs,
        "contradictory": contradictory,
        "worst": [used.items[i].name for i in judging.worst(used, run.threshold, WORST)],
        "images": judging.rows(judged, model),
        "unread": unread,
    }


def scored(judged: Judged, run: trained.Trained) -> dict[str, Any]:
    return validation_scores.report(
        judged.labels, judged.raw, judged.calibrated, run.threshold, judged.groups
    )


def confusions(labels: np.ndarray, raw: np.ndarray, run: trained.Trained) -> dict[str, list]:
    return {
        "at_half": validation_scores.confusion(labels, raw >= 0.5),
        "at_threshold": validation_scores.confusion(labels, raw >= run.threshold),
    }


# ------------------------------------------------------------------------------- for the terminal


def table(report: dict, where: Path) -> str:
    """The scores as a table, with what has to be known about them."""
    warned = validation_page.overlap(report)
    lines = [*([warned.upper()] if warned else []), report["notice"]]
    lines += [*validation_page.about(report), *validation_page.findings(report)]
    for rows in (validation_page.score_rows(report), validation_page.confusion_rows(report)):
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]
    return "\n".join([*lines, "", validation_page.INTERVALS, f"page: {shown(where)}"])
