"""Attempts of a campaign in processes of their own, which may hang, die or eat their memory."""

import os
import resource
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Thread
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
WORKERS = 3  # each waits for its commands most of the time


class Failed(Exception):  # noqa: N818
    """An attempt that did not end as promised; the message says how."""


class NotPossible(Exception):  # noqa: N818
    """An attempt that cannot be made on this machine; the message says why."""


class Kind(NamedTuple):
    """One row of the table: what to try, and how often."""

    # Given an own Random and an empty folder; raises Failed or NotPossible.
    attempt: Callable[[Random, Path], None]
    planned: int


class Limits(NamedTuple):
    seconds: float
    memory: int | None = None  # bytes of address space; None: not limited


@dataclass
class Attempt:
    campaign: str
    kind: str
    number: int
    seed: int
    failed: str = ""  # how
    skipped: str = ""  # why

    @property
    def name(self) -> str:
        words = "".join(c if c.isalnum() else " " for c in self.kind).split()
        return f"{self.campaign}/{'-'.join(words)}-{self.number}"

    @property
    def random(self) -> Random:
        return Random(f"{self.seed} {self.name}")


def module(campaign: str):
    return import_module(f"benchmarks.torture.{campaign}")


def one_line(said: str) -> None:
    """What ends in an error for the user: one line, which no terminal takes for a command."""
    line = said.removesuffix("\n")
    if len(line.splitlines()) != 1 or "\x1b" in line:
        raise Failed(f"not one line: {line[:3000]!r}")
    if len(line) > 2000:
        raise Failed(f"a line of {len(line):,} characters: {line[:300]!r}")


def carry_out(planned: list[Attempt], limits: Limits, root: Path) -> Iterator[Attempt]:
    """Make the attempts, WORKERS at once; yields each one when it has ended. Folders of those that
    failed stay under `root`."""
    waiting: Queue[Attempt] = Queue()
    ended: Queue[Attempt] = Queue()
    for attempt in planned:
        waiting.put(attempt)
    for number in range(WORKERS):
        arguments = (waiting, ended, limits, root, f"worker-{number}")
        Thread(target=_supervise, args=arguments, daemon=True).start()
    for _ in planned:
        yield ended.get()


def _supervise(waiting: Queue, ended: Queue, limits: Limits, root: Path, name: str) -> None:
    """Hand attempts to one process; replace the process when it hangs or dies."""
    process = connection = None
    while True:
        try:
            attempt = waiting.get_nowait()
        except Empty:
            break
        if process is None:
            connection, theirs = get_context("spawn").Pipe()
            process = get_context("spawn").Process(
                target=_work, args=(theirs, limits.memory, root), name=name, daemon=True
            )
            process.start()
            theirs.close()
        connection.send(attempt)
        try:
            if connection.poll(limits.seconds):
                attempt = connection.recv()
            else:
                attempt.failed = f"no end within {limits.seconds:.0f} s"
        except EOFError:
            process.join()
            attempt.failed = f"its process died with code {process.exitcode}"
        if attempt.failed:
            _keep(attempt, root)
            process.kill()  # what a failure has left in the process must not fail the next one
            process = None
        ended.put(attempt)
    if process:
        process.kill()


def _work(connection, memory: int | None, root: Path) -> None:
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while True:
        attempt = connection.recv()
        folder = root / attempt.name
        folder.mkdir(parents=True)
        try:
            with (
                open(os.devnull, "w") as nowhere,
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
            ):
                make, _ = module(attempt.campaign).KINDS[attempt.kind]
                make(attempt.random, folder)
        except NotPossible as reason:
            attempt.skipped = str(reason)
        except Failed as failure:
            attempt.failed = str(failure)
        except BaseException:
            attempt.failed = traceback.format_exc()
        if not attempt.failed:
            shutil.rmtree(folder, ignore_errors=True)
        connection.send(attempt)


def _keep(attempt: Attempt, root: Path) -> None:
    folder = root / attempt.name
    folder.mkdir(parents=True, exist_ok=True)
    again = f"python -m benchmarks.torture --seed {attempt.seed} --attempt {attempt.name}"
    (folder / "failure.txt").write_text(
        f"{attempt.campaign}: {attempt.kind}\nagain: {again}\n\n{attempt.failed}\n",
        errors="backslashreplace",
    )


def wait_until(holds: Callable[[], object], seconds: float) -> object:
    """What `holds` returns once it is true, or its last answer after that many seconds."""
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return found
