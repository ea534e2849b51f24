"""Run the stages that are out of date, several at once. Each runs as `dvc repro --single-item`, as
soon as the stages before it are done.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from chestflow.commands.cluster import call
from chestflow.errors import UserError

Graph = dict[str, set[str]]  # stage -> the stages that it depends on
RUNNING = re.compile(r"^Running stage '(.+)'", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, help="stages at once (%(default)s)")


def main(options: argparse.Namespace) -> None:
    if options.jobs < 2:
        os.execvp("dvc", ["dvc", "repro"])  # in place of this process, with its own output
    graph = read_graph()
    if "configure" in graph:  # only then can DVC tell which trainings have other settings
        run({"configure": set()}, 1)
    run(outdated(graph), options.jobs)
    print(f"repro: all {len(graph)} stages are up to date")


def read_graph() -> Graph:
    dag = call("dvc", "dag", "--dot")
    graph: Graph = {stage: set() for stage in re.findall(r'(?m)^"([^"]+)";$', dag)}
    for before, after in re.findall(r'(?m)^"([^"]+)" -> "([^"]+)";$', dag):
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
    sorter, done = TopologicalSorter(graph), 0
    sorter.prepare()
    running: dict[Future, str] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        while sorter.is_active():
            running |= {pool.submit(reproduce, stage): stage for stage in sorter.get_ready()}
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                stage, done = running.pop(ended), done + 1
                say(f"[{done}/{len(graph)}] {stage}: {ended.result()}")
                sorter.done(stage)
    finally:
        pool.shutdown(cancel_futures=True)


def reproduce(stage: str) -> str:
    """Run a stage; returns how many seconds it took, and its last line. Raises UserError if it
    failed."""
    say(f"      {stage} ...")
    start = time.monotonic()
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr)
        raise UserError(f"{stage} failed, see above")
    if not RUNNING.search(ended.stdout):
        return "up to date"
    name = stage.split("@")[0]
    last_words = re.findall(rf"(?m)^{name}: (.*)$", ended.stdout) or ["done"]
    return f"{time.monotonic() - start:.0f} s, {last_words[-1]}"


def say(line: str) -> None:
    """Print a line in one piece, so that those of other threads do not come between."""
    print(f"{line}\n", end="", flush=True)
