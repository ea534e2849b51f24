"""Print the headline figures of the last run of the graph, and last the page to open."""

import argparse
from pathlib import Path

from chestflow import files
from chestflow.errors import UserError
from chestflow.formatting import number, one_line, scored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", type=Path, default="metrics/runs", help="%(default)s")


def main(options: argparse.Namespace) -> None:
    if not any(options.metrics.glob("*.json")):
        raise UserError(
            f"{options.metrics} holds no results; run the graph first, in the repository's folder:"
            " make repro, or dvc repro"
        )
    reports = {path.stem: files.read_json(path) for path in sorted(options.metrics.glob("*.json"))}
    head = f"{'run':<22}{'AUROC [95 % interval]':<24}{'accuracy':<24}{'majority':<10}"
    print(f"\n{head}test images × trainings")
    for run, report in reports.items():
        cells = [f"{scored(report, key):<24}" for key in ("auroc", "accuracy")]
        majority = f"{number(report['majority_accuracy']):<10}"
        size = f"{report['n']:,} × {report['trainings']}, {one_line(report['data'])}"
        print(f"{run:<22}{''.join(cells)}{majority}{size}")
    print("Figures: plots/, numbers: metrics/; what differs from the last commit: dvc metrics diff")
    print(answers(Path("report/index.html")))


def answers(page: Path) -> str:
    """Where the report is, as an address that terminals let people click; Git does not hold it."""
    if page.exists():
        return f"Answers: open {page.resolve().as_uri()}"
    return f"Answers: dvc repro report writes {page}"
