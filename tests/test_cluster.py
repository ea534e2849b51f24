"""A sweep on a cluster: a scheduler and two workers as real processes, three clones, a bare
repository and a DVC remote in a folder. No Git identity anywhere, as on a fresh machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from workspace import RESULTS, Workspace

from benchmarks.orchestration import shrink
from chestflow.commands import cluster
from chestflow.errors import UserError

GOOD = {"plain": {"schedule": "constant", "augment": []}, "narrow": {"width": 4}}
GRIDS = {
    "good": GOOD,
    "all": GOOD | {"broken": {"width": 5}},  # the training of width 5 is made to fail
    "new": GOOD | {"new": {"width": 6}},
    "other": GOOD | {"narrow": {"width": 3}},
}


class Grounds:
    """What the machines of a cluster share, and the processes that stand for these machines."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.processes = folder, []
        self.environment = {k: v for k, v in environment.items() if not k.startswith("GIT_")}
        self.environment |= {"HOME": str(folder / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
        (folder / "home").mkdir()

    def clone(self, name: str) -> Workspace:
        bare, target = self.folder / "bare", self.folder / name
        subprocess.run(["git", "clone", "--quiet", bare, target], check=True)
        return Workspace(target, self.environment, leave=("",))  # nothing else is copied

    def start(self, folder: Path, *words: str) -> psutil.Process:
        """`dask <words>` in a folder; what it says goes to a file beside the folder."""
        with (self.folder / f"{folder.name}.log").open("w") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(started)
        return psutil.Process(started.pid)

    def worker(self, folder: Path) -> psutil.Process:
        return self.start(folder, "worker", self.address, "--nthreads", "1", "--no-dashboard")

    def scheduler(self) -> None:
        """Raises AssertionError if none answers; `address` is where it does."""
        (self.folder / "scheduler").mkdir()
        file = self.folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file")
        self.start(self.folder / "scheduler", "scheduler", *words, str(file))
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            process.wait(30)


def wait_for(reached, seconds: float = 120):
    """What `reached` returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def grounds(tmp_path_factory, environment, shrunken):
    """Data are made once and pushed; the workers' experiments only train and evaluate."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "origin").mkdir()
    space = Workspace(folder / "origin", environment, leave=("dvc.lock", *RESULTS))
    space.succeed("git", "init", "--quiet", "--initial-branch", "main")
    space.set_params(shrink(yaml.safe_load(space.read("datasets.yaml"))), "datasets.yaml")
    space.set_params(shrunken)
    build = "        network = build("
    space.replace("stages/train.py", build, f"        assert run.width != 5\n{build}")
    space.succeed("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    space.succeed("dvc", "repro", "binarize@pneumoniamnist", "scratch")
    space.commit()
    space.succeed("dvc", "push")
    space.succeed("git", "clone", "--quiet", "--bare", ".", str(folder / "bare"))
    grounds = Grounds(folder, environment)
    for name, configurations in GRIDS.items():
        grid = {"best": 1, "trainings": 1, "configurations": configurations}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    grounds.scheduler()
    yield grounds
    grounds.stop()


def command(space: Workspace, grid: str, *words: str) -> tuple[str, ...]:
    return space.chestflow("sweep", "--grid", f"../{grid}.yaml", *words)


def sweep(space: Workspace, grid: str, *words: str) -> subprocess.CompletedProcess:
    return space.run(*command(space, grid, *words))


def experiments(space: Workspace) -> dict[str, str]:
    """Name -> commit of every experiment on record in a clone."""
    listed = space.succeed("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    found = dict(line.split() for line in listed.splitlines())
    return {ref.rpartition("/")[2]: sha for ref, sha in found.items() if "-x" in ref}


def weights(space: Workspace, name: str) -> dict[str, str]:
    """File -> hash of the networks that an experiment has trained; other files hold times."""
    words = ("dvc", "ls", "--recursive", "--show-hash", "--json", "--rev", name)
    listed = json.loads(space.succeed(*words, ".", "models/pneumonia"))
    found = {entry["path"]: entry["md5"] for entry in listed}
    return {path: md5 for path, md5 in found.items() if path.endswith(".safetensors")}


@pytest.fixture(scope="module")
def swept(grounds, tmp_path_factory):
    """A sweep of whose two workers one was killed in the middle of a training; and, beside what is
    left of the cluster, the same sweep on one machine where importing `distributed` fails."""
    driver, alone = grounds.clone("driver"), grounds.clone("alone")
    alone.succeed("dvc", "fetch", "--with-deps", "binarize@pneumoniamnist", "scratch")
    without = tmp_path_factory.mktemp("without")
    (without / "distributed.py").write_text("raise ImportError")
    alone.environment = alone.environment | {"PYTHONPATH": str(without)}

    workers = [grounds.worker(grounds.clone(f"worker{k}").folder) for k in (1, 2)]
    with begin(driver, "all", "--cluster", grounds.address) as running:
        victim = wait_for(lambda: running.poll() or next(filter(trains, workers), None))
        assert running.poll() is None, running.communicate()
        grounds.orphans = kill(victim)
        with begin(alone, "good") as beside:
            grounds.out, grounds.err = running.communicate()
            assert beside.communicate() and beside.returncode == 0
    grounds.code, grounds.driver, grounds.alone = running.returncode, driver, alone
    return grounds


def begin(space: Workspace, grid: str, *words: str) -> subprocess.Popen:
    """A sweep that is not waited for."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(space, grid, *words),
        cwd=space.folder,
        env=space.environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def trains(worker: psutil.Process) -> bool:
    try:
        processes = worker.children(recursive=True)
        return any("stages.train" in word for each in processes for word in each.cmdline())
    except psutil.NoSuchProcess:  # one of them has just ended
        return False


def kill(worker: psutil.Process) -> list[psutil.Process]:
    """Kill a worker and the nanny that would start it again; returns what they leave at work."""
    own = [worker, *worker.children()]
    orphans = [each for each in worker.children(recursive=True) if each not in own]
    for process in own:
        process.kill()
    return orphans


def works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ------------------------------------------------------------------------------ on a cluster


def test_all_experiments_end_though_a_worker_is_killed(swept):
    assert set(experiments(swept.driver)) == {"plain-x1", "narrow-x1"}, swept.err
    assert "cluster: 3 to run; workers: " in swept.out
    report = json.loads(swept.driver.read("sweep/sweep.json"))
    assert {row["name"] for row in report["configurations"]} == set(GOOD)
    wait_for(lambda: not any(map(works, swept.orphans)), 30)


def test_what_always_fails_is_tried_twice_and_named(swept):
    assert swept.code == 1
    assert swept.err.count("broken-x1 failed") == 2, swept.err
    assert swept.err.count("tried once more") == 1 and "assert run.width != 5" in swept.err
    last = swept.err.splitlines()[-1]
    assert last == "sweep: these experiments failed, see above: broken-x1"


def test_the_models_are_those_of_one_machine_without_dask(swept):
    for name in ("plain-x1", "narrow-x1"):
        here, there = weights(swept.alone, name), weights(swept.driver, name)
        assert here == there and "model.safetensors" in here


def test_another_clone_takes_what_was_pushed_and_runs_nothing(swept):
    second, before = swept.clone("second"), experiments(swept.driver)
    ended = sweep(second, "good", "--cluster", swept.address)
    assert ended.returncode == 0, ended.stderr
    assert experiments(second) == before
    assert experiments(Workspace(swept.folder / "bare", swept.environment, leave=("",))) == before


def test_a_second_call_runs_only_what_is_missing(swept, tmp_path):
    """By a worker outside a clone, the only one that is left: it can do nothing, and is named."""
    for process in swept.processes[1:]:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    swept.worker(tmp_path)
    before = experiments(swept.driver)
    ended = sweep(swept.driver, "new", "--cluster", swept.address)
    assert "cluster: 1 to run" in ended.stdout and experiments(swept.driver) == before
    assert ended.returncode == 1 and ended.stderr.count("new-x1 failed") == 2, ended.stderr
    assert f"{socket.gethostname()}:{tmp_path}: no clone of the repository" in ended.stderr


# ------------------------------------------------------------------- what the user can fix


def refused(space: Workspace, address: str, grid: str) -> str:
    """The one line that a sweep ends with."""
    ended = sweep(space, grid, "--cluster", address)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_an_address_where_nobody_answers_ends_in_one_line(swept):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        said = refused(swept.driver, address, "new")
    assert f"'{address}': no scheduler answers; accepted: the address that" in said


def test_an_empty_address_starts_no_cluster_on_this_machine():
    with pytest.raises(UserError, match="cluster = '': no scheduler"), cluster.connected(""):
        pass


def test_a_machine_without_dask_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # importing it fails
    with pytest.raises(UserError, match=r"uv pip install -c requirements.txt -e \"\.\[cluster\]"):
        cluster.connected("tcp://127.0.0.1:8786").__enter__()


def test_workers_train_only_what_is_committed_and_pushed(grounds, monkeypatch):
    driver = grounds.clone("edited")
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


def test_a_name_that_stands_for_other_parameters_is_not_replaced(swept):
    before = experiments(swept.driver)
    said = refused(swept.driver, swept.address, "other")
    assert "on record with other parameters: narrow-x1; rename" in said
    remove = said.partition("as by ")[2].strip()
    assert remove == "dvc exp remove narrow-x1; dvc exp remove --git-remote origin narrow-x1"
    assert experiments(swept.driver) == before
