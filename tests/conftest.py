"""What several test files share: small phantoms, and the parameters shrunk to seconds."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import orchestration
from chestflow.config import reading, schema
from chestflow.data import arrays
from chestflow.sources import phantom
from stages.configure import settings_of

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """medmnist creates this folder on import; of two processes at once the slower one is warned,
    and a warning is an error here."""
    (Path.home() / ".medmnist").mkdir(exist_ok=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The graph first: it takes longest, and must not be what the other process waits for."""
    items.sort(key=lambda item: "test_pipeline" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def splits() -> dict[str, arrays.Split]:
    """A small PneumoniaMNIST phantom with binary labels and masks."""
    sizes = {"train": 300, "val": 150, "test": 200}
    drawn = phantom.archive("pneumoniamnist", sizes, seed=0)
    return {name: arrays.split_of(drawn, name) for name in arrays.SPLITS}


@pytest.fixture(scope="session")
def settings() -> Callable[..., schema.Training]:
    """The complete settings of a training: those of all runs, with changes."""
    declared = reading.params(ROOT / "params.yaml")
    usual = settings_of(declared, "pneumonia")
    return lambda **changes: schema.Training(**usual | changes)


@pytest.fixture(scope="session")
def shrunken() -> dict:
    """params.yaml with every number that costs time made small, wherever it stands."""
    return orchestration.shrink(yaml.safe_load((ROOT / "params.yaml").read_text()))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """For commands: this Python's programs first, a Git identity, nothing sent to anybody."""
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | identity | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
