"""Write docs/results.md, its figures, the README's table and the released model from the results in
this folder: the report of a run on real images, without any picture of them."""

import argparse
import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import medmnist
import numpy as np

from chestflow import files
from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.formatting import number, scored, with_interval
from chestflow.metrics import intervals, scores
from chestflow.own_images import export, model, out_of_distribution
from chestflow.report import context, published, rendering

BEGIN, END = "<!-- written by chestflow results: begin -->\n", "<!-- end -->"
OF_IMAGES = ("gradcam.png", "reconstructions.png")  # patients' images stay out of Git


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="%(default)s")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="%(default)s")
    parser.add_argument("--released", type=Path, default=Path("released"), help="%(default)s")


def main(options: argparse.Namespace) -> None:
    settings = Path("data/settings/all.json")
    export.require(*export.PACKAGES)
    if not settings.is_file() or not Path("report/index.md").is_file():
        raise UserError("no results here; run the graph first: make repro SOURCE=medmnist")
    declared = files.read_json(settings)
    values = context.read(declared, *map(Path, ("metrics", "models", "data")))
    for report in values["scores"].values():
        if captions.of_report(report).is_phantom:
            raise UserError(
                f"the results here are of {report['data']}; accepted: of real images alone"
                " (make repro SOURCE=medmnist)"
            )
    params = reading.params("params.yaml")
    values |= {
        "sweep": files.read_json(Path("sweep/sweep.json")),
        "spaces": params.comparison.spaces,
        "layer": params.gradcam.layer,
        "plots": "results",
        "sweep_plot": "../sweep/sweep.png",
        "pictures": False,
    }
    copy_figures(Path("plots"), options.docs / "results", declared["subject"])
    page, folder = options.docs / "results.md", options.released / declared["subject"]
    page.write_text(rendering.rendered(values), encoding="utf-8")
    insert(options.readme, table(values["scores"], values["framing"], declared["subject"]))
    release(folder, values, params)
    print(f"results: {page} with its figures, the table in {options.readme}, {folder}")


def copy_figures(plots: Path, out: Path, subject: str) -> None:
    """The figures of the report that show no images."""
    shutil.rmtree(out, ignore_errors=True)
    for folder in (Path("overview"), Path("runs", subject)):
        (out / folder).mkdir(parents=True)
        for path in sorted((plots / folder).glob("*.png")):
            if path.name not in OF_IMAGES:
                shutil.copy(path, out / folder)


def table(reports: dict[str, dict], audits: dict[str, dict], subject: str) -> list[str]:
    """The README's table: the subject, the transfers on the same images, and what was published."""
    lines = [
        "| | AUROC | lowest AUROC, however framed | accuracy | test images × trainings | trainable"
        " parameters |",
        "|---|---|---|---|---|---|",
    ]
    for run, report in reports.items():
        if report["data"] == reports[subject]["data"]:
            cells = [f"`{run}`", scored(report, "auroc"), lowest(audits[run]["test"])]
            cells += [scored(report, "accuracy"), f"{report['n']:,} × {report['trainings']}"]
            lines.append(f"| {' | '.join(cells)} | {report['trainable_parameters']:,} |")
    for name, size in {"ResNet-18": "11 million", "Google AutoML Vision": "not stated"}.items():
        auroc, accuracy = map(number, published.FIGURES[name])
        source = f"[Yang et al. 2023]({published.SOURCE})"
        cells = [f"{name}, {source}", auroc, "not stated", accuracy, "not stated", size]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def lowest(audit: dict) -> str:
    """The lowest AUROC of an audit's four cells, with its interval."""
    cell = min(audit["auroc"], key=audit["auroc"].__getitem__)
    return with_interval(audit["auroc"][cell], audit["ci95"][cell])


def insert(page: Path, lines: list[str]) -> None:
    """Replace the lines between the marks; the text around them is written by hand."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{page} lacks the lines {BEGIN.strip()} and {END}; put them back")
    page.write_text(before + begin + "\n".join(["", *lines, "", ""]) + end + after)


def release(out: Path, values: dict, params: Params) -> None:
    """The subject's representative network in a folder of its own, with its card."""
    subject = values["subject"]
    dataset, report = values["runs"][subject]["dataset"], values["scores"][subject]
    network = model.load(subject, params)
    predictions = Path("data/results", subject, "predictions.csv")
    labels, probability = scores.predictions(files.read_csv(predictions))
    of_card = {
        "side": network.side,
        "version": version("chestflow"),
        "limit": out_of_distribution.LIMIT,
        "alone": scores_of(labels, probability[[report["representative"]]], network.threshold),
        "flagged": flagged(network, values["counts"], dataset),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as folder:  # the old release stays until all is ready
        new = Path(folder, out.name)
        model.write(new, network)
        shutil.copy(predictions, new)
        export.write(new / "model.onnx", network)
        as_medmnist(new / "medmnist", dataset, probability)
        card = rendering.rendered(values | of_card, rendering.CARD)
        (new / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        new.rename(out)


def scores_of(labels: np.ndarray, probability: np.ndarray, threshold: float) -> dict:
    """One training's scores, with intervals over images: at a threshold of .5, and at the one
    chosen on validation. labels: (N,); probability: (1, N)."""
    half = intervals.decisions(labels, probability >= 0.5)
    half["auroc"] = intervals.auroc(labels, probability)
    chosen = intervals.decisions(labels, probability >= threshold)
    return {
        at: {name: intervals.estimate(one) for name, one in measured.items()}
        for at, measured in {"half": half, "chosen": chosen}.items()
    }


def flagged(network: model.Model, counts: dict, own: str) -> dict[str, list[int]]:
    """How many images `predict` flags as out of distribution, and of how many: images of the run's
    own data set, unchanged and corrupted, noise, and the graph's other data sets."""
    val, test = (arrays.read(Path("data/binary", own), split).images for split in ("val", "test"))
    noise = np.random.default_rng(0).integers(0, 256, test.shape, np.uint8)
    images = {"validation images": val, "test images": test, "noise": noise}
    images["test images, grey values inverted"] = 255 - test
    images["test images upside down"] = test[:, ::-1]
    for key, report in counts.items():
        if key != own:
            others = arrays.read(Path("data/binary", key), "test").images
            images[f"test images of {report['data']}"] = others
    numbers = {}
    for name, each in images.items():
        distances = network.reference.measure(network.on_device(each))
        beyond = network.reference.percentiles(distances) > out_of_distribution.LIMIT
        numbers[name] = [int(beyond.sum()), len(each)]
    return numbers


def as_medmnist(out: Path, dataset: str, probability: np.ndarray) -> None:
    """Each training's probabilities as medmnist's own evaluation writes them, which reads the
    labels from the archive; nothing for images that are not MedMNIST's. probability: (K, N)."""
    if dataset not in medmnist.INFO:
        return
    out.mkdir()
    of_test = medmnist.Evaluator(dataset, "test", root="data/raw")
    for k, row in enumerate(probability):
        of_test.evaluate(row[:, None], str(out), f"chestflow-{k}")
