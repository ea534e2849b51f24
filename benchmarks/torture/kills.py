"""Signals at a random moment of the commands that run the graph; then the documented recovery."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from multiprocessing import current_process
from pathlib import Path
from random import Random

import psutil

from benchmarks.torture import ground
from benchmarks.torture.attempts import Failed, Kind, Limits, NotPossible, wait_until

LIMITS = Limits(seconds=300)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("group", "runner alone", "stage alone")
# Mostly stages that take a second: what is tried is the moment, not the stage.
CHEAP = ("configure", "scratch", f"download@{ground.DATASET}", f"binarize@{ground.DATASET}")
LONG = ("compare", "report", f"train@{ground.RUN}", f"evaluate@{ground.RUN}")
END, ORPHANS = 60, 15  # seconds for the command to end, and then for what it has started
BROKEN = (b"", b"{", b"\0" * 40, b'{"/x": {"write": {"pid": 1, "cmd', b"[]", b"null")
PLAIN = (ground.IDLE["chestflow repro"],)  # which ends with a plain `dvc repro`
# HEAD and --force: DVC may have staged the experiment's params.yaml, and outputs it never saved.
RESTORE = (("git", "checkout", "--quiet", "HEAD", "."), ("dvc", "checkout", "--quiet", "--force"))


def prepare(root: Path, quick: bool) -> None:
    ground.build(root, quick)


def kill(name: str, target: str, random: Random, folder: Path) -> None:
    """Run the command over a few stages that have to run again, and send it a signal."""
    place, sent = _ground(folder), random.choice(SIGNALS)
    command, recovery, share = ground.IDLE[name], PLAIN, random.random()
    known = place.reference["seconds"]
    stages = random.sample(CHEAP, random.randint(1, 3))
    if random.random() < 0.25:
        stages += [stage for stage in random.sample(LONG, 1) if stage in known]
    if (
        name == "dvc exp run" and f"train@{ground.RUN}" in known and random.random() < 0.5
    ):  # with a change, which is to be undone
        stages, recovery = [], (*RESTORE, *PLAIN)
        command += ("--temp",) if random.random() < 0.5 else ()
        command += ("-S", f"lr={random.uniform(1e-4, 0.5)}", f"train@{ground.RUN}")
    try:
        for narrower in (1, 0.6, 0.3):  # when the command has been faster than expected
            place.forget(stages)
            delay = narrower * share * _expected(place, name, stages)
            if _broken_off(place, command, target, sent, delay, folder):
                break
            if not stages:
                _all(place, *RESTORE)
        else:
            raise NotPossible("the command was over before the signal")
        place.recover(*recovery)
    except BaseException as failure:
        shutil.rmtree(place.folder)  # the next attempt starts from a new copy
        if isinstance(failure, Failed):
            about = f"{' '.join(command)}; {', '.join(stages)}; {sent.name} to {target}"
            raise Failed(f"{about} after {delay:.2f} s\n{failure}") from None
        raise


def _ground(folder: Path) -> ground.Ground:
    """The copy of the graph that this process goes on using while attempts succeed."""
    root = folder.parents[1]
    return ground.copied(root, root / current_process().name)


def _expected(place: ground.Ground, name: str, stages: list[str]) -> float:
    """Seconds that the command will take."""
    seconds = place.reference["seconds"]
    idle = seconds["dvc repro"]  # is part of what was measured of each stage
    stages = stages or ["configure", f"train@{ground.RUN}"]
    start = seconds.get(name, seconds["chestflow repro"])
    return start + sum(max(0.2, seconds[stage] - idle) for stage in stages)


def _all(place: ground.Ground, *commands: tuple[str, ...]) -> None:
    for command in commands:
        place.succeed(*command)


def _broken_off(place, command, target: str, sent: signal.Signals, delay: float, folder) -> bool:
    """Whether the signal has met the running command, which has ended since."""
    with open(folder / "said.txt", "w+b") as said:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        time.sleep(delay)
        met = _signal(process, target, sent)
        try:
            process.wait(END)
            late = ""
        except subprocess.TimeoutExpired:
            late = f"the command was still running {END} s after the signal; "
        left = wait_until(lambda: not _left(place.folder, process.pid), 0 if late else ORPHANS)
        survivors = [] if left else _left(place.folder, process.pid)
        for survivor in survivors:
            late += f"left running: {' '.join(_words(survivor))[:300]}; "
            survivor.kill()
        process.wait()
        said.seek(0)
        text = said.read().decode(errors="backslashreplace")
    if late:
        raise Failed(f"{late}\n{text[-4000:]}")
    if sent == signal.SIGINT and _is_ours(text, place.folder):
        raise Failed(f"a traceback after Ctrl-C:\n{text[-6000:]}")
    return met


def _signal(process: subprocess.Popen, target: str, sent: signal.Signals) -> bool:
    """Send the signal once there is somebody to receive it; False if the command ends first."""

    def receiver() -> psutil.Process | bool:
        if process.poll() is not None:
            return True
        try:
            found = [psutil.Process(process.pid)]
            found += found[0].children(recursive=True)
        except psutil.NoSuchProcess:
            return False
        wanted = _is_stage if target == "stage alone" else _is_runner
        return next((one for one in found if wanted(_words(one))), False)

    if target == "group":
        if process.poll() is None:
            os.killpg(process.pid, sent)
            return True
        return False
    found = wait_until(receiver, END)
    if not isinstance(found, psutil.Process):
        return False
    try:
        found.send_signal(sent)
    except psutil.NoSuchProcess:
        return False
    return True


def _is_ours(said: str, folder: Path) -> bool:
    """Whether there is a traceback that leads through our code: Python has one of its own while it
    starts."""
    frames = re.findall(r'(?m)^ +File "([^"]+)", line', said)
    return any(folder in Path(frame).parents for frame in frames)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_stage(words: list[str]) -> bool:
    """`python -m stages.x`, not the shell that DVC starts it by."""
    return len(words) > 2 and words[1] == "-m" and words[2].startswith("stages.")


def _is_runner(words: list[str]) -> bool:
    return any(Path(word).name in ("dvc", "chestflow") for word in words[:2])


def _left(folder: Path, session: int) -> list[psutil.Process]:
    """Processes of the command that are still alive, by their session or their folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getsid(process.pid) == session or folder in (
                cwd := Path(process.cwd()),
                *cwd.parents,
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def break_rwlock(random: Random, folder: Path) -> None:
    """What a kill leaves while DVC writes its list of running stages."""
    place = _ground(folder)
    content, stages = random.choice(BROKEN), random.sample(CHEAP, 2)
    place.forget(stages)
    (place.folder / ".dvc/tmp/rwlock").write_bytes(content)
    try:
        place.recover(*PLAIN)
    except BaseException as failure:
        shutil.rmtree(place.folder)
        if isinstance(failure, Failed):
            raise Failed(f".dvc/tmp/rwlock held {content!r}\n{failure}") from None
        raise


KINDS = {
    f"{name}, {target}": Kind(partial(kill, name, target), 18)
    for name, target in itertools.product(ground.IDLE, TARGETS)
} | {"rwlock cut off": Kind(break_rwlock, 8)}
