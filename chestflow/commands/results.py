"""Write docs/results.md with its figures, the README's table and the released model from the
results in this folder, which must be of real images. No picture of them is written."""

import argparse
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np

from chestflow import files, framing
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.metrics import baselines, calibration, scores
from chestflow.own_images import export, model, out_of_distribution
from chestflow.report import context, rendering

DOCS, README, RELEASED = Path("docs"), Path("README.md"), Path("released")
SETTINGS = Path("data/settings/all.json")
TABLE = rendering.TEMPLATE.with_name("readme_table.md.jinja")
BEGIN, END = "<!-- written by chestflow results: begin -->\n", "<!-- end -->"
OF_IMAGES = ("gradcam.png", "reconstructions.png")  # patients' images stay out of Git


def main(_: argparse.Namespace) -> None:
    export.require_packages()
    if not SETTINGS.is_file():
        raise UserError("no results here; run the graph first: make repro SOURCE=medmnist")
    declared, params = files.read_json(SETTINGS), reading.params("params.yaml")
    values = context.read(declared, *map(Path, ("metrics", "models", "data")))
    for report in values["scores"].values():
        if captions.of_report(report).is_phantom:
            raise UserError(
                f"the results here are of {report['data']}; accepted: of real images alone"
                " (make repro SOURCE=medmnist)"
            )
    network = model.load(declared["subject"], params)
    page, folder = DOCS / "results.md", RELEASED / network.run
    values |= {
        "sweep": files.read_json(Path("sweep/sweep.json")),
        "spaces": params.comparison.spaces,
        "layer": params.gradcam.layer,
        "plots": "results",
        "sweep_plot": "../sweep/sweep.png",
        "pictures": False,
    }
    copy_figures(Path("plots"), DOCS / "results", network.run)
    page.write_text(rendering.rendered(values), encoding="utf-8")
    insert(README, table(values, network.side))
    release(folder, values, network)
    print(f"results: {page} with its figures, the table in {README}, {folder}")


def copy_figures(plots: Path, out: Path, subject: str) -> None:
    """The figures of the report that show no images."""
    shutil.rmtree(out, ignore_errors=True)
    for folder in (Path("overview"), Path("runs", subject)):
        (out / folder).mkdir(parents=True)
        for path in sorted((plots / folder).glob("*.png")):
            if path.name not in OF_IMAGES:
                shutil.copy(path, out / folder)


def table(values: dict, side: int) -> str:
    """The README's table: the subject and the transfers on the same images, what needs no network,
    and what was published. side: of the images, in pixels."""
    image = np.zeros((1, side, side), np.uint8)
    seen = {"pixels": baselines.pixels(image), "ring": framing.ring(image)}
    weights = {name: vectors.shape[1] + 1 for name, vectors in seen.items()}
    return rendering.rendered(values | {"weights": weights}, TABLE)


def insert(page: Path, text: str) -> None:
    """Replace what stands between the marks; the text around them is written by hand."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{page} lacks the lines {BEGIN.strip()} and {END}; put them back")
    page.write_text(before + begin + text + end + after, encoding="utf-8")


# ------------------------------------------------------------------------------ the released model


def release(out: Path, values: dict, network: model.Model) -> None:
    """The subject's representative network in a folder of its own, with its card."""
    predictions = Path("data/results", network.run, "predictions.csv")
    labels, probability = scores.predictions(files.read_csv(predictions))
    this = probability[[network.report["representative"]]]
    choice = calibration.Choice(network.raw_threshold, calibration.IDENTITY, 0.5)
    of_card = {
        "side": network.side,
        "version": version("chestflow"),
        "limit": out_of_distribution.LIMIT,
        "alone": files.rounded(scores.report(labels, this, [choice], 0)),
        "flagged": flagged(network, values["counts"]),
    }
    shutil.rmtree(out, ignore_errors=True)
    model.write(out, network)
    shutil.copy(predictions, out)
    export.write(out / "model.onnx", network)
    card = rendering.rendered(values | of_card, rendering.CARD)
    (out / "README.md").write_text(card, encoding="utf-8")


def flagged(network: model.Model, counts: dict[str, dict]) -> dict[str, list[int]]:
    """How many images `predict` flags as out of distribution, and of how many: images of the run's
    own data set, unchanged and corrupted, noise, and the graph's other data sets.

    counts: the metrics files of all data sets, by key.
    """
    assert network.images is not None, "a run trained here"
    val, test = (arrays.read(network.images, split).images for split in ("val", "test"))
    images = {
        "validation images": val,
        "test images": test,
        "noise": np.random.default_rng(0).integers(0, 256, test.shape, np.uint8),
        "test images, grey values inverted": 255 - test,
        "test images upside down": test[:, ::-1],
    }
    for key, report in counts.items():
        if key != network.images.name:
            others = arrays.read(network.images.with_name(key), "test").images
            images[f"test images of {report['data']}"] = others
    numbers = {}
    for name, each in images.items():
        percentiles = network.reference.percentiles(network.statistics(each))
        numbers[name] = [int((percentiles > out_of_distribution.LIMIT).sum()), len(each)]
    return numbers
