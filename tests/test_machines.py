"""Several machines, as in docs/machines.md: clones, a bare repository, a DVC remote in a folder, a
Dask scheduler and a worker as real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from workspace import Workspace

from chestflow.commands import cluster, sweep
from chestflow.config import reading
from chestflow.errors import UserError

# The second is made to fail, in stage `configure`.
GRID = {"plain": {"schedule": "constant", "augment": []}, "broken": {"width": 5}}
WEIGHTS = "models/pneumonia/model.safetensors"


class Machines:
    """The folder that all share, and the processes that stand for machines of the cluster."""

    def __init__(self, origin: Workspace):
        self.folder, self.environment, self.processes = origin.folder.parent, origin.environment, []
        self.bare = Workspace(self.folder / "bare", origin.environment)
        origin.succeed("git", "clone", "--quiet", "--bare", ".", str(self.bare.folder))

    def clone(self, name: str) -> Workspace:
        return self.bare.clone(self.folder / name)

    def start(self, folder: Path, *words: str) -> None:
        """`dask <words>` in a folder; what it says goes to a file beside the folder."""
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        with (self.folder / f"{folder.name}.log").open("w") as log:
            where = {"cwd": folder, "env": self.environment, "stdout": log, "stderr": log}
            self.processes.append(subprocess.Popen(command, start_new_session=True, **where))

    def scheduler(self) -> str:
        """Its address."""
        file = self.folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        self.start(self.bare.folder, "scheduler", *words)
        while not (file.exists() and file.read_text().endswith("}")):
            assert self.processes[-1].poll() is None, "the scheduler has ended"
            time.sleep(0.05)
        return json.loads(file.read_text())["address"]

    def stop(self) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="module")
def machines(graph, tmp_path_factory):
    """All results of the graph are committed and pushed, as the page says."""
    origin = graph.copy(tmp_path_factory.mktemp("machines") / "origin")
    grid = {"best": 1, "trainings": 1, "configurations": GRID}
    origin.write("sweep/grid.yaml", yaml.safe_dump(grid, sort_keys=False))
    checked = "    write_scratch(scratch)\n"
    origin.replace("stages/configure.py", checked, f"{checked}    assert checked.width != 5\n")
    origin.succeed("dvc", "remote", "add", "--default", "store", str(origin.folder / "../store"))
    origin.succeed("dvc", "commit", "--force", "configure")
    origin.commit()
    origin.succeed("dvc", "push", "--quiet")
    machines = Machines(origin)
    yield machines
    machines.stop()


def experiments(space: Workspace) -> dict[str, str]:
    """Name -> commit of every experiment of a sweep on record in a clone."""
    listed = space.succeed("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    refs = dict(line.split() for line in listed.splitlines())
    return {ref.rpartition("/")[2]: sha for ref, sha in refs.items() if "-x" in ref}


def weights(space: Workspace, experiment: str) -> str:
    words = ("--show-hash", "--json", "--rev", experiment)
    return json.loads(space.succeed("dvc", "ls", *words, ".", WEIGHTS))[0]["md5"]


def missing(configurations: dict) -> dict[str, list[str]]:
    """What a sweep in the current folder would run."""
    params = reading.params("params.yaml").model_dump(exclude_unset=True)
    once = {"trainings": 1, "timing": True}
    return sweep.missing(params, {name: c | once for name, c in configurations.items()})


@pytest.fixture(scope="module")
def alone(machines) -> Workspace:
    """A sweep on one machine, on which nothing else has to be run."""
    clone = machines.clone("alone")
    assert not (clone.folder / "models").exists()
    clone.succeed("dvc", "pull", "--quiet")
    assert clone.changed() == set()
    clone.ended = clone.run("chestflow", "sweep")
    return clone


def test_a_sweep_survives_a_failure_and_names_it(alone):
    assert alone.ended.returncode == 1
    assert "assert checked.width != 5" in alone.ended.stderr
    last = alone.ended.stderr.splitlines()[-1]
    assert last == "sweep: these configurations failed, see above: broken"
    assert experiments(alone).keys() == {"plain-x1"}
    assert "| plain | schedule constant, augment [] | 18,218 |" in alone.read("sweep/sweep.md")
    report = json.loads(alone.read("sweep/sweep.json"))
    (row,) = report["configurations"]
    assert row["train_seconds"] > 0 and report["chosen"] == "plain"


def test_only_what_is_missing_is_run_by_the_next_call(alone, monkeypatch):
    """By its parameters, not by its name; DVC itself refuses to replace an experiment."""
    monkeypatch.chdir(alone.folder)
    assert missing(GRID).keys() == {"broken-x1"}
    todo = missing({"plain": {"schedule": "onecycle"}})
    said = alone.run("dvc", "exp", "run", "--temp", *todo["plain-x1"]).stderr
    assert "already exists" in said or "conflicts" in said


def test_a_cluster_trains_the_same_and_pushes_it(machines, alone, monkeypatch, capsys):
    """One worker, in a clone of its own; what it has pushed, another clone need not run."""
    address = machines.scheduler()
    machines.start(machines.clone("worker").folder, "worker", address, "--nthreads", "1")
    driver, second = machines.clone("driver"), machines.clone("second")
    plain, refused = {"plain": GRID["plain"]}, {"refused": ["--no-such-option"]}
    with cluster.connect(address) as client:
        monkeypatch.chdir(driver.folder)
        cluster.run(client, cluster.shared_commit(), missing(plain) | refused)
        assert capsys.readouterr().err.count("refused failed: ") == 1, "though it was tried again"
        assert weights(driver, "plain-x1") == weights(alone, "plain-x1")
        assert not missing(plain)

        monkeypatch.chdir(second.folder)
        cluster.run(client, cluster.shared_commit(), missing(plain))
    assert experiments(second) == experiments(driver) == experiments(machines.bare)


# ------------------------------------------------------------------- what the user can fix


@pytest.mark.parametrize("address", ["scheduler", "tcp://127.0.0.1:1"])
def test_an_address_where_nobody_answers_ends_in_one_line(monkeypatch, address):
    monkeypatch.setattr(cluster, "SECONDS", 1)
    with pytest.raises(UserError, match=f"cluster = '{address}': .*; accepted: the address"):
        cluster.connect(address)


def test_a_machine_without_dask_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # importing it fails
    with pytest.raises(UserError, match=r"uv pip install -c requirements.txt -e \"\.\[cluster\]"):
        cluster.connect("tcp://127.0.0.1:8786")


def test_workers_train_only_what_is_committed_and_pushed(machines, monkeypatch):
    driver = machines.clone("edited")
    monkeypatch.chdir(driver.folder)
    assert cluster.shared_commit() == driver.succeed("git", "rev-parse", "HEAD").strip()
    driver.replace("sweep/grid.yaml", "best: 1", "best: 2")
    cluster.shared_commit()
    driver.replace("params.yaml", "width: 8", "width: 7")
    for commit in (lambda: None, driver.commit):
        commit()
        with pytest.raises(UserError, match=r"what is committed and pushed"):
            cluster.shared_commit()
    driver.succeed("git", "push", "--quiet", "origin", "HEAD:refs/heads/other")
    driver.succeed("dvc", "config", "--local", "core.remote", "")
    with pytest.raises(UserError, match="dvc remote add -d store ADDRESS"):
        cluster.shared_commit()


def test_a_sweep_in_a_shallow_clone_says_what_to_do(machines):
    """DVC would train, and keep nothing."""
    folder = str(machines.folder / "shallow")
    machines.bare.succeed(
        "git", "clone", "--quiet", "--depth", "1", f"file://{machines.bare.folder}", folder
    )
    ended = Workspace(Path(folder), machines.environment).run("chestflow", "sweep")
    assert ended.returncode == 1 and "git fetch --unshallow" in ended.stderr
