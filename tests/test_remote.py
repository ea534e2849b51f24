"""What one machine has computed, no other computes again: by a remote in a folder, for the commit
before, and by a cache that several clones share."""

import pytest
import yaml
from workspace import RESULTS, Workspace

from benchmarks.orchestration import shrink

TARGET = "evaluate@pneumonia"
RATES = (0.005, 0.002)
HISTORY = "models/pneumonia/history.csv"
WEIGHTS = "models/pneumonia/model.safetensors"


@pytest.fixture(scope="module")
def origin(tmp_path_factory, environment, shrunken) -> Workspace:
    """A copy in which one run was trained at two rates, both committed, and both pushed."""
    folder = tmp_path_factory.mktemp("origin")
    space = Workspace(folder, environment, leave=("dvc.lock", *RESULTS))
    space.succeed("git", "init", "--quiet")
    space.set_params(shrink(yaml.safe_load(space.read("datasets.yaml"))), "datasets.yaml")
    space.succeed("dvc", "remote", "add", "--default", "shared", str(folder.parent / "remote"))
    space.histories = []
    for rate in RATES:
        space.set_params(shrunken | {"lr": rate})
        space.succeed("dvc", "repro", TARGET)
        space.commit()
        space.succeed("dvc", "push")
        space.histories.append(space.read(HISTORY))
    return space


@pytest.fixture
def clone(tmp_path, environment, origin) -> Workspace:
    """A fresh clone: what Git keeps, and no data."""
    origin.succeed("git", "clone", "--quiet", str(origin.folder), str(tmp_path / "clone"))
    space = Workspace(tmp_path / "clone", environment, leave=("",))  # nothing else is copied
    assert not (space.folder / "data").exists() and not (space.folder / "models").exists()
    return space


def test_a_clone_pulls_and_runs_nothing(clone, origin):
    clone.succeed("dvc", "pull", "--with-deps", TARGET)
    weights = (clone.folder / WEIGHTS).read_bytes()
    assert weights == (origin.folder / WEIGHTS).read_bytes()
    assert clone.ran("dvc", "repro", TARGET) == set()
    assert clone.succeed("git", "status", "--porcelain") == ""

    # The commit before: other parameters, and their results.
    clone.succeed("git", "checkout", "--quiet", "HEAD~1")
    clone.succeed("dvc", "pull", "--with-deps", TARGET)
    assert (clone.folder / WEIGHTS).read_bytes() != weights
    assert clone.ran("dvc", "repro", TARGET) == set()


def test_parameters_set_back_are_not_trained_again_where_the_cache_is_shared(clone, origin):
    """A remote alone would not do: DVC pushes the present outputs, not those of past runs."""
    cache = origin.folder / ".dvc" / "cache"
    clone.succeed("dvc", "cache", "dir", "--local", str(cache))
    clone.set_params(clone.params() | {"lr": RATES[0]})
    assert clone.ran("dvc", "repro", TARGET) == set()
    assert clone.read(HISTORY) == origin.histories[0] != origin.histories[1]
    scores = clone.succeed("git", "show", "HEAD~1:metrics/runs/pneumonia.json")
    assert clone.read("metrics/runs/pneumonia.json") == scores
    assert clone.succeed("git", "diff", "HEAD~1", "--stat", "--", "dvc.lock", *RESULTS) == ""
