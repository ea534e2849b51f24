"""Experiments on a Dask cluster: a worker runs each in its own clone and pushes what came out.

No command of its own: `chestflow sweep --cluster` calls it. What a worker does is sent to it as
code, so that it is the driver's version, whatever the worker's clone held before.
"""

import fcntl
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
    from distributed import Client, Future

REMOTE = "origin"  # Git's, in every clone
SECONDS = 10  # to wait for the scheduler's answer
SHAPING = ("params.yaml", "datasets.yaml", "dvc.yaml", ".dvc/config", "chestflow", "stages")

# DVC as a program that ends when the worker that started it is killed; its stages then end as well.
DVC = """
import os, sys, threading, time
def outlive(worker):
    while os.getppid() == worker:
        time.sleep(0.5)
    os._exit(1)
threading.Thread(target=outlive, args=[os.getppid()], daemon=True).start()
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""


# -------------------------------------------------------------------------- by the driver


@contextmanager
def connected(address: str) -> Iterator["Client"]:
    """A client of the scheduler at an address; when it closes, what has not begun is cancelled.

    Raises UserError where Dask is not installed or no scheduler answers.
    """
    try:
        import cloudpickle
        from distributed import Client
    except ImportError:
        install = 'uv pip install -c requirements.txt -e ".[cluster]"'
        raise UserError(f"--cluster needs the package distributed: {install}") from None
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        if not address:  # Dask would start a cluster on this machine
            raise ValueError
        client = Client(address, timeout=SECONDS)
    except (OSError, TypeError, ValueError):  # the last two: an address that is none
        raise UserError(
            f"cluster = {address!r}: no scheduler answers; accepted: the address that `dask"
            " scheduler` prints when it starts, such as tcp://scheduler:8786"
        ) from None
    with client:
        yield client


def shared_commit() -> str:
    """The current commit, which workers will fetch.

    Raises UserError unless it is all that shapes results, is on the Git remote, and DVC has a
    remote to bring the outputs back.
    """
    changed = ask("git", "status", "--porcelain", "--untracked-files=no", "--", *SHAPING)
    if files := ", ".join(line[3:] for line in changed.splitlines()):
        raise UserError(
            f"not committed: {files}; workers train what is committed and pushed:"
            f" git commit --all, git push {REMOTE} HEAD, then the same command again"
        )
    if not ask("dvc", "config", "core.remote").strip():
        raise UserError(
            "DVC has no default remote for the workers' outputs; dvc remote add -d store ADDRESS,"
            f" commit .dvc/config, git push {REMOTE} HEAD"
        )
    ask("git", "fetch", "--quiet", REMOTE)
    commit = ask("git", "rev-parse", "HEAD").strip()
    if not ask("git", "branch", "--remotes", "--list", f"{REMOTE}/*", "--contains", commit):
        raise UserError(
            f"commit {commit[:7]} is not on {REMOTE}, from where workers fetch it;"
            f" git push {REMOTE} HEAD"
        )
    return commit


def ask(*command: str) -> str:
    """What a command prints. Raises UserError if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"{shlex.join(command)} failed: {' '.join(ended.stderr.split())}")
    return ended.stdout


def pull_finished(commit: str, names: list[str]) -> None:
    """Fetch those of the named experiments that are on the Git remote already."""
    listed = ask("git", "ls-remote", REMOTE, f"refs/exps/{commit[:2]}/{commit[2:]}/*")
    on_remote = {line.rpartition("/")[2] for line in listed.splitlines()}
    if found := [name for name in names if name in on_remote]:
        ask("dvc", "exp", "pull", REMOTE, *found)


def run(client: "Client", commit: str, experiments: dict[str, list[str]]) -> None:
    """Run experiments (name -> arguments of `dvc exp run`) and pull each as it ends.

    One that fails is tried once more, on another worker if there is one. What went wrong is
    printed, and does not stop the others.
    """
    from distributed import as_completed

    workers = len(client.nthreads()) or "none yet, waiting for the first"
    print(f"cluster: {len(experiments)} to run; workers: {workers}")
    first = {name: submit(client, commit, name, given) for name, given in experiments.items()}
    names = {future.key: name for name, future in first.items()}
    ended = as_completed(first.values())
    with tqdm(total=len(experiments), desc="sweep", unit="experiment") as bar:
        for future in ended:
            name = names[future.key]
            worker, error = outcome(future, name)
            again = bool(worker and error) and future.key == first[name].key
            if error:
                then = "; it is tried once more" if again else ""
                tqdm.write(f"{name} failed{then}: {error}", file=sys.stderr)
            if again:
                retried = submit(client, commit, name, experiments[name], avoid=worker)
                names[retried.key] = name
                ended.add(retried)
            bar.update(not again)


