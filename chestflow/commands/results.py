"""Write docs/results.md, its figures, the README's table and the released model from the results in
this folder: the report of a run on real images, without any picture of them."""

import argparse
import shutil
from importlib.metadata import version
from pathlib import Path

import medmnist
import numpy as np
import torch

from chestflow import files
from chestflow.config import reading as parameters
from chestflow.config.schema import Params
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.formatting import number, scored
from chestflow.metrics import intervals, scores
from chestflow.own_images import chosen_model, export, out_of_distribution, released, trained
from chestflow.report import context, published, rendering
from chestflow.sources import parts

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
    figures = context.read(declared, *map(Path, ("metrics", "models", "data/results")))
    if drawn := [r["data"] for r in figures["scores"].values() if captions.of_report(r).is_phantom]:
        raise UserError(
            f"the results here are of {drawn[0]}; accepted: of real images alone"
            " (make repro SOURCE=medmnist)"
        )
    params = parameters.params("params.yaml")
    figures |= {
        "sweep": files.read_json(Path("sweep/sweep.json")),
        "spaces": params.comparison.spaces,
        "layer": params.gradcam.layer,
        "plots": "results",
        "sweep_plot": "../sweep/sweep.png",
        "pictures": False,
    }
    copy_figures(Path("plots"), options.docs / "results", declared["subject"])
    page = options.docs / "results.md"
    text = rendering.rendered(figures) + larger_images(Path("sweep/sizes.json"), params)
    page.write_text(text, encoding="utf-8")
    insert(options.readme, table(figures["scores"], declared["subject"]))
    folder = options.released / declared["subject"]
    release(folder, figures, params)
    print(f"results: {page} with its figures, the table in {options.readme}, {folder}")


def larger_images(measured: Path, params: Params) -> str:
    """What larger images bring, where that was measured."""
    if not measured.is_file():
        return ""
    given: dict = {"sizes": files.read_json(measured), "spaces": {}}
    given |= params.model_dump(include={"min_delta", "epochs", "blocks"})
    return "\n" + rendering.rendered(given, rendering.SIZES)


def copy_figures(plots: Path, out: Path, subject: str) -> None:
    """The figures of the report that show numbers, curves and points."""
    shutil.rmtree(out, ignore_errors=True)
    for folder in (Path("overview"), Path("runs", subject)):
        (out / folder).mkdir(parents=True)
        for path in sorted((plots / folder).glob("*.png")):
            if path.name not in OF_IMAGES:
                shutil.copy(path, out / folder)


def table(reports: dict[str, dict], subject: str) -> list[str]:
    """The README's table: the subject, the transfers on the same images, and what was published."""
    lines = [
        "| | AUROC | accuracy | test images × trainings | trainable parameters |",
        "|---|---|---|---|---|",
    ]
    same = reports[subject]["data"]
    for run, report in reports.items():
        if report["data"] == same:
            cells = [scored(report, key) for key in ("auroc", "accuracy")]
            size = f"{report['n']:,} × {report['trainings']}"
            lines.append(f"| `{run}` | {' | '.join(cells)} | {size} | {report['parameters']:,} |")
    for name, (auroc, accuracy) in published.FIGURES.items():
        if name in ("ResNet-18", "Google AutoML Vision"):
            size = "11 million" if name == "ResNet-18" else "not stated"
            figures = f"{number(auroc)} | {number(accuracy)}"
            source = f"[Yang et al. 2023]({published.SOURCE})"
            lines.append(f"| {name}, {source} | {figures} | not stated | {size} |")
    return lines


def insert(page: Path, lines: list[str]) -> None:
    """Replace what stands between the marks; the text around them is written by hand."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{page} lacks the lines {BEGIN.strip()} and {END}; put them back")
    page.write_text(before + begin + "\n".join(["", *lines, "", ""]) + end + after)


def release(out: Path, figures: dict, params: Params) -> None:
    """The subject's shown network in a folder of its own, with its card."""
    subject = figures["subject"]
    dataset, report = figures["runs"][subject]["dataset"], figures["scores"][subject]
    where = chosen_model.options(subject)
    model, val = (
        chosen_model.load(where, params),
        arrays.read(trained.images_of(where, params), "val"),
    )
    predictions = Path("data/results", subject, "predictions.csv")
    labels, probability = scores.predictions(files.read_csv(predictions))
    given = {
        "side": model.run.side,
        "version": version("chestflow"),
        "limit": out_of_distribution.LIMIT,
        "alone": interval_of(labels, probability[[report["shown"]]], model.run.threshold),
        "flagged": flagged(model.unlikeness, figures["runs"], figures["counts"], dataset),
    }
    with parts.folder_for(out) as folder:  # what was released stays until all is ready
        new = folder / out.name
        released.write(new, Path("models", subject), report, model.unlikeness, model.seen())
        shutil.copy(predictions, new)
        export.write(new / "model.onnx", model.run, val.images)
        as_medmnist(new / "medmnist", dataset, probability)
        card = rendering.rendered(figures | given, rendering.CARD)
        (new / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        new.rename(out)


def interval_of(labels: np.ndarray, probability: np.ndarray, threshold: float) -> dict:
    """One training's scores, with intervals for other images: at a threshold of .5, and at the one
    chosen on validation. labels: (N,); probability: (1, N)."""
    half = intervals.decisions(labels, probability >= 0.5)
    half |= {"auroc": intervals.auroc(labels, probability)}
    chosen = intervals.decisions(labels, probability >= threshold)
    return {
        name: {key: intervals.estimate(one, scores.bounds(key)) for key, one in found.items()}
        for name, found in {"half": half, "chosen": chosen}.items()
    }


def flagged(
    unlikeness: out_of_distribution.Unlikeness, runs: dict, counts: dict, own: str
) -> dict[str, list]:
    """How many images `predict` would call unlike the training images, and of how many: of the
    run's own data set as they are and spoilt, of noise, and of the graph's other data sets."""
    val, test = (arrays.read(Path("data/binary", own), split).images for split in ("val", "test"))
    noise = np.random.default_rng(0).integers(0, 256, test.shape, np.uint8)
    asked_about = {"validation images": val, "test images": test, "noise": noise}
    asked_about |= {"test images, grey values inverted": 255 - test}
    asked_about |= {"test images upside down": np.ascontiguousarray(test[:, ::-1])}
    for other in dict.fromkeys(run["dataset"] for run in runs.values()):
        if other != own:
            images = arrays.read(Path("data/binary", other), "test").images
            asked_about[f"test images of {counts[other]['data']}"] = images
    ranks = {
        name: unlikeness.rank(torch.from_numpy(np.array(images)))
        for name, images in asked_about.items()
    }
    return {name: [int((r > out_of_distribution.LIMIT).sum()), len(r)] for name, r in ranks.items()}


def as_medmnist(out: Path, dataset: str, probability: np.ndarray) -> None:
    """Each training's probabilities as medmnist's own evaluation writes them, which reads the
    labels from the archive; nothing for images that are not MedMNIST's. probability: (K, N)."""
    if dataset not in medmnist.INFO:
        return
    out.mkdir()
    of_test = medmnist.Evaluator(dataset, "test", root="data/raw")
    for k, row in enumerate(probability):
        of_test.evaluate(row[:, None], str(out), f"chestflow-{k}")
