"""Ask the released model, or a run trained here, about your own images: the probability of disease,
where the evidence for it lies, and how unlike the training images each is. Not for diagnosis."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.explain import gradcam
from chestflow.metrics import prevalence
from chestflow.models import inference
from chestflow.own_images import (
    chosen_model,
    out_of_distribution,
    overlay,
    pixels,
    radiograph,
    trained,
)

BATCH = 32  # images in memory at once, each at its own resolution, or fewer that are very large
STEM = 200  # bytes of an image's name that its overlay bears; systems allow 255 for the whole
GUESS = "unlike the training images: treat the answer as a guess"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "given",
        nargs="+",
        type=named,
        metavar="IMAGE",
        help=f"{pixels.ACCEPTED}, or a folder of them",
    )
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document for machines")
    add("--share", help="share of disease to expect among your images, above 0 and below 1")
    chosen_model.add_arguments(parser)


def named(words: str) -> Path:
    """Not of an empty shell variable: Path("") is the folder one is in."""
    if not words:
        raise argparse.ArgumentTypeError("'' is no path")
    return Path(words)


def main(options: argparse.Namespace) -> int:
    """Print what the run says of every image; returns the exit code: 1 if one could not be read."""
    params = reading.params(options.params)
    share = None if options.share is None else prevalence.parsed("--share", options.share)
    model = chosen_model.load(options, params)
    run, unlikeness = model.run, model.unlikeness
    out, answers, failures = options.out / (options.run or "released"), [], []
    paths = radiograph.find(options.given, leave=(options.out, out))
    with tqdm(total=len(paths), desc="predict", unit="image", disable=None) as bar:
        for images, unread in read(paths):
            failures += unread
            if images:
                answers += answer(images, run, unlikeness, model.layer, out, share)
            bar.update(len(images) + len(unread))
    report = document(run, unlikeness, answers, failures, share)
    print(json.dumps(files.rounded(report), indent=2) if options.json else table(report, out))
    return int(bool(failures))


def read(paths: list[Path]) -> Iterator[tuple[dict[Path, pixels.Radiograph], list[dict]]]:
    """In batches, the images that can be read, and why the others cannot; that is said at once."""
    images: dict[Path, pixels.Radiograph] = {}
    unread: list[dict] = []
    for path in paths:
        try:
            images[path] = radiograph.read(path)
        except UserError as error:
            tqdm.write(f"predict: {error}", file=sys.stderr)
            unread.append({"image": str(path), "reason": str(error)})
        size = sum(each.grey.size for each in images.values())
        if len(images) + len(unread) == BATCH or size > pixels.MAX_PIXELS:
            yield images, unread
            images, unread = {}, []
    yield images, unread


def answer(
    radiographs: dict[Path, pixels.Radiograph],
    run: trained.Trained,
    unlikeness: out_of_distribution.Unlikeness,
    layer: str,
    out: Path,
    share: float | None,
) -> list[dict]:
    """One row per image, whose overlay is written; share: of disease, to expect among them."""
    prepared = np.stack([radiograph.prepare(each.grey, run.side) for each in radiographs.values()])
    images = torch.from_numpy(prepared).to(next(run.classifier.parameters()).device)
    raw = inference.probabilities(run.classifier, images)
    probability = run.at_share(run.calibrated(raw), share)
    ranks = unlikeness.rank(images)
    heat = gradcam.grad_cams(run.classifier, layer, images, target=1)
    rows: list[dict] = []
    for i, (path, each) in enumerate(radiographs.items()):
        row: dict[str, Any] = {
            "image": str(path),
            "probability": float(probability[i]),
            "decision": run.about.classes[int(raw[i] >= run.threshold)],
            "unlike": bool(ranks[i] > out_of_distribution.LIMIT),
            "unlike_percentile": float(ranks[i]),
            "raw_probability": float(raw[i]),
            "size": list(each.grey.shape[::-1]),
            "seen": list(each.square),
            "remarks": list(each.remarks),
            "overlay": str(place(out, path)),
        }
        scale, lines = words(row, run, heat[i], share)
        picture = overlay.draw(each, heat[i], scale, lines, GUESS * row["unlike"])
        overlay.save(picture, Path(row["overlay"]), run.notice())
        rows.append(row)
    return rows


def place(folder: Path, path: Path) -> Path:
    """Where an image's overlay goes: images of one name in different folders stay apart, and asking
    again about an image replaces its overlay. Of a name that is long, or no text, only part stays.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    stem = "".join(sign if sign.isprintable() else "_" for sign in path.stem)
    kept = stem.encode()[:STEM].decode(errors="ignore")  # no half of a letter
    return folder / f"{kept}-{digest[:8]}.png"


