"""Ask a trained run about your own images: the probability of disease, where the evidence for it
lies, and how unlike the training images each image is. Not for diagnosis."""

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

from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.images import arrays
from chestflow.network import autoencoder, checkpoint, device, gradcam, inference
from chestflow.own import novelty, overlay, pixels, radiograph, trained
from chestflow.parameters import reading

BATCH = 32  # images in memory at once, each at its own resolution, or fewer that are very large
STEM = 200  # bytes of an image's name that its overlay bears; systems allow 255 for the whole
KNOWN = 5000  # training images, at most, to which distances are measured
GUESS = "unlike the training images: treat the answer as a guess"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "given",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help=f"{pixels.ACCEPTED}, or a folder of them",
    )
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document for machines")
    trained.add_arguments(parser, autoencoder="models/autoencoder")


def main(options: argparse.Namespace) -> int:
    """Print what the run says of every image; returns the exit code: 1 if one could not be read."""
    params = reading.params(options.params)
    run, here = trained.load(options, params), device.prepare(params.threads)
    run.classifier.to(here)
    mend = "dvc repro pretrain"
    trained.require(options.autoencoder / checkpoint.FILE, mend=mend)
    with trained.mended_by(mend):
        rebuilder = autoencoder.load(options.autoencoder, run.side).to(here)
    out, answers, failures = options.out / run.run, [], []
    paths = radiograph.find(options.given, leave=(options.out, out))
    unlikeness = measure(rebuilder, run, params.seed, here)
    with tqdm(total=len(paths), desc="predict", unit="image", disable=None) as bar:
        for images, unread in read(paths):
            failures += unread
            if images:
                answers += answer(images, run, unlikeness, params.gradcam.layer, out)
            bar.update(len(images) + len(unread))
    report = document(run, unlikeness, answers, failures)
    print(json.dumps(tables.rounded(report), indent=2) if options.json else table(report, out))
    return int(bool(failures))


def measure(
    rebuilder: autoencoder.Autoencoder, run: trained.Trained, seed: int, here: torch.device
) -> novelty.Unlikeness:
    """What is usual among the images of the run's data set."""
    train, val = (arrays.read(run.images, split).images for split in ("train", "val"))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(train))[:KNOWN])
    usual = (torch.from_numpy(np.array(images)).to(here) for images in (train[drawn], val))
    return novelty.fit(run.classifier, rebuilder, *usual)


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
    unlikeness: novelty.Unlikeness,
    layer: str,
    out: Path,
) -> list[dict]:
    """One row per image, whose overlay is written."""
    prepared = np.stack([radiograph.prepare(each.grey, run.side) for each in radiographs.values()])
    images = torch.from_numpy(prepared).to(next(run.classifier.parameters()).device)
    raw = inference.probabilities(run.classifier, images)
    rebuilt, embedded = unlikeness.rank(images)
    heat = gradcam.grad_cams(run.classifier, layer, images, target=1)
    rows: list[dict] = []
    for i, (path, each) in enumerate(radiographs.items()):
        row: dict[str, Any] = {
            "image": str(path),
            "probability": float(run.calibrated(raw[i])),
            "decision": run.about.classes[int(raw[i] >= run.threshold)],
            "unlike": bool(max(rebuilt[i], embedded[i]) > novelty.LIMIT),
            "reconstruction_percentile": float(rebuilt[i]),
            "embedding_percentile": float(embedded[i]),
            "raw_probability": float(raw[i]),
            "size": list(each.grey.shape[::-1]),
            "seen": list(each.square),
            "remarks": list(each.remarks),
            "overlay": str(place(out, path)),
        }
        scale, lines = words(row, run, heat[i])
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


def words(row: dict, run: trained.Trained, heat: np.ndarray) -> tuple[str, list[str]]:
    """What stands below an overlay: the meaning of its colours, and lines."""
    disease = run.about.classes[1]
    scale = f"evidence for {disease}: none to this image's strongest (GradCAM)"
    if not heat.any():
        scale = f"no evidence for {disease} anywhere (GradCAM)"
    said = f"probability of {disease} {row['probability']:.2f}"
    said += f", threshold {run.calibrated_threshold:.2f}: {row['decision']}"
    return scale, [said, *run.notice().replace(": ", ":\n").split("\n")]


def document(
    run: trained.Trained, unlikeness: novelty.Unlikeness, images: list[dict], failed: list[dict]
) -> dict:
    """All that is said, for machines; probabilities and `threshold` are calibrated, and `seen` is
    left, top and side, in pixels, of the square that the network sees."""
    return {
        "notice": run.notice(),
        "run": run.run,
        "data": run.about.caption,
        "classes": list(run.about.classes),
        "threshold": run.calibrated_threshold,
        "raw_threshold": run.threshold,
        "calibration": list(run.calibration),
        "unlike_above": novelty.LIMIT,
        "validation_images": len(unlikeness.errors),
        "images": images,
        "failed": failed,
    }


def table(report: dict, folder: Path) -> str:
    """The same for people; folder: where the overlays lie."""
    rows = [("image", "probability", "decision", "rebuilt", "embedded", "overlay", "remarks")]
    for row in report["images"]:
        ranks = (f"{row[f'{name}_percentile']:.1f} %" for name in ("reconstruction", "embedding"))
        remarks = "; ".join([GUESS.upper()] * row["unlike"] + row["remarks"])
        said = (f"{row['probability']:.2f}", row["decision"], *ranks)
        named = radiograph.shown(row["image"])
        rows.append((named, *said, Path(row["overlay"]).name, remarks))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    disease, n, limit = report["classes"][1], report["validation_images"], report["unlike_above"]
    legend = (
        f"probability: of {disease}, calibrated where that helped on validation; {disease} from"
        f" {report['threshold']:.2f}, the threshold chosen there",
        f"rebuilt, embedded: percent of {n:,} validation images that the autoencoder rebuilds"
        f" better,\n  and that lie nearer to the training images; above {limit:.0f} % in either: a"
        " guess",
        f"overlays: in {radiograph.shown(folder)}",
    )
    return "\n".join([report["notice"], "", *lines, "", *legend])
