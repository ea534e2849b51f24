"""Several processes (gloo) train as one process does, and only the first reports.

This file is also the script that torchrun starts: each process writes what it ended with.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml

from chestflow.core import tables
from chestflow.images import arrays
from chestflow.network.checkpoint import read
from chestflow.network.model import Classifier
from chestflow.parameters import reading
from chestflow.training import batching, loop, objectives, processes, strategies
from stages.configure import configure
from stages.scratch import scratch

ROOT = Path(__file__).parents[1]
TORCHRUN = (Path(sys.executable).parent / "torchrun", "--standalone", "--nproc-per-node")


def start(environment: dict, *words: object) -> subprocess.CompletedProcess:
    """A command in the repository's root."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def succeed(environment: dict, *words: object) -> subprocess.CompletedProcess:
    ended = start(environment, *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


# ------------------------------------------------------------------------------ the same training


class InDoubles(Classifier):
    """Rounding errors grow with every step: in single precision, two orders of summation soon agree
    in little more than magnitude, which could hide a wrong weight in the loss."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return super().embed(images.double())


def trained(folder: Path) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """Rows and weights of a training with all that depends on the batch: augmentation, dropout, two
    phases of which the first leaves batch norm alone, early stopping, and shares of 49, 50 and 50,
    then of 0, 1 and 1 images in three processes; and of another one that averages its weights.
    folder: holds the 300 images."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = [
        batching.Samples.to(torch.device("cpu"), arrays.read(folder, name))
        for name in ("train", "val")
    ]
    stopping = {"keep": "best", "schedule": "onecycle", "epochs": 5, "patience": 2}
    settings = reading.params(ROOT / "params.yaml").model_copy(
        update=stopping | {"batch_size": 149}
    )
    weights = objectives.class_weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "EPOCH", 1)
        patch.setattr(loop, "class_weights", lambda labels: weights(labels).double())
        model = InDoubles(4, 3, dropout=0.2).double()
        plan = strategies.phases("headfirst", 3, 0.02, 0.3, 0.6)
        rows = list(loop.fit(model, *images, settings, plan, seed=0))
        settings = settings.model_copy(
            update={"epochs": 2, "keep": "average", "schedule": "plateau", "label_smoothing": 0.1}
        )
        plan = strategies.phases("unfrozen", 3, 0.02, 1.0, 1.0)
        rows += list(loop.fit(model, *images, settings, plan, seed=1))
    return rows, model.state_dict()


@pytest.fixture(scope="module")
def images(tmp_path_factory, splits) -> Path:
    folder = tmp_path_factory.mktemp("images")
    arrays.write(folder, "phantom", splits)
    return folder


@pytest.fixture(scope="module")
def alone(images) -> tuple[list[dict], dict]:
    return trained(images)


@pytest.fixture(scope="module")
def together(images, environment) -> list[tuple[list[dict], dict]]:
    """The same in three processes: what each of them ended with."""
    succeed(environment, *TORCHRUN, 3, __file__, images)
    return [torch.load(images / f"{rank}.pt") for rank in range(3)]


def test_every_epoch_equals_that_of_one_process(alone, together):
    (rows, _), (shared, _) = alone, together[0]
    assert len(rows) < 10 + 2, "early stopping must have ended a phase, or this does not test it"
    assert [row["improved"] for row in rows] == [row["improved"] for row in shared]
    for row, other in zip(rows, shared, strict=True):
        assert other == pytest.approx(row, abs=1e-6)


def test_weights_and_running_averages_equal_those_of_one_process(alone, together):
    (_, weights), (_, shared) = alone, together[0]
    assert weights.keys() == shared.keys()
    for key, value in weights.items():
        assert torch.allclose(value, shared[key], rtol=1e-9, atol=1e-9), key


def test_all_processes_end_with_identical_weights(together):
    for rows, weights in together[1:]:
        assert rows == together[0][0]
        assert all(torch.equal(value, together[0][1][key]) for key, value in weights.items())


@pytest.mark.parametrize(("n", "size"), [(128, 2), (129, 2), (2, 3), (3, 8), (512, 7)])
def test_shares_cover_a_batch_once_and_evenly(n, size):
    shares = [range(n)[processes.Group(rank, size).share(n)] for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_single_process_is_left_unchanged():
    group, model = processes.group(), Classifier()
    outputs = torch.ones(3, 2)
    group.synchronise(model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert group.gather(outputs) is outputs and group.agree(outputs) is outputs


# ------------------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory, images, shrunken):
    """The command that trains `pneumonia` in so many processes, with all files in one folder."""
    root = tmp_path_factory.mktemp("stage")
    scratch(root / "scratch")

    def words(name: str, processes: int, **changes) -> tuple[Path, list]:
        folder, read = root / name, root / f"{name} reads"
        folder.mkdir()
        read.mkdir()
        params, settings = read / "params.yaml", read / "settings"
        runs = shrunken["runs"] | {"pneumonia": shrunken["runs"]["pneumonia"] | changes}
        values = shrunken | {"processes": processes, "trainings": 2, "runs": runs}
        params.write_text(yaml.safe_dump(values, sort_keys=False))
        configure("pneumonia", params, ROOT / "datasets.yaml", settings)
        inputs = [
            *("--settings", settings / "runs/pneumonia.json", "--images", images),
            *("--init", root / "scratch"),
        ]
        return folder, ["-m", "stages.train", *inputs, "--out", folder]

    return words


def results(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_parameter_torchrun_and_one_process_give_the_same(stage, environment):
    """One stage, started in three ways."""
    one, alone = stage("one", 1)
    two, spread = stage("two", 2)
    run, bare = stage("torchrun", 1)
    starts = ([sys.executable, *alone], [sys.executable, *spread], [*TORCHRUN, 2, *bare])
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda words: succeed(environment, *words), starts))
    for said in (process.stdout for process in ended):
        assert said.count("18,218 parameters") == said.count("validation AUROC") == 1
    assert results(two) == results(run)
    assert results(one).keys() == results(two).keys()
    for name in ("trainings/0/drawn.json", "architecture.txt", "architecture.json"):
        assert results(one)[name] == results(two)[name]
    # Which of the two trainings is shown may differ: their losses do, in the last digits.
    for folder in (one, two):
        alike = [read(one / f"trainings/{k}")[1] == read(two / f"trainings/{k}")[1] for k in (0, 1)]
        shown = [results(folder)[f"trainings/{k}/model.safetensors"] for k in (0, 1)]
        assert all(alike) and results(folder)["model.safetensors"] in shown
    losses = [tables.read_csv(folder / "history.csv")["train_loss"][0] for folder in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)  # single precision, see InDoubles


def test_a_mistake_is_named_in_one_line_once(stage, environment):
    """All processes meet it."""
    _, words = stage("mistake", 2, labels=100_000)
    ended = start(environment, sys.executable, *words)
    assert ended.returncode == 1 and ended.stdout == ""
    *bar, line = ended.stderr.replace("\r", "\n").splitlines()
    assert not [other for other in bar if other and "epoch" not in other]
    said = "runs.pneumonia.labels = 100000 is more than there are; accepted: "
    assert line.startswith(f"train: {said}") and line.endswith(" to 300, or all")


def test_an_error_of_the_first_process_ends_all(stage, environment):
    """The first process writes; the others wait for it."""
    folder, words = stage("nowhere", 2)
    (folder / "file").touch()
    words[words.index("--out") + 1] = folder / "file" / "out"
    ended = start(environment, sys.executable, *words)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("train: ") and str(folder / "file") in line


def worker(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.save(trained(folder), folder / f"{dist.get_rank()}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