def submit(
    client: "Client", commit: str, name: str, arguments: list[str], avoid: str = ""
) -> "Future":
    """avoid: the address of a worker that should not be given this experiment, if there are
    others."""
    others = [worker for worker in client.nthreads() if worker != avoid]
    return client.submit(
        lambda: experiment(commit, name, arguments),  # a lambda is pickled by value
        key=f"{name}-{uuid4().hex}",
        workers=others if avoid and others else None,
        allow_other_workers=bool(avoid and others),
    )


def outcome(future: "Future", name: str) -> tuple[str, str]:
    """The address of the worker that ran an experiment, if it lived to tell, and what went wrong,
    if anything; what went well is pulled. Raises UserError if the scheduler is gone."""
    try:
        if future.cancelled():
            raise ConnectionError
        if lost := future.exception():  # Dask has tried several workers
            return "", f"{type(lost).__name__}: {lost}"
        worker, error = future.result()
    except OSError:
        raise UserError(
            "the scheduler is gone; start it and its workers, then the same command again: what"
            " was pushed until now is kept"
        ) from None
    try:
        if not error:
            ask("dvc", "exp", "pull", REMOTE, name)
    except UserError as failed:
        error = str(failed)
    return worker, error


# ------------------------------------- by a worker: nothing of this repository is imported


def experiment(commit: str, name: str, arguments: list[str]) -> tuple[str, str]:
    """Run an experiment in the current folder, a clone, and push it. Returns the worker's address
    and what went wrong, if anything."""
    from distributed import get_worker

    worker = get_worker().address
    try:
        check_clone()
        with open(".dvc/tmp/chestflow.lock", "a") as file:  # as `clone.claimed`: one run at a time
            fcntl.flock(file, fcntl.LOCK_EX)
            train_and_push(commit, name, arguments)
        return worker, ""
    except (OSError, RuntimeError) as error:
        return worker, f"worker {worker}, {socket.gethostname()}:{os.getcwd()}: {error}"


def check_clone() -> None:
    """Raises RuntimeError if the current folder is none in which the driver's commit can be run."""
    if not (Path(".git").exists() and Path("dvc.yaml").exists()):
        raise RuntimeError("no clone of the repository; start `dask worker` in the folder of one")
    if changed := call("git", "status", "--porcelain", "--untracked-files=no"):
        files = ", ".join(line[3:] for line in changed.splitlines())
        raise RuntimeError(f"uncommitted changes of {files}; a clone for a worker alone has none")
    Path(".dvc/tmp").mkdir(exist_ok=True)


def train_and_push(commit: str, name: str, arguments: list[str]) -> None:
    """Raises RuntimeError with all that was said, if a step fails."""
    if call("git", "ls-remote", REMOTE, f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"):
        return  # by a worker that was lost before it could tell
    if call("git", "rev-parse", "HEAD").strip() != commit:
        call("git", "fetch", "--quiet", REMOTE)
        call("git", "checkout", "--quiet", "--detach", commit)
    dvc("fetch", "--with-deps", arguments[-1], must=False)  # what no remote has is made anew
    dvc("exp", "remove", name, must=False)  # left by a run that ended before it could push
    dvc("exp", "run", "--temp", *arguments)
    # The outputs first (no Git reference is new to this clone itself): whoever finds the experiment
    # on the Git remote can then read all of it.
    dvc("exp", "push", ".", name)
    dvc("exp", "push", "--no-cache", "--force", REMOTE, name)


def dvc(*words: str, must: bool = True) -> None:
    call("dvc", *words, program=(sys.executable, "-c", DVC), must=must)


def call(*command: str, program: tuple[str, ...] = (), must: bool = True) -> str:
    """What a command prints; `program` is started in place of its first word. Raises RuntimeError
    if it fails and must not."""
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for the stages
    ended = subprocess.run(
        [*(program or command[:1]), *command[1:]],
        env=os.environ | {"PATH": found},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ended.returncode and must:
        raise RuntimeError(f"{shlex.join(command)}\n{ended.stdout}{ended.stderr}")
    return ended.stdout
