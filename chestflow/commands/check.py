"""Check params.yaml and datasets.yaml, and that DVC can use Git here.

DVC itself would report an unknown `init` as a missing file, and would not notice a misspelt key.
"""

import argparse
import sys
from pathlib import Path

from chestflow.commands import git
from chestflow.config import reading
from chestflow.config.schema import one_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", type=Path, default="params.yaml", help="%(default)s")
    parser.add_argument("--datasets", type=Path, default="datasets.yaml", help="%(default)s")


def main(options: argparse.Namespace) -> None:
    params, datasets = reading.params(options.params), reading.datasets(options.datasets)
    for key, dataset in params.datasets_used.items():
        one_of(f"{options.params}: {key}", dataset, list(datasets))
    git.require_git()
    git.identify()
    if problem := git.shallow():
        print(f"check: {problem}", file=sys.stderr)
