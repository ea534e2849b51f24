"""Print the main scores of the last run of the graph, and the page to open."""

import argparse
from pathlib import Path

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.formatting import number, one_line, scored

RESULTS, PAGE = Path("data/results"), Path("report/index.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def main(options: argparse.Namespace) -> None:
    paths = [RESULTS / run / "scores.json" for run in reading.params("params.yaml").runs]
    if not any(path.exists() for path in paths):
        raise UserError(
            f"{RESULTS} holds no results; run the graph first, in the repository's folder:"
            " make repro, or dvc repro"
        )
    head = f"{'run':<22}{'AUROC [95 % interval]':<24}{'accuracy':<24}{'majority':<10}"
    print(f"\n{head}test images × trainings")
    for path in paths:
        print(f"{path.parent.name:<22}{figures(path)}")
    print("Figures: plots/, numbers: metrics/; what differs from the last commit: dvc metrics diff")
    # As an address, which can be clicked in most terminals. The page is not in Git.
    open_it = f"open {PAGE.resolve().as_uri()}"
    print(f"Answers: {open_it if PAGE.exists() else f'dvc repro report writes {PAGE}'}")


def figures(path: Path) -> str:
    """A run's scores as a row, or why there are none."""
    try:
        report = files.read_json(path)
        cells = [f"{scored(report, key):<24}" for key in ("auroc", "accuracy")]
        majority = f"{number(report['majority_accuracy']):<10}"
        size = f"{report['n']:,} × {report['trainings']}, {one_line(report['data'])}"
    except FileNotFoundError:
        return "no results yet: dvc repro"
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"{path} is damaged; dvc repro writes it anew"
    return "".join([*cells, majority, size])
