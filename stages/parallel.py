"""Run what has changed in the graph, several stages at once.

DVC runs one stage after another. Here each is a `dvc repro --single-item` of its own, begun as soon
as the stages before it are done, which DVC's locks allow (`--wait-for-lock`). A plain `dvc repro`
afterwards finds nothing left to do, or does what is left.
"""

import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from stages.lib import command
from stages.lib.errors import UserError

Graph = dict[str, set[str]]  # stage -> the stages that it depends on


def parallel(jobs: str) -> None:
    if not re.fullmatch(r"[1-9]\d*", jobs):
        raise UserError(f"jobs = {jobs!r}; accepted: a whole number from 1")
    if jobs != "1":
        run(outdated(read_graph()), int(jobs))


def dvc(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["dvc", *arguments], capture_output=True, text=True)


def read_graph() -> Graph:
    dot = dvc("dag", "--dot")
    if dot.returncode:
        raise UserError(f"dvc dag failed: {' '.join(dot.stderr.split())}")
    graph = {stage: set() for stage in re.findall(r'^"([^"]+)";$', dot.stdout, re.MULTILINE)}
    for before, after in re.findall(r'^"([^"]+)" -> "([^"]+)";$', dot.stdout, re.MULTILINE):
        graph[after].add(before)
    return graph


def outdated(graph: Graph) -> Graph:
    """The part of the graph that has to run: what DVC says has changed, and all that follows it.
    In a fresh clone DVC cannot say, because data are missing: then the whole graph."""
    dry = dvc("repro", "--dry")
    changed = re.findall(r"^Running stage '(.+)'", dry.stdout, re.MULTILINE)
    if dry.returncode:
        return graph
    todo = set(changed)
    for stage in TopologicalSorter(graph).static_order():
        if graph[stage] & todo:
            todo.add(stage)
    return {stage: graph[stage] & todo for stage in todo}


def run(graph: Graph, jobs: int) -> None:
    """Reproduce every stage of the graph, at most `jobs` at once; stop at the first failure."""
    height = heights(graph)
    sorter, ready, running, done = TopologicalSorter(graph), [], {}, 0
    sorter.prepare()
    with ThreadPoolExecutor(jobs) as pool:
        while sorter.is_active():
            # What most of the graph is waiting for comes first.
            ready = sorted([*ready, *sorter.get_ready()], key=lambda stage: height[stage])
            while ready and len(running) < jobs:
                stage = ready.pop()
                running[pool.submit(reproduce, stage)] = stage
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, done = running.pop(future), done + 1
                print(f"[{done}/{len(graph)}] {stage}: {future.result()}", flush=True)
                sorter.done(stage)


def heights(graph: Graph) -> dict[str, int]:
    """Length of the longest chain of stages that waits for each stage."""
    height = dict.fromkeys(graph, 0)
    for stage in reversed(list(TopologicalSorter(graph).static_order())):
        for before in graph[stage]:
            height[before] = max(height[before], height[stage] + 1)
    return height


def reproduce(stage: str) -> str:
    """Run one stage if it has changed; returns how long that took and the stage's last words."""
    start = time.monotonic()
    print(f"      {stage} ...", flush=True)
    ended = dvc("--wait-for-lock", "repro", "--single-item", stage)
    if ended.returncode:
        print(ended.stdout, ended.stderr, file=sys.stderr)
        raise UserError(f"{stage} failed, see above")
    name = stage.split("@")[0]
    said = re.findall(rf"^{name}: (.*)$", ended.stdout, re.MULTILINE) or ["done"]
    return f"{time.monotonic() - start:.0f} s, {said[-1]}"


if __name__ == "__main__":
    command.run(parallel)
