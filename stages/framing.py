"""Stage: audit whether a run uses the framing of the images, on validation and on test images."""

from pathlib import Path

import numpy as np
import torch

from chestflow import files, stage
from chestflow import framing as audits
from chestflow.data import arrays, captions
from chestflow.models import checkpoint, cnn, device, inference


def framing(
    run: str, about: Path, images: Path, trained: Path, metrics: Path, out: Path, *, threads: int
) -> None:
    here, data = device.prepare(threads), captions.of_report(files.read_json(about))
    networks = checkpoint.load_classifiers(trained, here)
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    report: dict = {"trainings": len(networks), "factor": audits.FACTOR}
    for name in ("val", "test"):
        pairs = [probabilities(network, splits[name].images, here) for network in networks]
        report[name] = audits.audit(splits[name].labels, *np.stack(pairs, axis=1))
    report["ring"] = audits.ring_baseline(**splits)
    files.write_json(out, data.record() | report)
    lowest = min(report["test"]["auroc"].values())
    files.write_json(metrics, {"data": data.caption, "lowest_auroc": lowest})
    print(f"framing: {run}: lowest AUROC of the four cells {lowest:.3f}, {data.caption}")


def probabilities(model: cnn.Classifier, images: np.ndarray, here: torch.device) -> np.ndarray:
    """(2, N): of the images as they are, and zoomed; in blocks, which are small enough to zoom."""
    pairs = []
    for block in arrays.blocks(images):
        as_is = torch.from_numpy(images[block]).to(here)
        both = as_is, audits.zoom(as_is)
        pairs.append([inference.probabilities(model, each) for each in both])
    return np.concatenate(pairs, axis=1)


if __name__ == "__main__":
    stage.run(framing)
