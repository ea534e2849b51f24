"""Print the main scores of the last run of the graph, and the page to open."""

import argparse
from pathlib import Path

from chestflow import files
from chestflow.config import reading
from chestflow.formatting import number, one_line, scored

PAGE = Path("report/index.html")


def main(options: argparse.Namespace) -> None:
    runs = reading.params("params.yaml").runs
    head = f"{'run':<22}{'AUROC [95 % interval]':<24}{'accuracy':<24}{'majority':<10}"
    print(f"\n{head}test images × trainings")
    for run in runs:
        print(f"{run:<22}{figures(Path('data/results') / run / 'scores.json')}")
    print("Figures: plots/, numbers: metrics/; what differs from the last commit: dvc metrics diff")
    # As an address, which can be clicked in most terminals. The page is not in Git.
    open_it = f"open {PAGE.resolve().as_uri()}"
    print(f"Answers: {open_it if PAGE.exists() else f'dvc repro report writes {PAGE}'}")


def figures(path: Path) -> str:
    """A run's scores as a row, or why there are none."""
    if not path.exists():
        return "no results yet: make repro, or dvc repro"
    report = files.read_json(path)
    cells = [f"{scored(report, key):<24}" for key in ("auroc", "accuracy")]
    majority = f"{number(report['majority_accuracy']):<10}"
    size = f"{report['n']:,} × {report['trainings']}, {one_line(report['data'])}"
    return "".join([*cells, majority, size])
