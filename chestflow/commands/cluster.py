"""Experiments on a Dask cluster: workers run them, each in its own clone, and push the results.

`chestflow sweep --cluster` uses it. Workers are sent shell commands, and import nothing of ours.
"""

import subprocess
import sys

from tqdm import tqdm

from chestflow.errors import UserError, few

SECONDS = 10  # to wait for the scheduler's answer

# What a worker runs with bash -e, in a clone used for nothing else: $0 is the experiment's name, $1
# the commit, and the rest the arguments of `dvc exp run`.
TRAIN_AND_PUSH = """
name=$0; commit=$1; shift
git fetch --quiet origin
git diff --stat --exit-code HEAD  # or it would train what is not committed
# Run already, for another driver or by a worker that was lost before it could report?
git ls-remote --exit-code origin refs/exps/${commit:0:2}/${commit:2}/$name && exit
git checkout --quiet --detach $commit
dvc fetch --with-deps ${@: -1} || true  # what no remote has is computed again
dvc exp remove $name || true  # of a run that could not push
dvc exp run --temp "$@"
# The outputs first (no Git reference is new to this clone itself): whoever finds the experiment on
# the Git remote can then read all of it.
dvc exp push . $name
dvc exp push --no-cache origin $name
"""


def connect(address: str):
    """A client of the scheduler at an address. Raises UserError if none answers, or if Dask is not
    installed."""
    try:
        from distributed import Client

        return Client(address, timeout=SECONDS)
    except (ImportError, OSError, ValueError) as error:
        raise UserError(
            f"cluster = {address!r}: {error}; accepted: the address that `dask scheduler` prints,"
            " such as tcp://scheduler:8786; to install Dask:"
            ' uv pip install -c requirements.txt -e ".[cluster]"'
        ) from None


def shared_commit() -> str:
    """The current commit, which workers will fetch. Raises UserError if it is not on the Git
    remote, if there are uncommitted changes (sweep/ apart), or if DVC has no remote through which
    the outputs come back."""
    call("git", "fetch", "--quiet", "origin")
    changed = call("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!sweep")
    if changed or not call("git", "branch", "--remotes", "--contains", "HEAD"):
        uncommitted = few([line[3:] for line in changed.splitlines()]) or "nothing"
        raise UserError(
            "workers train what is committed and pushed; git commit, git push origin HEAD (not"
            f" committed: {uncommitted})"
        )
    if not call("dvc", "config", "core.remote").strip():
        raise UserError(
            "no default remote for the outputs; dvc remote add -d store ADDRESS, git commit"
        )
    return call("git", "rev-parse", "HEAD").strip()


def call(*command: str) -> str:
    """What a command prints. Raises UserError, with what it says, if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"{' '.join(command)} failed: {' '.join(ended.stderr.split())}")
    return ended.stdout


def run(client, commit: str, experiments: dict[str, list[str]]) -> None:
    """Run experiments (name -> arguments of `dvc exp run`) and pull each as it ends.

    One that fails is tried once more. What went wrong is printed, and does not stop the others.
    """
    from distributed import as_completed

    captured = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    names = {}
    for name, arguments in experiments.items():
        bash = ["bash", "-ec", TRAIN_AND_PUSH, name, commit, *arguments]
        job = client.submit(subprocess.run, bash, **captured, check=True, pure=False, retries=1)
        names[job] = name
    print(f"cluster: {len(names)} to run; workers: {len(client.nthreads()) or 'none yet'}")
    for job in tqdm(as_completed(names), "sweep", len(names), unit="experiment"):
        if error := job.exception():
            said = getattr(error, "output", error)  # of the step that failed
            tqdm.write(f"{names[job]} failed: {said}", file=sys.stderr)
        else:
            call("dvc", "exp", "pull", "origin", names[job])
