"""This clone of the repository: one run of the graph at a time, whatever a killed one has left."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from chestflow.errors import UserError

DVC = Path(".dvc/tmp")  # below the repository's root, where everything here is run
WHO = {"user.name": "chestflow", "user.email": "chestflow@localhost"}


@contextmanager
def claimed(command: str) -> Iterator[None]:
    """Run the body when no other `claimed` body and no other DVC process runs stages in this clone;
    until then, say who does, and wait."""
    if not DVC.parent.is_dir():
        raise UserError(f"{Path.cwd()} has no folder .dvc; run this in the repository's own folder")
    require_git()
    DVC.mkdir(exist_ok=True)
    with (DVC / "chestflow.lock").open("a+") as file:  # the system frees it however a process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            _say_waiting(command, file.read())
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()}, {command}")
        file.flush()
        mend(command)
        if others := holders():
            _say_waiting(command, others[0])
            while holders():
                time.sleep(1)
        mend_lock(command)
        unstage()
        yield


def _say_waiting(command: str, other: str) -> None:
    print(
        f"{command}: another run is at work in this folder ({other}); waiting until it ends."
        " Ctrl-C ends the waiting",
        flush=True,
    )


def mend(command: str) -> None:
    """Remove DVC's list of files in use if a killed process has left it unreadable, or if nobody
    whom it names is at work here. DVC reads no broken list, and takes whichever process has
    inherited a killed one's number for the one at work."""
    with (DVC / "rwlock.lock").open("a") as guard:  # a living process writes under this lock alone
        fcntl.flock(guard, fcntl.LOCK_EX)
        if (entries := _in_use()) is None:
            print(f"{command}: removed {DVC / 'rwlock'}, which a killed process left broken")
        if entries is None or (entries and not holders()):
            (DVC / "rwlock").unlink()


def mend_lock(command: str) -> None:
    """Put the last commit's dvc.lock in the place of one that a killed process left cut off; stages
    that ran since then are taken from DVC's run cache."""
    path = Path("dvc.lock")
    if not path.exists() or _is_whole(path):
        return
    committed = subprocess.run(["git", "show", "HEAD:./dvc.lock"], capture_output=True)
    if committed.returncode:  # never committed: DVC writes a new one
        path.unlink()
    else:
        new = path.with_suffix(".new")
        new.write_bytes(committed.stdout)
        new.replace(path)
    print(f"{command}: restored {path}, which a killed process left broken, from the last commit")


def unstage() -> None:
    """Take DVC's own files out of Git's index: an experiment that runs in the folder stages one for
    a moment, and a kill in that moment would leave it for the next commit."""
    staged = subprocess.run(["git", "ls-files", str(DVC)], capture_output=True, text=True)
    if staged.stdout:
        subprocess.run(["git", "rm", "-r", "--cached", "--force", "--quiet", str(DVC)], check=True)


def _is_whole(lock: Path) -> bool:
    """Whether dvc.lock holds what DVC requires of it."""
    try:
        held = yaml.load(lock.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        entries = [e for stage in held["stages"].values() for e in stage.get("outs", [])]
        entries += [e for stage in held["stages"].values() for e in stage.get("deps", [])]
        return (
            held["schema"] == "2.0"
            and all("cmd" in stage for stage in held["stages"].values())
            and all("path" in entry and "md5" in entry for entry in entries)
        )
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return False


def holders() -> list[str]:
    """The living processes, in words, whose stages DVC's list holds. A process younger than the
    list, or at work elsewhere, has only inherited the number of one that was killed."""
    written = (DVC / "rwlock").stat().st_mtime if (DVC / "rwlock").exists() else 0
    found = {entry["pid"]: entry["cmd"] for entry in _in_use() or []}
    return [f"process {pid}, {said}" for pid, said in found.items() if _at_work(pid, written)]


def _in_use() -> list[dict] | None:
    """DVC's entries of who reads and writes which files, or None if it could not read them."""
    try:
        held = json.loads((DVC / "rwlock").read_bytes())
        writers = [*held.get("write", {}).values()]
        entries = writers + [entry for each in held.get("read", {}).values() for entry in each]
        return [{"pid": int(entry["pid"]), "cmd": str(entry["cmd"])} for entry in entries]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _at_work(pid: int, moment: float) -> bool:
    """Whether a process works in this clone, and did so at a moment: in seconds, to within 2, by
    which a corrected clock may differ."""
    try:
        process = psutil.Process(pid)
        if process.create_time() > moment + 2:
            return False
        return Path(process.cwd()).is_relative_to(Path.cwd())
    except psutil.AccessDenied:  # another user's; it may be
        return True
    except psutil.NoSuchProcess:
        return False


def require_git() -> None:
    """Raise UserError outside of a Git repository, such as in a downloaded ZIP."""
    found = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True)
    if found.returncode:
        start = "git init && git add . && git -c user.name=me -c user.email=me@localhost commit"
        raise UserError(f"DVC needs a Git repository, and here is none; {start} -qm start")


def identify() -> None:
    """Give this clone a name for commits if Git has none: DVC commits what an experiment starts
    from when that is not the last commit."""
    if not Path(".git").exists() or all(_configured(key) for key in WHO):
        return
    for key, value in WHO.items():
        subprocess.run(["git", "config", "--local", key, value], check=True)
    print(
        "check: Git knows no name for your commits and DVC's; in this folder it is now"
        f" {WHO['user.name']} (change it: git config user.name, git config user.email)",
        file=sys.stderr,
    )


def _configured(key: str) -> bool:
    """Whether Git or its environment has a value for `user.name` or `user.email`."""
    part = key.removeprefix("user.").upper()
    given = os.environ.get(f"GIT_AUTHOR_{part}") and os.environ.get(f"GIT_COMMITTER_{part}")
    return (
        bool(given)
        or not subprocess.run(["git", "config", key], stdout=subprocess.DEVNULL).returncode
    )
