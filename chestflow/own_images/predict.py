"""Apply the released model, or a run that you have trained, to your own images: probability of
disease, GradCAM, and how unusual each image is. Not for diagnosis."""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError, printable
from chestflow.metrics import prevalence
from chestflow.own_images import model, out_of_distribution, overlay, pixels, radiograph
from chestflow.own_images.model import Model
from chestflow.own_images.pixels import Radiograph

BATCH = 32  # images in memory at once, each at its own resolution
STEM = 200  # bytes of an image's name that its overlay bears; systems allow 255 for the whole
GUESS = "out of distribution: treat the answer as a guess"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, accepted = parser.add_argument, f"{pixels.ACCEPTED}, or a folder of them"
    add("given", nargs="+", type=Path, metavar="IMAGE", help=accepted)
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document for machines")
    add("--share", help="share of disease to expect among your images, above 0 and below 1")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Print the predictions; returns the exit code: 1 if an image could not be read."""
    params = reading.params("params.yaml")
    share = None if options.share is None else prevalence.parsed("--share", options.share)
    network = model.load(options.run, params)
    paths, passed_over = radiograph.find(options.given, leave=(options.out,))
    if passed_over:
        note = printable(radiograph.passed_over_note(passed_over))
        print(f"predict: {note}", file=sys.stderr)
    out = options.out / (options.run or "released")
    failed: list[dict] = []
    report = document(network, share) | {"images": [], "failed": failed}
    with tqdm(total=len(paths), desc="predict", unit="image", disable=None) as bar:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            if images := read(batch, failed):
                report["images"] += answers(images, network, out, report)
            bar.update(len(batch))
    print(json.dumps(files.rounded(report), indent=2) if options.json else table(report, out))
    return int(bool(failed))


def read(paths: list[Path], failed: list[dict]) -> dict[Path, Radiograph]:
    """The images that can be read; errors of the others are printed and added to `failed`."""
    images = {}
    for path in paths:
        try:
            images[path] = radiograph.read(path)
        except UserError as error:
            tqdm.write(f"predict: {printable(error)}", file=sys.stderr)
            failed.append({"image": str(path), "reason": str(error)})
    return images


def document(network: Model, share: float | None) -> dict:
    """The part of the JSON that is about the model. Probabilities and `threshold` are calibrated,
    and assume that `share` of the images are diseased (null: `share_of_probabilities`).
    The threshold moves with the share, so that no decision changes."""
    return {
        "notice": network.notice(),
        "run": network.run,
        "data": network.about.caption,
        "classes": list(network.about.classes),
        "share": share,
        "share_of_probabilities": network.share,
        "threshold": float(network.at_share(np.array(network.calibrated_threshold), share)),
        "raw_threshold": network.threshold,
        "calibration": network.report["calibration"],
        "out_of_distribution_above": out_of_distribution.LIMIT,
        "validation_images": len(network.reference.distances),
    }


def answers(
    radiographs: dict[Path, Radiograph], network: Model, out: Path, report: dict
) -> list[dict]:
    """Write each image's overlay; returns a row per image. `seen`: left, top and side, in pixels,
    of the square that the network sees."""
    images = np.stack([radiograph.prepare(r.grey, network.side) for r in radiographs.values()])
    rows = network.answers(images, report["share"])
    for (path, image), row, heat in zip(radiographs.items(), rows, network.heat(images)):
        row |= {"image": str(path), "size": list(image.grey.shape[::-1])}
        row |= {"seen": list(image.square), "remarks": list(image.remarks)}
        row |= {"overlay": str(overlay_path(out, path))}
        scale, lines = captions(row, report, heat)
        warning = GUESS if row["out_of_distribution"] else ""
        picture = overlay.draw(image, heat, scale, lines, warning)
        overlay.save(picture, Path(row["overlay"]), report["notice"])
    return rows


def overlay_path(folder: Path, path: Path) -> Path:
    """A name of its own for each path, so that predicting again replaces an image's overlay. Long
    names are cut."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    stem = "".join(sign if sign.isprintable() else "_" for sign in path.stem)
    kept = stem.encode()[:STEM].decode(errors="ignore")  # no half of a letter
    return folder / f"{kept}-{digest[:8]}.png"


def captions(row: dict, report: dict, heat: np.ndarray) -> tuple[str, list[str]]:
    """The text below an overlay: the meaning of its colours, and further lines."""
    disease = report["classes"][1]
    scale = f"evidence for {disease}: none to this image's strongest (GradCAM)"
    if not heat.any():
        scale = f"no evidence for {disease} anywhere (GradCAM)"
    probability, threshold = f"{row['probability']:.3f}", f"{report['threshold']:.3f}"
    decision = f"probability of {disease} {probability}, threshold {threshold}: {row['decision']}"
    return scale, [decision, *report["notice"].replace(": ", ":\n").split("\n")]


def table(report: dict, folder: Path) -> str:
    """The report as a table; folder: of the overlays."""
    rows = [("image", "probability", "decision", "distance", "overlay", "remarks")]
    for row in report["images"]:
        remarks = [GUESS.upper()] * row["out_of_distribution"] + row["remarks"]
        probability = f"{row['probability']:.3f}"
        distance = f"{row['out_of_distribution_percentile']:.1f} %"
        name, drawn = printable(row["image"]), Path(row["overlay"]).name
        rows.append((name, probability, row["decision"], distance, drawn, "; ".join(remarks)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([report["notice"], "", *lines, "", *legend(report, folder)])


def legend(report: dict, folder: Path) -> list[str]:
    disease, share, own = report["classes"][1], report["share"], report["share_of_probabilities"]
    where, shifted = f"{100 * own:.3g} %", ""
    if share is not None:
        where, shifted = f"{100 * share:.3g} % (--share), shifted from {where}", ", also shifted"
    n, limit = report["validation_images"], report["out_of_distribution_above"]
    return [
        f"probability: of {disease} where its share is {where};\n"
        "  calibrated where that helped on validation",
        f"decision: {disease} from {report['threshold']:.3f}, the threshold chosen on"
        f" validation{shifted}",
        f"distance: percent of {n:,} validation images that are nearer to the training images;\n"
        f"  above {limit:.0f} %: out of distribution",
        f"overlays: in {printable(folder)}",
    ]
