"""What several test files share: small phantoms, the parameters shrunk to seconds, and the graph
that they give, run once."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import small_run
import torch
import yaml
from filelock import FileLock
from workspace import RESULTS, ROOT, Workspace

from benchmarks.orchestration import shrink
from chestflow.config import reading, schema
from chestflow.data import arrays
from chestflow.sources import phantom
from stages.binarize import binary_split
from stages.configure import settings_of


def pytest_configure() -> None:
    """medmnist creates this folder on import; of two processes at once the slower one is warned,
    and a warning is an error here."""
    (Path.home() / ".medmnist").mkdir(exist_ok=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, so that both processes end together. What needs the graph comes when
    it is there, and the many quick files last."""
    slow = ["graph", "predict", "validate", "export", "repro", "machines", "pack", "benchmarks"]
    order = {f"test_{name}": place for place, name in enumerate(slow)}
    items.sort(key=lambda item: order.get(item.path.stem, len(slow)))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def splits() -> dict[str, arrays.Split]:
    """A small PneumoniaMNIST phantom with binary labels and masks."""
    sizes = {"train": 300, "val": 150, "test": 200}
    archive = phantom.archive("pneumoniamnist", sizes, seed=0)
    return {name: binary_split(archive, name) for name in arrays.SPLITS}


@pytest.fixture(scope="session")
def settings() -> Callable[..., schema.Training]:
    """The complete settings of a training: those of all runs, with changes."""
    defaults = settings_of(reading.params(ROOT / "params.yaml"), "pneumonia")
    return lambda **changes: schema.Training(**defaults | changes)


@pytest.fixture(scope="session")
def shrunken() -> dict:
    """params.yaml with every number that costs time made small."""
    return shrink(yaml.safe_load((ROOT / "params.yaml").read_text()))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """For commands: this Python's programs first, a Git identity, nothing sent to anybody."""
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    others = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # a copy has its own code
    return others | identity | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all of pytest's processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def trained(shared, shrunken, splits) -> Path:
    """A folder with one run, trained once for all of pytest's processes; only to be read."""
    folder = shared / "trained"
    with FileLock(shared / "trained.lock"):
        if not (shared / "is_trained").exists():
            shutil.rmtree(folder, ignore_errors=True)
            small_run.build(folder, shrunken, splits)
            (shared / "is_trained").touch()
    return folder


@pytest.fixture(scope="module")
def workspace(trained, tmp_path_factory) -> Path:
    """A copy of it, to change at will."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("trained") / "workspace")


@pytest.fixture(scope="session")
def graph(shared, environment, shrunken) -> Workspace:
    """A copy of the repository in which `chestflow repro` has run the shrunken graph, for all of
    pytest's processes; only to be read. `said` is what the command said."""
    space = Workspace(shared / "graph", environment)
    with FileLock(shared / "graph.lock"):
        if not (shared / "said").exists():
            shutil.rmtree(space.folder, ignore_errors=True)
            prepare(space, shrunken)
            (shared / "said").write_text(space.succeed("chestflow", "repro", "--jobs", "2"))
    space.said = (shared / "said").read_text()
    return space


def prepare(space: Workspace, shrunken: dict) -> None:
    """Two runs, from scratch and from the autoencoder, each trained twice and with fewer labels
    too: every kind of stage, in a third of the default graph's."""
    runs = {run: shrunken["runs"][run] for run in ("pneumonia", "frozen")}
    few = {
        "trainings": 2,
        "runs": runs | {"frozen": runs["frozen"] | {"init": "autoencoder"}},
        "label_efficiency": shrunken["label_efficiency"] | {"runs": ["pneumonia", "frozen"]},
        "comparison": {
            "primary": [{"run": "frozen", "against": "pneumonia"}],
            "further": [{"run": "frozen", "against": "pneumonia"}],
            "spaces": {"transfer": ["pneumonia", "frozen"]},
        },
    }
    space.folder.mkdir()
    space.fill(leave=("dvc.lock", *RESULTS))
    space.set_params(shrunken | few)
    space.set_params(shrink(space.params("datasets.yaml")), "datasets.yaml")
    space.succeed("dvc", "cache", "dir", "--local", "../cache")
    space.commit()


@pytest.fixture
def space(graph, tmp_path) -> Workspace:
    """A copy of the graph's folder, to change at will."""
    return graph.copy(tmp_path / "space")
