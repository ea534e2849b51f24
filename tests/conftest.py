"""What several test files share: small phantoms, and the parameters shrunk to seconds."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import orchestration
from stages.lib import data, parameters, phantom

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def splits() -> dict[str, data.Split]:
    """A small PneumoniaMNIST phantom with binary labels and masks."""
    sizes = {"train": 300, "val": 150, "test": 200}
    arrays = phantom.archive("pneumoniamnist", sizes, seed=0)
    return {name: data.split_of(arrays, name) for name in data.SPLITS}


@pytest.fixture(scope="session")
def settings() -> Callable[..., parameters.Settings]:
    """The default settings of a training, with changes."""
    defaults = parameters.load(ROOT / "params.yaml").defaults.model_dump()
    return lambda **changes: parameters.Settings(**defaults | changes)


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
