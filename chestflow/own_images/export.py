"""Write a trained run as ONNX: uint8 images in, probabilities out; classes, thresholds and the
preparation of images are in its metadata. Not for diagnosis."""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chestflow.config import reading
from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.models import inference
from chestflow.own_images import model
from chestflow.own_images.model import Model

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-5  # between the file's probabilities and PyTorch's
PREPARATION = (
    "8-bit grey values, high is bright; cropped at the centre to a square as long as the short edge"
    " and resized to side x side pixels, a Gaussian, then linear (own_images/radiograph.py)"
)


class Exported(nn.Module):
    """(N, side, side) uint8 images -> probabilities of both classes (N, 2), and of disease after
    calibration (N,)."""

    def __init__(self, network: Model) -> None:
        super().__init__()
        self.classifier = network.classifier
        self.slope, self.intercept = network.report["calibration"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        probability = self.classifier(inference.standardise(images)).softmax(dim=1)
        # In double precision, as `calibration.calibrated`: single would round 1 - 1e-9 to 1.
        logit = torch.logit(probability[:, 1].double(), eps=1e-9)
        return probability, torch.sigmoid(self.slope * logit + self.intercept).float()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="file to write (exports/RUN.onnx)")
    parser.add_argument("--run", default="pneumonia", help="run to write (%(default)s)")


def main(options: argparse.Namespace) -> None:
    require_packages()
    network = model.load(options.run, reading.params("params.yaml"))
    out = options.out or Path("exports", f"{options.run}.onnx")
    write(out, network)
    words = f"equal to PyTorch within {TOLERANCE:g} on the validation images"
    print(f"export: {out}, {words}; {network.notice}")


def require_packages() -> None:
    """Raise UserError if one of the packages is missing that only this command needs."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"ONNX needs {package}, which is missing; install it: "
                'uv pip install -c requirements.txt -e ".[onnx]"'
            )


def write(out: Path, network: Model) -> None:
    """Write the file, or raise UserError if it disagrees with PyTorch."""
    content = convert(network)
    if not (difference := deviation(content, network)) <= TOLERANCE:
        raise UserError(f"{out} would differ from PyTorch by {difference:.1g}: not written")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)


def convert(network: Model) -> bytes:
    """The network as an ONNX file, for any number of images at once."""
    import onnx

    images = network.on_device(np.zeros((2, network.side, network.side), np.uint8))
    program = torch.onnx.export(
        Exported(network).eval(),
        (images,),
        input_names=["images"],
        output_names=["probability", "calibrated"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "torch documents it for dynamo=True"
    file = program.model_proto
    # The exporter records the source file and line of each step, with local paths: remove them.
    for part in (*file.graph.node, *file.graph.input, *file.graph.output, *file.graph.value_info):
        part.ClearField("metadata_props")
    file.graph.ClearField("metadata_props")
    known = {
        "notice": network.notice,
        "data": network.about.caption,
        "preparation": PREPARATION,
        "side": json.dumps(network.side),
        "classes": json.dumps(network.about.classes),
        "threshold": json.dumps(network.raw_threshold),  # of probability[:, 1]
        "calibrated_threshold": json.dumps(network.threshold),
        "calibration": json.dumps(network.report["calibration"]),  # slope and intercept, of logits
    }
    onnx.helper.set_model_props(file, known)
    return file.SerializeToString(deterministic=True)


def deviation(content: bytes, network: Model) -> float:
    """The largest difference of any probability between the file and PyTorch, on the run's
    validation images."""
    import onnxruntime

    assert network.images is not None, "a run trained here"
    images = arrays.read(network.images, "val").images
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    both, calibrated = session.run(None, {"images": images})
    raw = inference.probabilities(network.classifier, network.on_device(images))
    expected = np.stack([1 - raw, raw, network.calibrated(raw)], axis=1)
    return float(np.abs(np.column_stack([both, calibrated]) - expected).max())
