"""Run what has changed in the graph, several stages at once.

DVC runs one stage after another. Here each is a `dvc repro --single-item` of its own, begun as soon
as the stages before it are done, which DVC's locks allow (`--wait-for-lock`). A plain `dvc repro`
ends it, which finds nothing left to do, or does what is left.
"""

import argparse
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from graphlib import TopologicalSorter
from multiprocessing import connection
from typing import NamedTuple

from chestflow.commands import git
from chestflow.errors import UserError

Graph = dict[str, set[str]]  # stage -> the stages that it depends on

# Loaded once by the server that all further processes are forked from: half of DVC's start.
PRELOADED = ["dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce", "dvc.stage.run", "ruamel.yaml"]
BUSY = "is busy, it is being blocked by"  # DVC's words where another process uses the same files


class Ended(NamedTuple):
    code: int
    said: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, help="stages at once (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Returns the exit code."""
    if options.jobs < 1:
        raise UserError(f"jobs = {options.jobs}; accepted: a whole number from 1")
    with git.claimed("repro"):
        return side_by_side(options.jobs) if options.jobs > 1 else one_by_one()


def one_by_one() -> int:
    """The plain `dvc repro`, with its own output; it knows best what Ctrl-C means for it."""
    running = subprocess.Popen(["dvc", "repro"])
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = signal.signal(signal.SIGTERM, lambda *_: running.terminate())
    try:
        return running.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, end)


def side_by_side(jobs: int) -> int:
    # What the settings of all trainings depend on comes first: only then can DVC tell which of them
    # have changed.
    with processes(1) as pool:
        whole = read_graph(pool)
        configured = "configure" in whole and configure(pool)
        graph = outdated(pool, whole)
    run(graph, jobs)
    if graph:
        with processes(1) as pool:
            finish("the graph", pool.submit(dvc, "repro").result())
    ran = {*graph, "configure"} if configured else {*graph}
    print(f"repro: {len(whole) - len(ran)} of {len(whole)} stages were up to date")
    return 0


def configure(pool: ProcessPoolExecutor) -> bool:
    """Reproduce stage `configure`; returns whether it had to run."""
    ended = pool.submit(dvc, "repro", "configure").result()
    finish("configure", ended)
    return "Running stage 'configure'" in ended.said


def processes(n: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return ProcessPoolExecutor(n, context, initializer=end_with_parent, max_tasks_per_child=1)


def end_with_parent() -> None:
    """A worker that has nobody left to tell of its stage ends, at work or not."""

    def outlive() -> None:
        connection.wait([multiprocessing.parent_process().sentinel])  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=outlive, daemon=True).start()


def dvc(*arguments: str) -> Ended:
    """A DVC command in this process, and what it and the commands it started have said."""
    from dvc.cli import main

    with tempfile.TemporaryFile() as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        code = main(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
        file.seek(0)
        return Ended(code, file.read().decode(errors="replace"))


def read_graph(pool: ProcessPoolExecutor) -> Graph:
    dot = pool.submit(dvc, "dag", "--dot").result()
    if dot.code:
        raise UserError(f"dvc dag failed: {' '.join(dot.said.split())}")
    graph: Graph = {stage: set() for stage in re.findall(r'^"([^"]+)";$', dot.said, re.MULTILINE)}
    for before, after in re.findall(r'^"([^"]+)" -> "([^"]+)";$', dot.said, re.MULTILINE):
        graph[after].add(before)
    return graph


def outdated(pool: ProcessPoolExecutor, graph: Graph) -> Graph:
    """The part of the graph that has to run: what DVC says has changed, and all that follows it.
    In a fresh clone DVC cannot say, because data are missing: then the whole graph."""
    dry = pool.submit(dvc, "repro", "--dry").result()
    if dry.code:
        return graph
    todo = set(re.findall(r"^Running stage '(.+)'", dry.said, re.MULTILINE))
    for stage in TopologicalSorter(graph).static_order():
        if graph[stage] & todo:
            todo.add(stage)
    return {stage: graph[stage] & todo for stage in todo}


def run(graph: Graph, jobs: int) -> None:
    """Reproduce every stage of the graph, at most `jobs` at once; stop at the first failure."""
    height = heights(graph)
    sorter, done = TopologicalSorter(graph), 0
    ready: list[str] = []
    running: dict[Future, str] = {}
    sorter.prepare()
    with processes(jobs) as pool:
        while sorter.is_active():
            # What most of the graph is waiting for comes first.
            ready = sorted([*ready, *sorter.get_ready()], key=lambda stage: height[stage])
            while ready and len(running) < jobs:
                stage = ready.pop()
                print(f"      {stage} ...", flush=True)
                running[pool.submit(reproduce, stage)] = stage
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, done = running.pop(future), done + 1
                ended, seconds = future.result()
                print(f"[{done}/{len(graph)}] {stage}: {seconds:.0f} s, {finish(stage, ended)}")
                sys.stdout.flush()
                sorter.done(stage)


def heights(graph: Graph) -> dict[str, int]:
    """Length of the longest chain of stages that waits for each stage."""
    height = dict.fromkeys(graph, 0)
    for stage in reversed(list(TopologicalSorter(graph).static_order())):
        for before in graph[stage]:
            height[before] = max(height[before], height[stage] + 1)
    return height


def reproduce(stage: str) -> tuple[Ended, float]:
    """Run one stage if it has changed; returns how it ended, and after how many seconds."""
    start = time.monotonic()
    while True:
        ended = dvc("--wait-for-lock", "repro", "--single-item", stage)
        if not (ended.code and BUSY in ended.said):
            return ended, time.monotonic() - start
        time.sleep(1)  # `--wait-for-lock` does not wait for single files


def finish(stage: str, ended: Ended) -> str:
    """The stage's last words; raises UserError if it failed."""
    if ended.code:
        print(ended.said, file=sys.stderr)
        raise UserError(f"{stage} failed, see above")
    name = stage.split("@")[0]
    return (re.findall(rf"^{name}: (.*)$", ended.said, re.MULTILINE) or ["done"])[-1]
