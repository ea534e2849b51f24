"""Apply the released model, or a run trained here, to your own images: the probability of disease,
an overlay of GradCAM, and how far each image is from the training images. Not for diagnosis."""

import argparse
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError, printable
from chestflow.own_images import model, out_of_distribution, overlay, radiograph
from chestflow.own_images.model import Model

STEM = 50  # letters of an image's name that its overlay bears; systems allow 255 bytes in all
GUESS = "OUT OF DISTRIBUTION: TREAT THE ANSWER AS A GUESS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, accepted = parser.add_argument, f"{radiograph.ACCEPTED}, or a folder of them"
    add("given", nargs="+", type=Path, metavar="IMAGE", help=accepted)
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document")
    add("--share", type=float, help="share of diseased images to assume, from 0 to 1")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Print what the network says of every image; returns the exit code: 1 if one could not be
    read."""
    network = model.load(options.run, reading.params("params.yaml"))
    if options.share is not None:
        network = replace(network, share=options.share)
    # Probabilities and threshold are calibrated, and assume that this share of images is diseased.
    report: dict[str, Any] = {
        "notice": network.notice,
        "data": network.about.caption,
        "classes": list(network.about.classes),
        "share": network.share,
        "threshold": network.threshold,
        "raw_threshold": network.raw_threshold,
        "images": [],
        "failed": [],
    }
    paths = radiograph.find(options.given, "predict")
    out = options.out / (options.run or "released")
    earlier = out.absolute()  # overlays of an earlier call
    paths = [path for path in paths if earlier not in path.absolute().parents]
    if not paths:
        raise UserError(f"{out} holds overlays, which are no radiographs; give other images")
    for path in tqdm(paths, desc="predict", unit="image", disable=None):
        try:
            grey = radiograph.read(path)
        except UserError as error:
            tqdm.write(f"predict: {printable(error)}", file=sys.stderr)
            report["failed"].append({"image": str(path), "reason": str(error)})
        else:
            report["images"].append(answer(path, grey, network, out))
    if options.json:
        print(json.dumps(files.rounded(report), indent=2))
    elif report["images"]:
        print(table(report, out))
    return int(bool(report["failed"]))


def answer(path: Path, grey: np.ndarray, network: Model, out: Path) -> dict[str, Any]:
    """The row of one image, (H, W) uint8, whose overlay is written."""
    prepared = radiograph.prepare(grey, network.side)[None]
    (row,) = network.answers(prepared)
    overlaid = overlay_path(out, path)
    overlaid.parent.mkdir(parents=True, exist_ok=True)
    text = caption(row, network, is_square=grey.shape[0] == grey.shape[1])
    overlay.plot(grey, network.heat(prepared)[0], text).save(overlaid)
    return row | {"image": str(path), "overlay": str(overlaid)}


def overlay_path(folder: Path, path: Path) -> Path:
    """Images of one name in different folders stay apart, and asking again about an image replaces
    its overlay."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    return folder / f"{path.stem[:STEM]}-{digest[:8]}.png"


def caption(row: dict, network: Model, is_square: bool) -> str:
    """What stands below an overlay."""
    disease, threshold = network.about.classes[1], f"threshold {network.threshold:.3f}"
    lines = [f"probability of {disease} {row['probability']:.3f}, {threshold}: {row['decision']}"]
    if row["out_of_distribution"]:
        lines.append(GUESS)
    lines.append(f"colours: evidence for {disease} (GradCAM), the brighter, the more")
    if not is_square:
        lines.append("outside the blue square: not seen by the network")
    lines.append(network.notice.replace(": ", ":\n"))
    return "\n".join(lines)


def table(report: dict, folder: Path) -> str:
    """The same for people; folder: where the overlays lie."""
    rows = [("image", "probability", "decision", "distance", "overlay", "")]
    for row in report["images"]:
        warning = GUESS if row["out_of_distribution"] else ""
        probability = f"{row['probability']:.3f}"
        distance = f"{row['out_of_distribution_percentile']:.1f} %"
        name, overlaid = printable(row["image"]), printable(Path(row["overlay"]).name)
        rows.append((name, probability, row["decision"], distance, overlaid, warning))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    disease, limit = report["classes"][1], f"{out_of_distribution.LIMIT:.0f} %"
    legend = [
        f"probability: of {disease} where its share is {100 * report['share']:.3g} %;"
        " calibrated where that helped on validation",
        f"decision: {disease} from {report['threshold']:.3f}, the threshold chosen on validation",
        "distance: percent of the validation images that are nearer to the training images;"
        f" above {limit}: out of distribution",
        f"overlays: in {printable(folder)}",
    ]
    return "\n".join([report["notice"], "", *lines, "", *legend])
