"""Write a trained run as ONNX: uint8 images in, probabilities out, and what a user has to know in
its metadata. Not for diagnosis."""

import argparse
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chestflow.config import reading
from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.models import device, inference
from chestflow.own_images import trained

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-5  # between the file's probabilities and PyTorch's
PREPARATION = (
    "8-bit grey values, high is bright; cropped at the centre to a square as long as the short edge"
    " and resized to side x side pixels, a Gaussian, then linear (chestflow/own/radiograph.py)"
)


class Exported(nn.Module):
    """(N, side, side) uint8 images -> probabilities of both classes (N, 2), and of disease after
    calibration (N,)."""

    def __init__(self, run: trained.Trained) -> None:
        super().__init__()
        self.classifier = run.classifier
        self.slope, self.intercept = run.calibration

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        probability = self.classifier(inference.standardise(images)).softmax(dim=1)
        # In double precision, as `scores.calibrated`: single would round 1 - 1e-9 to 1.
        logit = torch.logit(probability[:, 1].double(), eps=1e-9)
        return probability, torch.sigmoid(self.slope * logit + self.intercept).float()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    out = Path("exports/{run}.onnx")
    parser.add_argument("--out", type=Path, default=out, help="file to write (%(default)s)")
    parser.add_argument("--run", default="pneumonia", help="run to write (%(default)s)")
    trained.add_places(parser)


def main(options: argparse.Namespace) -> None:
    require(*PACKAGES)
    params = reading.params(options.params)
    device.prepare(params.threads)
    run, out = trained.load(options, params), trained.at(options.out, run=options.run)
    val = arrays.read(trained.images_of(options, params), "val").images
    write(out, run, val)
    print(
        f"export: {out}, equal to PyTorch within {TOLERANCE:g} on {len(val)} images; {run.notice()}"
    )


def write(out: Path, run: trained.Trained, known: np.ndarray) -> None:
    """Write the file once it agrees with PyTorch on (N, H, W) uint8 known, or raise UserError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part, content = out.with_name(f"{out.name}.part"), convert(run)
    try:
        part.write_bytes(content)
        difference = deviation(part, run, known)
        if not difference <= TOLERANCE:
            raise UserError(f"{out} would differ from PyTorch by {difference:.1g}: not written")
        os.replace(part, out)
    except OSError as error:  # which names no file if the disk is full
        raise OSError(error.errno, error.strerror or str(error), str(out)) from error
    finally:
        part.unlink(missing_ok=True)


def require(*packages: str) -> None:
    """Raise UserError if one of the packages, which only this command needs, is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"ONNX needs {package}, which is missing; install it: "
                "uv pip install -c requirements.txt -r pyproject.toml --extra onnx"
            )


def convert(run: trained.Trained) -> bytes:
    """The run as an ONNX file, for any number of images at once."""
    import onnx

    images = torch.zeros(2, run.side, run.side, dtype=torch.uint8)
    program = torch.onnx.export(
        Exported(run).eval(),
        (images,),
        input_names=["images"],
        output_names=["probability", "calibrated"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "torch documents it for dynamo=True"
    file = program.model_proto
    # The exporter records where in which source file each step comes from: nobody else's business.
    for part in (*file.graph.node, *file.graph.input, *file.graph.output, *file.graph.value_info):
        part.ClearField("metadata_props")
    file.graph.ClearField("metadata_props")
    onnx.helper.set_model_props(file, metadata(run))
    onnx.checker.check_model(file)
    return file.SerializeToString(deterministic=True)


def metadata(run: trained.Trained) -> dict[str, str]:
    """What a user of the file has to know; numbers and lists as JSON."""
    values = {
        "notice": run.notice(),
        "data": run.about.caption,
        "preparation": PREPARATION,
        "side": run.side,
        "classes": run.about.classes,
        "threshold": run.threshold,  # of probability[:, 1]
        "calibrated_threshold": run.calibrated_threshold,
        "calibration": run.calibration,  # sigmoid(slope * logit(p) + intercept)
    }
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def deviation(path: Path, run: trained.Trained, known: np.ndarray) -> float:
    """The largest difference of any probability between the file and PyTorch, on (N, H, W) uint8
    known, on the same upside down, which the network has not seen, and on one image alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for images in (np.array(known), np.array(known[:, ::-1]), np.array(known[:1])):
        raw = inference.probabilities(run.classifier, torch.from_numpy(images))
        both, calibrated = session.run(None, {"images": images})
        expected = np.stack([1 - raw, raw, run.calibrated(raw)], axis=1)
        found = np.column_stack([both, calibrated])
        worst = max(worst, float(np.abs(found - expected).max()))
    return worst
