"""Check params.yaml and datasets.yaml before DVC reads them, that this machine is large enough, and
that Git has a name for the commits that DVC makes of experiments.

DVC itself would call an unknown start of a run a missing file, and would not notice a key that
nothing depends on.
"""

import argparse
import os
import shutil
from pathlib import Path

from chestflow.commands import clone
from chestflow.core.errors import UserError
from chestflow.parameters import needs, reading
from chestflow.parameters.datasets import Dataset
from chestflow.parameters.schema import Params, one_of

RAW = Path("data/raw")  # where dvc.yaml has the data sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", type=Path, default="params.yaml", help="%(default)s")
    parser.add_argument("--datasets", type=Path, default="datasets.yaml", help="%(default)s")


def main(options: argparse.Namespace) -> None:
    params, datasets = reading.params(options.params), reading.datasets(options.datasets)
    for key, dataset in params.datasets_used.items():
        one_of(f"{options.params}: {key}", dataset, list(datasets))
    clone.require_git()
    clone.identify()
    fit(params, datasets)


def fit(params: Params, datasets: dict[str, Dataset]) -> None:
    """Raise UserError, with what is needed and what there is, for what this machine cannot hold."""
    own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = max(needs.memory(params, datasets), key=lambda need: need.amount)
    if most.amount > own and most.amount > (there := max(own, memory_of_gpu())):
        raise UserError(too_much(most, there, "of memory"))
    missing = {name: d for name, d in datasets.items() if not (RAW / f"{name}.npz").exists()}
    free = shutil.disk_usage(".").free
    for need in needs.disk(params, missing):
        if need.amount > free:
            raise UserError(too_much(need, free, "free on its disk"))


def too_much(need: needs.Need, there: int, of_what: str) -> str:
    return (
        f"{need.what} needs about {need.amount / 1e9:,.0f} GB; this machine has"
        f" {there / 1e9:,.0f} GB {of_what}; accepted: less"
    )


def memory_of_gpu() -> int:
    """In bytes; 0 where there is none."""
    import torch  # takes seconds, and is hardly ever needed

    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