def words(
    row: dict, run: trained.Trained, heat: np.ndarray, share: float | None
) -> tuple[str, list[str]]:
    """What stands below an overlay: the meaning of its colours, and lines."""
    disease = run.about.classes[1]
    scale = f"evidence for {disease}: none to this image's strongest (GradCAM)"
    if not heat.any():
        scale = f"no evidence for {disease} anywhere (GradCAM)"
    said = f"probability of {disease} {decimals(row['probability'], share)}"
    said += f", threshold {decimals(threshold(run, share), share)}: {row['decision']}"
    return scale, [said, *run.notice().replace(": ", ":\n").split("\n")]


def threshold(run: trained.Trained, share: float | None) -> float:
    """On the scale of the probabilities shown: it moves along, so that no decision changes."""
    return float(run.at_share(np.array(run.calibrated_threshold), share))


def document(
    run: trained.Trained,
    unlikeness: out_of_distribution.Unlikeness,
    images: list[dict],
    failed: list[dict],
    share: float | None,
) -> dict:
    """All that is said, for machines; probabilities and `threshold` are calibrated, and refer to
    images of which `share` is diseased, or, if that is null, `share_of_probabilities`; `seen` is
    left, top and side, in pixels, of the square that the network sees."""
    return {
        "notice": run.notice(),
        "run": run.run,
        "data": run.about.caption,
        "classes": list(run.about.classes),
        "share": share,
        "share_of_probabilities": run.share,
        "threshold": threshold(run, share),
        "raw_threshold": run.threshold,
        "calibration": list(run.calibration),
        "unlike_above": out_of_distribution.LIMIT,
        "validation_images": len(unlikeness.usual),
        "images": images,
        "failed": failed,
    }


def table(report: dict, folder: Path) -> str:
    """The same for people; folder: where the overlays lie."""
    rows = [("image", "probability", "decision", "unlike", "overlay", "remarks")]
    for row in report["images"]:
        remarks = "; ".join([GUESS.upper()] * row["unlike"] + row["remarks"])
        said = [decimals(row["probability"], report["share"]), row["decision"]]
        said.append(f"{row['unlike_percentile']:.1f} %")
        named = radiograph.shown(row["image"])
        rows.append((named, *said, Path(row["overlay"]).name, remarks))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    n, limit = report["validation_images"], report["unlike_above"]
    legend = (
        *meaning_of_probability(report),
        f"unlike: percent of {n:,} validation images that are nearer to the training images;\n"
        f"  above {limit:.0f} %: a guess",
        f"overlays: in {radiograph.shown(folder)}",
    )
    return "\n".join([report["notice"], "", *lines, "", *legend])


def meaning_of_probability(report: dict) -> list[str]:
    """Which share of disease the probabilities refer to, and where the decision changes."""
    disease, share, own = report["classes"][1], report["share"], report["share_of_probabilities"]
    where = f"{100 * own:.3g} %"
    if share is not None:
        where = f"{100 * share:.3g} % (--share), shifted from {where}"
    return [
        f"probability: of {disease} where its share is {where};\n"
        "  calibrated where that helped on validation",
        f"decision: {disease} from {decimals(report['threshold'], share)}, the threshold chosen on"
        " validation" + ", shifted likewise" * (share is not None),
    ]


def decimals(probability: float, share: float | None) -> str:
    """One more where the share is given: where disease is rare, all probabilities are small."""
    return f"{probability:.{2 if share is None else 3}f}"
