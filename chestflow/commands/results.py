"""Write docs/results.md, its figures, and the README's table from the results in this folder: the
report of a run on real images, without any picture of them."""

import argparse
import shutil
from pathlib import Path

from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.images import captions
from chestflow.parameters import reading as parameters
from chestflow.report import published, reading, rendering
from chestflow.wording import number, scored

BEGIN, END = "<!-- written by chestflow results: begin -->\n", "<!-- end -->"
OF_IMAGES = ("gradcam.png", "reconstructions.png")  # patients' images stay out of Git


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="%(default)s")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="%(default)s")


def main(options: argparse.Namespace) -> None:
    settings = Path("data/settings/all.json")
    if not settings.is_file() or not Path("report/index.md").is_file():
        raise UserError("no results here; run the graph first: make repro SOURCE=medmnist")
    declared = tables.read_json(settings)
    figures = reading.read(declared, *map(Path, ("metrics", "models", "data/results")))
    if drawn := [r["data"] for r in figures["scores"].values() if captions.of_report(r).is_phantom]:
        raise UserError(
            f"the results here are of {drawn[0]}; accepted: of real images alone"
            " (make repro SOURCE=medmnist)"
        )
    params = parameters.params("params.yaml")
    figures |= {
        "sweep": tables.read_json(Path("sweep/sweep.json")),
        "spaces": params.comparison.spaces,
        "layer": params.gradcam.layer,
        "plots": "results",
        "sweep_plot": "../sweep/sweep.png",
        "pictures": False,
    }
    copy_figures(Path("plots"), options.docs / "results", declared["subject"])
    page = options.docs / "results.md"
    page.write_text(rendering.rendered(figures), encoding="utf-8")
    insert(options.readme, table(figures["scores"], declared["subject"]))
    print(f"results: {page}, {options.docs / 'results'}, the table in {options.readme}")


def copy_figures(plots: Path, out: Path, subject: str) -> None:
    """The figures of the report that show numbers, curves and points."""
    shutil.rmtree(out, ignore_errors=True)
    for folder in (Path("overview"), Path("runs", subject)):
        (out / folder).mkdir(parents=True)
        for path in sorted((plots / folder).glob("*.png")):
            if path.name not in OF_IMAGES:
                shutil.copy(path, out / folder)


def table(scores: dict[str, dict], subject: str) -> list[str]:
    """The README's table: the subject, the transfers on the same images, and what was published."""
    lines = [
        "| | AUROC | accuracy | test images × trainings | trainable parameters |",
        "|---|---|---|---|---|",
    ]
    same = scores[subject]["data"]
    for run, report in scores.items():
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
