"""Experiments on a Dask cluster: workers run them, each in its own clone, and push the results.

`chestflow sweep --cluster` uses it. The function that workers run is sent to them as code, so it is
the driver's version, whatever the worker's clone held before.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from tqdm import tqdm

from chestflow.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

REMOTE = "origin"  # the Git remote of every clone
SECONDS = 10  # to wait for the scheduler's answer
SHAPING = ("params.yaml", "datasets.yaml", "dvc.yaml", ".dvc/config", "chestflow", "stages")


def call(*command: str) -> str:
    """What a command prints. Raises RuntimeError if it fails."""
    # Stages are started as `python`, which has to be this one also where nothing is activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed\n{ended.stdout}{ended.stderr}")
    return ended.stdout


# -------------------------------------------------------------------------- by the driver


@contextmanager
def connected(address: str) -> Iterator["Client"]:
    """A client of the scheduler at an address. Raises UserError where Dask is not installed, no
    scheduler answers, or a command fails while the client is in use."""
    try:
        import cloudpickle
        from distributed import Client
    except ImportError:
        install = 'uv pip install -c requirements.txt -e ".[cluster]"'
        raise UserError(f"--cluster needs the package distributed: {install}") from None
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        # Without an address, Dask would start a cluster on this machine.
        client = Client(address or "none", timeout=SECONDS)
    except (OSError, TypeError, ValueError):  # the last two: an address that is none
        raise UserError(
            f"cluster = {address!r}: no scheduler answers; accepted: the address that `dask"
            " scheduler` prints when it starts, such as tcp://scheduler:8786"
        ) from None
    try:
        with client:
            yield client
    except RuntimeError as error:
        raise UserError(" ".join(str(error).split())) from None


def shared_commit() -> str:
    """The current commit, which workers will fetch.

    Raises UserError if there are uncommitted changes, if the commit is not on the Git remote, or if
    DVC has no remote through which the outputs come back.
    """
    changed = call("git", "status", "--porcelain", "--untracked-files=no", "--", *SHAPING)
    if files := ", ".join(line[3:] for line in changed.splitlines()):
        raise UserError(f"not committed: {files}; workers train only what is committed and pushed")
    if not call("dvc", "config", "core.remote").strip():
        raise UserError(
            "DVC has no default remote for the workers' outputs; dvc remote add -d store ADDRESS,"
            f" commit .dvc/config, git push {REMOTE} HEAD"
        )
    call("git", "fetch", "--quiet", REMOTE)
    commit = call("git", "rev-parse", "HEAD").strip()
    if not call("git", "branch", "--remotes", "--list", f"{REMOTE}/*", "--contains", commit):
        raise UserError(f"commit {commit[:7]} is not on {REMOTE}; git push {REMOTE} HEAD")
    return commit


def run(client: "Client", commit: str, experiments: dict[str, list[str]]) -> None:
    """Run experiments (name -> arguments of `dvc exp run`) and pull each as it ends.

    One that fails is tried once more. What went wrong is printed, and does not stop the others.
    """
    from distributed import as_completed

    names = {}
    for name, arguments in experiments.items():
        work, key = (commit, name, arguments), f"{name}-{uuid4().hex}"
        names[client.submit(train_and_push, *work, key=key, retries=1)] = name
    print(f"cluster: {len(names)} to run; workers: {len(client.nthreads()) or 'none yet'}")
    with tqdm(total=len(names), desc="sweep", unit="experiment") as bar:
        for future in as_completed(names):
            if future.cancelled():
                raise UserError("the scheduler is gone; what was pushed until now is kept")
            if error := future.exception():
                tqdm.write(f"{names[future]} failed: {error}", file=sys.stderr)
            else:
                call("dvc", "exp", "pull", REMOTE, names[future])
            bar.update()


# ------------------------------------- by a worker: nothing of this repository is imported


def pushed(commit: str) -> set[str]:
    """The names of the experiments on a commit that are on the Git remote."""
    listed = call("git", "ls-remote", REMOTE, f"refs/exps/{commit[:2]}/{commit[2:]}/*")
    return {line.rpartition("/")[2] for line in listed.splitlines()}


def train_and_push(commit: str, name: str, arguments: list[str]) -> None:
    """Run an experiment in the current folder, a clone used for nothing else, and push it. Raises
    RuntimeError with the output of the step that fails."""
    here = f"{socket.gethostname()}:{os.getcwd()}"
    if not (Path(".git").exists() and Path("dvc.yaml").exists()):
        raise RuntimeError(f"{here} is no clone; start `dask worker` in the folder of one")
    if changed := call("git", "status", "--porcelain", "--untracked-files=no"):
        raise RuntimeError(f"{here} has uncommitted changes:\n{changed}")
    if name in pushed(commit):
        return  # already run, for a driver or by a worker that was lost before it could report
    call("git", "fetch", "--quiet", REMOTE)
    call("git", "checkout", "--quiet", "--detach", commit)
    # What no remote has is computed again. A run that could not push may have left an experiment.
    for words in (("fetch", "--with-deps", arguments[-1]), ("exp", "remove", name)):
        subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True)
    call("dvc", "exp", "run", "--temp", *arguments)
    # The outputs first (no Git reference is new to this clone itself): whoever finds the experiment
    # on the Git remote can then read all of it.
    call("dvc", "exp", "push", ".", name)
    call("dvc", "exp", "push", "--no-cache", REMOTE, name)
