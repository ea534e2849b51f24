"""The same graph where the surroundings are not what programs expect: a full disk, a read-only
folder, another umask or locale, no home, an odd path, warnings that are errors."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.torture import ground
from benchmarks.torture.attempts import Failed, Kind, Limits, NotPossible

LIMITS = Limits(seconds=300)
PIECE = ("configure", f"download@{ground.DATASET}", f"binarize@{ground.DATASET}", "scratch")
LARGER = (*PIECE, f"train@{ground.RUN}")
# torch and its company warn of what they themselves will change.
STRICT = ("-W", "error", "-W", "ignore::DeprecationWarning")
VARIABLES = {
    "umask 077": {"umask": 0o077},
    "umask 000": {"umask": 0},
    "locale C": {"LC_ALL": "C", "LANG": "C"},
    "locale without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Turkish locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "output in ASCII": {"PYTHONIOENCODING": "ascii"},
    "no HOME": {"HOME": None},
    "HOME does not exist": {"HOME": "/nonexistent/home"},
    "no TERM": {"TERM": None, "COLUMNS": "1"},
    "odd time zone": {"TZ": "Asia/Kathmandu"},
    "four threads": {"OMP_NUM_THREADS": "4"},
}
MEGABYTE = 1 << 20


def prepare(root: Path, quick: bool) -> None:
    ground.build(root, quick)


def _again(place: ground.Ground, random: Random, **changed) -> None:
    """Run a piece of the graph anew; everything must then be as it was."""
    place.forget([stage for stage in LARGER if stage in place.lock()["stages"]])
    commands = [ground.IDLE["chestflow repro"], ground.IDLE["dvc repro"]]
    place.succeed(*random.choice(commands), **changed)
    place.recover(ground.IDLE["dvc repro"])


def variables(name: str, random: Random, folder: Path) -> None:
    place, changes = ground.copied(folder.parents[1], folder / "graph"), dict(VARIABLES[name])
    umask = changes.pop("umask", None)
    for key, value in changes.items():
        place.environment.pop(key, None)
        if value is not None:
            place.environment[key] = value
    options = {} if umask is None else {"umask": umask}
    _again(place, random, **options)


def odd_path(name: str, random: Random, folder: Path) -> None:
    _again(ground.copied(folder.parents[1], folder / name), random)


def home_is_no_folder(random: Random, folder: Path) -> None:
    """DVC looks for its settings there, and may say that it cannot."""
    place = ground.copied(folder.parents[1], folder / "graph")
    place.forget(list(PIECE))
    place.environment["HOME"] = "/dev/null"
    _fails_well(place, random)
    place.environment["HOME"] = os.environ.get("HOME", "/")
    place.recover(ground.IDLE["dvc repro"])


def closed_stdin(random: Random, folder: Path) -> None:
    place = ground.copied(folder.parents[1], folder / "graph")
    place.forget(list(PIECE))
    command = shlex.join(ground.IDLE[random.choice(["chestflow repro", "dvc repro"])])
    place.succeed("sh", "-c", f"{command} <&-")
    place.recover(ground.IDLE["dvc repro"])


def strict(random: Random, folder: Path) -> None:
    """Every stage by hand, warnings being errors: all outputs are what they were."""
    place = ground.copied(folder.parents[1], folder / "graph")
    for stage, entry in place.lock()["stages"].items():
        for path in place.outs(stage):
            ground.remove(place.folder / path)
        words = shlex.split(entry["cmd"])
        place.succeed(words[0], *STRICT, *words[1:])
    if found := place.differences():
        raise Failed("; ".join(found))


# --------------------------------------------------------------------------------- small mounts


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A file system of its own, of a few bytes, at an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotPossible("mounts need root on Linux")
    ended = subprocess.run(["mount", *words], capture_output=True, text=True)
    if ended.returncode:
        raise NotPossible("this machine allows no mounts")


def _occupied(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def full_for_stage(random: Random, folder: Path) -> None:
    """A stage by hand, its outputs on a disk with next to no room: one line, and no half file."""
    place = ground.copied(folder.parents[1], folder / "graph")
    stage, entry = random.choice(list(place.lock()["stages"].items()))
    words = shlex.split(entry["cmd"])
    spot = random.choice([words.index(out) for out in place.outs(stage) if out in words])
    words[spot] = f"small/{words[spot]}"
    with mounted(place.folder / "small", 4096 * random.randint(1, 4)):
        ended = place.run(*words)
        # The folder itself takes a page; the rest may suffice for what is small.
        if ended.returncode:
            _in_one_line(stage, ended)
    place.recover()


def _in_one_line(stage: str, ended: subprocess.CompletedProcess) -> None:
    kind = stage.partition("@")[0]
    last = [line for line in ended.stdout.splitlines() if line.startswith(f"{kind}: ")]
    if "Traceback" in ended.stdout or not last:
        raise Failed(f"{stage} does not end in one line: {ended.stdout[-3000:]}")


def full_disk(random: Random, folder: Path) -> None:
    """The graph on a disk that fills while it runs; once there is room, it goes on."""
    with mounted(folder / "disk", 1 << 30):
        place = ground.copied(folder.parents[1], folder / "disk/graph")
        place.forget(list(PIECE))
        room = random.randrange(4096, MEGABYTE // 4)
        _mount("-o", f"remount,size={_occupied(folder / 'disk') + room}", str(folder / "disk"))
        _fails_well(place, random)
        _mount("-o", f"remount,size={1 << 30}", str(folder / "disk"))
        place.recover(ground.IDLE["chestflow repro"], ground.IDLE["dvc repro"])


def read_only(random: Random, folder: Path) -> None:
    """The whole folder, or the one that stages write to, cannot be written for a while."""
    with mounted(folder / "disk", 1 << 30):
        place = ground.copied(folder.parents[1], folder / "disk/graph")
        place.forget(list(PIECE))
        where = random.choice([folder / "disk", place.folder / "models", place.folder / "data"])
        if where != folder / "disk":
            _mount("--bind", str(where), str(where))
        try:
            _mount("-o", "remount,bind,ro", str(where))
            _fails_well(place, random)
        finally:
            if where != folder / "disk":
                subprocess.run(["umount", "--lazy", str(where)], check=True)
            else:
                _mount("-o", "remount,bind,rw", str(where))
        place.recover(ground.IDLE["chestflow repro"], ground.IDLE["dvc repro"])


def _fails_well(place: ground.Ground, random: Random) -> None:
    command = ground.IDLE[random.choice(["chestflow repro", "dvc repro"])]
    ended = place.run(*command)
    if "Traceback" in ended.stdout:
        raise Failed(f"{' '.join(command)} shows a traceback: {ended.stdout[-3000:]}")
    if ended.returncode and not ended.stdout.strip():
        raise Failed(f"{' '.join(command)} ended with {ended.returncode} and says nothing")


def _kinds() -> dict[str, Kind]:
    found: dict[str, Callable[[Random, Path], None]] = {
        name: partial(variables, name) for name in VARIABLES
    }
    for path in ("two words", "Übung ß", "a;b $(c) 'd'"):
        found[f"path: {path}"] = partial(odd_path, path)
    found |= {
        "HOME is no folder": home_is_no_folder,
        "no stdin": closed_stdin,
        "warnings are errors": strict,
    }
    kinds = {name: Kind(attempt, 1) for name, attempt in found.items()}
    mounts = {"full disk, a stage": full_for_stage, "full disk, the graph": full_disk}
    mounts |= {"read-only folder": read_only}
    return kinds | {name: Kind(attempt, 4) for name, attempt in mounts.items()}


KINDS = _kinds()
