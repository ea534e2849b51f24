"""Several machines, as in docs/machines.md: clones, a bare repository, a DVC remote in a folder, a
Dask scheduler and a worker as real processes. Git knows no name on any of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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
        self.folder, self.processes = origin.folder.parent, []
        self.bare = Workspace(self.folder / "bare", origin.environment)
        origin.succeed("git", "clone", "--quiet", "--bare", ".", str(self.bare.folder))
        nameless = {k: v for k, v in origin.environment.items() if not k.startswith("GIT_")}
        home = {"HOME": str(self.folder / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
        (self.folder / "home").mkdir()
        self.environment = nameless | home

    def clone(self, name: str) -> Workspace:
        clone = self.bare.clone(self.folder / name)
        return Workspace(clone.folder, self.environment)

    def start(self, folder: Path, *words: str) -> None:
        """`dask <words>` in a folder; what it says goes to a file beside the folder."""
        command = [sys.executable, "-m", "dask", *words]
        with (self.folder / f"{folder.name}.log").open("w") as log:
            where = {"cwd": folder, "env": self.environment, "stdout": log, "stderr": log}
            self.processes.append(subprocess.Popen(command, start_new_session=True, **where))

    def scheduler(self) -> str:
        """Its address."""
        file = self.folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file")
        self.start(self.folder / "home", "scheduler", *words, str(file))
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


@pytest.fixture(scope="module")
def pulled(machines) -> Workspace:
    """Another clone, in which nothing has to be run, where Dask is not installed."""
    clone = machines.clone("pulled")
    assert not (clone.folder / "models").exists()
    clone.succeed("dvc", "pull", "--quiet")
    assert clone.changed() == set()
    assert clone.succeed("git", "status", "--porcelain") == ""
    without = machines.folder / "without"
    without.mkdir()
    (without / "distributed.py").write_text("raise ImportError")
    clone.environment = clone.environment | {"PYTHONPATH": str(without)}
    return clone


@pytest.fixture(scope="module")
def alone(pulled) -> Workspace:
    """A sweep on one machine."""
    pulled.succeed("chestflow", "check")
    pulled.ended = pulled.run("chestflow", "sweep")
    return pulled


def test_a_sweep_survives_a_failure_and_names_it(alone):
    assert alone.ended.returncode == 1
    assert "assert checked.width != 5" in alone.ended.stderr
    last = alone.ended.stderr.splitlines()[-1]
    assert last == "sweep: these experiments failed, see above: broken-x1"
    assert experiments(alone).keys() == {"plain-x1"}
    assert "| plain | schedule constant, augment [] | 18,218 |" in alone.read("sweep/sweep.md")
    report = json.loads(alone.read("sweep/sweep.json"))
    (row,) = report["configurations"]
    assert row["train_seconds"] > 0 and report["chosen"] == "plain"


def test_only_what_is_missing_is_run_by_the_next_call(alone, monkeypatch):
    """A name that stands for other parameters is not replaced."""
    monkeypatch.chdir(alone.folder)
    params = reading.params("params.yaml")
    assert sweep.missing(sweep.plan(params, GRID, list(GRID), 1)).keys() == {"broken-x1"}
    other = GRID | {"plain": {"schedule": "onecycle"}}
    with pytest.raises(UserError, match="on record with other parameters: plain-x1; rename"):
        sweep.missing(sweep.plan(params, other, list(other), 1))


def test_a_cluster_trains_the_same_and_pushes_it(machines, alone, monkeypatch, capsys):
    """One worker, in a clone of its own; what it has pushed, another clone need not run."""
    address = machines.scheduler()
    worker = machines.clone("worker")
    machines.start(worker.folder, "worker", address, "--nthreads", "1", "--no-dashboard")
    driver, second = machines.clone("driver"), machines.clone("second")
    for name in set(os.environ) - set(machines.environment):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", machines.environment["HOME"])
    monkeypatch.chdir(driver.folder)
    planned = sweep.plan(reading.params("params.yaml"), GRID, ["plain"], 1)
    refused = {"refused": ["--no-such-option"]}
    with cluster.connected(address) as client:
        cluster.run(client, cluster.shared_commit(), sweep.missing(planned) | refused)
    assert capsys.readouterr().err.count("refused failed: ") == 1, "though it was tried again"
    assert weights(driver, "plain-x1") == weights(alone, "plain-x1")

    monkeypatch.chdir(second.folder)
    options = SimpleNamespace(cluster=address)
    assert sweep.run(planned, options).keys() == {("plain", 1)}
    assert experiments(second) == experiments(driver) == experiments(machines.bare)


# ------------------------------------------------------------------- what the user can fix


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1:1"])
def test_an_address_where_nobody_answers_ends_in_one_line(monkeypatch, address):
    monkeypatch.setattr(cluster, "SECONDS", 1)
    with pytest.raises(UserError, match=f"cluster = '{address}': no scheduler answers; accepted"):
        cluster.connected(address).__enter__()


def test_a_machine_without_dask_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # importing it fails
    with pytest.raises(UserError, match=r"uv pip install -c requirements.txt -e \"\.\[cluster\]"):
        cluster.connected("tcp://127.0.0.1:8786").__enter__()


def test_workers_train_only_what_is_committed_and_pushed(machines, monkeypatch):
    driver = machines.clone("edited")
    monkeypatch.chdir(driver.folder)
    assert cluster.shared_commit() == driver.succeed("git", "rev-parse", "HEAD").strip()
    driver.replace("params.yaml", "width: 8", "width: 7")
    with pytest.raises(UserError, match=r"not committed: params\.yaml; workers"):
        cluster.shared_commit()
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    driver.succeed("git", *who, "commit", "--quiet", "--all", "--message", "state")
    with pytest.raises(UserError, match=r"not on origin.*git push origin HEAD"):
        cluster.shared_commit()
    driver.succeed("dvc", "config", "--local", "core.remote", "")
    with pytest.raises(UserError, match="dvc remote add -d store ADDRESS"):
        cluster.shared_commit()
