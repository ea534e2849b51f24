"""Ask the released model, or a run trained here, about your own images: the probability of disease,
where the evidence for it lies, and how far each is from the training images. Not for diagnosis."""

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
from chestflow.own_images import model, out_of_distribution, overlay, radiograph
from chestflow.own_images.model import Model

STEM = 50  # letters of an image's name that its overlay bears; systems allow 255 bytes in all
GUESS = "out of distribution: treat the answer as a guess"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, accepted = parser.add_argument, f"{radiograph.ACCEPTED}, or a folder of them"
    add("given", nargs="+", type=Path, metavar="IMAGE", help=accepted)
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document for machines")
    add("--share", type=float, help="share of disease to expect among your images, from 0 to 1")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Print what the network says of every image; returns the exit code: 1 if one could not be
    read."""
    params = reading.params("params.yaml")
    network = model.load(options.run, params)
    paths = radiograph.find(options.given, "predict")
    out = options.out / (options.run or "released")
    earlier = out.absolute()  # overlays of an earlier call
    paths = [path for path in paths if earlier not in path.absolute().parents]
    report = document(network, options.share)
    for path in tqdm(paths, desc="predict", unit="image", disable=None):
        try:
            grey = radiograph.read(path)
        except UserError as error:
            tqdm.write(f"predict: {printable(error)}", file=sys.stderr)
            report["failed"].append({"image": str(path), "reason": str(error)})
        else:
            report["images"].append(answer(path, grey, network, out, report))
    if options.json:
        print(json.dumps(files.rounded(report), indent=2))
    elif report["images"]:
        print(table(report, out))
    return int(bool(report["failed"]))


def document(network: Model, share: float | None) -> dict:
    """The JSON, still without its images. Probabilities and `threshold` are calibrated, and assume
    that `share` of the images are diseased (null: `share_of_probabilities`). The threshold moves
    with the share, so that no decision changes."""
    return {
        "notice": network.notice(),
        "run": network.run,
        "data": network.about.caption,
        "classes": list(network.about.classes),
        "share": share,
        "share_of_probabilities": network.share,
        "threshold": at_share(network.calibrated_threshold, network.share, share),
        "raw_threshold": network.threshold,
        "calibration": network.report["calibration"],
        "out_of_distribution_above": out_of_distribution.LIMIT,
        "validation_images": len(network.reference.distances),
        "images": [],
        "failed": [],
    }


def answer(path: Path, grey: np.ndarray, network: Model, out: Path, report: dict) -> dict:
    """The row of one image, (H, W) uint8, whose overlay is written; `seen`: left, top and side, in
    pixels, of the square that the network sees."""
    prepared = radiograph.prepare(grey, network.side)[None]
    (row,) = network.answers(prepared)
    overlaid = overlay_path(out, path)
    row |= {
        "probability": at_share(row["probability"], network.share, report["share"]),
        "image": str(path),
        "size": list(grey.shape[::-1]),
        "seen": list(radiograph.square(grey)),
        "overlay": str(overlaid),
    }
    overlaid.parent.mkdir(parents=True, exist_ok=True)
    overlay.draw(grey, network.heat(prepared)[0], caption(row, report)).save(overlaid)
    return row


def at_share(probability: float, before: float, share: float | None) -> float:
    """The probability where `share` of the images are diseased, not `before`; None: unchanged."""
    return probability if share is None else float(prevalence.shifted(probability, before, share))


def overlay_path(folder: Path, path: Path) -> Path:
    """Images of one name in different folders stay apart, and asking again about an image replaces
    its overlay."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    return folder / f"{path.stem[:STEM]}-{digest[:8]}.png"


def caption(row: dict, report: dict) -> str:
    """What stands below an overlay."""
    disease, threshold = report["classes"][1], f"threshold {report['threshold']:.3f}"
    width, height = row["size"]
    lines = [
        f"probability of {disease} {row['probability']:.3f}, {threshold}: {row['decision']}",
        *[GUESS.upper()] * row["out_of_distribution"],
        f"colours: evidence for {disease} (GradCAM), the brighter, the more",
        *["outside the blue square: not seen by the network"] * (width != height),
        report["notice"].replace(": ", ":\n"),
    ]
    return "\n".join(lines)


def table(report: dict, folder: Path) -> str:
    """The same for people; folder: where the overlays lie."""
    rows = [("image", "probability", "decision", "distance", "overlay", "")]
    for row in report["images"]:
        warning = GUESS.upper() if row["out_of_distribution"] else ""
        probability = f"{row['probability']:.3f}"
        distance = f"{row['out_of_distribution_percentile']:.1f} %"
        name, overlaid = printable(row["image"]), printable(Path(row["overlay"]).name)
        rows.append((name, probability, row["decision"], distance, overlaid, warning))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([report["notice"], "", *lines, "", *legend(report, folder)])


def legend(report: dict, folder: Path) -> list[str]:
    disease = report["classes"][1]
    share = 100 * (report["share"] or report["share_of_probabilities"])
    n, limit = report["validation_images"], report["out_of_distribution_above"]
    return [
        f"probability: of {disease} where its share is {share:.3g} %;\n"
        "  calibrated where that helped on validation",
        f"decision: {disease} from {report['threshold']:.3f}, the threshold chosen on validation",
        f"distance: percent of {n:,} validation images that are nearer to the training images;\n"
        f"  above {limit:.0f} %: out of distribution",
        f"overlays: in {printable(folder)}",
    ]
