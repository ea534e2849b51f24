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
    require(*PACKAGES)
    network = model.load(options.run, reading.params("params.yaml"))
    out = options.out or Path("exports", f"{options.run}.onnx")
    write(out, network)
    words = f"equal to PyTorch within {TOLERANCE:g} on the validation images"
    print(f"export: {out}, {words}; {network.notice()}")


def write(out: Path, network: Model) -> None:
    """Write the file if it agrees with PyTorch on the validation images, or raise UserError."""
    content = convert(network)
    difference = deviation(content, network, network.trained_on("val"))
    if not difference <= TOLERANCE:
        raise UserError(f"{out} would differ from PyTorch by {difference:.1g}: not written")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)


def require(*packages: str) -> None:
    """Raise UserError if one of the packages, which only this command needs, is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"ONNX needs {package}, which is missing; install it: "
                "uv pip install -c requirements.txt -r pyproject.toml --extra onnx"
            )


def convert(network: Model) -> bytes:
    """The network as an ONNX file, for any number of images at once."""
    import onnx

    images = torch.zeros(2, network.side, network.side, dtype=torch.uint8)
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
    onnx.helper.set_model_props(file, metadata(network))
    return file.SerializeToString(deterministic=True)


def metadata(network: Model) -> dict[str, str]:
    """What a user of the file has to know; numbers and lists as JSON."""
    values = {
        "notice": network.notice(),
        "data": network.about.caption,
        "preparation": PREPARATION,
        "side": network.side,
        "classes": network.about.classes,
        "threshold": network.threshold,  # of probability[:, 1]
        "calibrated_threshold": network.calibrated_threshold,
        "calibration": network.report["calibration"],  # sigmoid(slope * logit(p) + intercept)
    }
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def deviation(content: bytes, network: Model, known: np.ndarray) -> float:
    """The largest difference of any probability between the file and PyTorch, on (N, H, W) uint8
    known, and on the same upside down, which the network has not seen."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = np.concatenate([known, known[:, ::-1]])
    raw = inference.probabilities(network.classifier, torch.from_numpy(images))
    both, calibrated = session.run(None, {"images": images})
    expected = np.stack([1 - raw, raw, network.calibrated(raw)], axis=1)
    return float(np.abs(np.column_stack([both, calibrated]) - expected).max())
