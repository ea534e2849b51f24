"""Run the stages that are out of date, several at once. Each runs as `dvc repro --single-item`, as
soon as the stages before it are done.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from graphlib import TopologicalSorter
from multiprocessing import connection

from chestflow.commands import git
from chestflow.errors import UserError

Graph = dict[str, set[str]]  # stage -> the stages that it depends on
RUNNING = re.compile(r"^Running stage '(.+)'", re.MULTILINE)
# Processes are forked from one that has imported these, which saves half a second per stage.
PRELOADED = ["dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce", "dvc.stage.run", "ruamel.yaml"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, help="stages at once (%(default)s)")


def main(options: argparse.Namespace) -> None:
    if options.jobs < 1:
        raise UserError(f"jobs = {options.jobs}; accepted: a whole number from 1")
    git.require_git()
    if options.jobs == 1:
        os.execvp("dvc", ["dvc", "repro"])  # in place of this process, with its own output
    graph = read_graph()
    if "configure" in graph:  # only then can DVC tell which trainings have other settings
        run({"configure": set()}, 1)
    run(outdated(graph), options.jobs)
    print(f"repro: all {len(graph)} stages are up to date")


def read_graph() -> Graph:
    dag = subprocess.run(["dvc", "dag", "--dot"], capture_output=True, text=True)
    if dag.returncode:
        raise UserError(f"dvc dag failed: {' '.join(dag.stderr.split())}")
    graph: Graph = {stage: set() for stage in re.findall(r'(?m)^"([^"]+)";$', dag.stdout)}
    for before, after in re.findall(r'(?m)^"([^"]+)" -> "([^"]+)";$', dag.stdout):
        graph[after].add(before)
    return graph


def outdated(graph: Graph) -> Graph:
    """The stages that DVC calls changed, and all after them; the whole graph if data is missing."""
    dry = subprocess.run(["dvc", "repro", "--dry"], capture_output=True, text=True)
    changed = set(RUNNING.findall(dry.stdout)) if dry.returncode == 0 else {*graph} - {"configure"}
    for stage in TopologicalSorter(graph).static_order():
        if graph[stage] & changed:
            changed.add(stage)
    return {stage: graph[stage] & changed for stage in changed}


def run(graph: Graph, jobs: int) -> None:
    """Reproduce all stages of a graph, at most `jobs` at once. Raises UserError at the first that
    fails, after printing what it said."""
    height, sorter, done = heights(graph), TopologicalSorter(graph), 0
    ready: list[str] = []
    running: list[Stage] = []
    sorter.prepare()
    while sorter.is_active():
        # First the stages with the longest chain of stages waiting for them.
        ready = sorted([*ready, *sorter.get_ready()], key=lambda name: height[name])
        while ready and len(running) < jobs:
            running.append(Stage(ready.pop()))
        connection.wait([stage.process.sentinel for stage in running])
        for stage in [stage for stage in running if not stage.process.is_alive()]:
            running.remove(stage)
            sorter.done(stage.name)
            done += 1
            print(f"[{done}/{len(graph)}] {stage.name}: {stage.result()}", flush=True)


def heights(graph: Graph) -> dict[str, int]:
    """Length of the longest chain of stages that waits for each stage."""
    height = dict.fromkeys(graph, 0)
    for stage in reversed(list(TopologicalSorter(graph).static_order())):
        for before in graph[stage]:
            height[before] = max(height[before], height[stage] + 1)
    return height


class Stage:
    """A running stage: a DVC command in a process of its own."""

    def __init__(self, name: str) -> None:
        print(f"      {name} ...", flush=True)
        tempfile.tempdir = "/tmp"  # TMPDIR may be longer than the path of a socket
        self.name, self.start = name, time.monotonic()
        self.log = tempfile.NamedTemporaryFile()  # noqa: SIM115
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.process = context.Process(target=reproduce, args=(name, self.log.name))
        self.process.start()

    def result(self) -> str:
        """How many seconds it took, and its last line. Raises UserError if it failed."""
        seconds, said = time.monotonic() - self.start, self.log.read().decode(errors="replace")
        if self.process.exitcode:
            print(said, file=sys.stderr)
            raise UserError(f"{self.name} failed, see above")
        last_words = re.findall(rf"(?m)^{self.name.split('@')[0]}: (.*)$", said) or ["done"]
        return f"{seconds:.0f} s, {last_words[-1]}" if RUNNING.search(said) else "up to date"


def reproduce(stage: str, log: str) -> None:
    """Run the stage in this process, with all output in the log; exit with DVC's exit code."""
    from dvc.cli import main

    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), stream)
    sys.exit(main(["--wait-for-lock", "repro", "--single-item", stage]))
