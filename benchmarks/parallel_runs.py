"""Does the graph, several stages at once, always give what it gives one after another?

The graph is run from nothing, with shrunken parameters and a DVC cache of its own, in fresh copies
of the working tree: once by `dvc repro`, then again and again by `chestflow repro`. Every output's
hash in dvc.lock must be the same each time. Not a part of `make bench`: twenty runs take an hour.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import harness
from benchmarks.orchestration import JOBS, REPRO, Copy

RUNS = 20
LOCKED = r"(?i)unable to acquire lock|is busy, it is being blocked"  # as DVC puts it


def measure(quick: bool) -> dict:
    n = 1 if quick else RUNS
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name) / "start")
        copy.shrink()
        serial = once(copy, Path(name) / "serial", "dvc", "repro")
        expected = serial["outputs"]
        say("serial", serial, expected)
        if serial["failed"] or not expected:
            sys.exit(serial["said"])
        several = []
        for number in range(1, n + 1):
            folder = Path(name) / f"run-{number}"
            run = once(copy, folder, *REPRO.split())
            several.append(run)
            say(f"{number}/{n}", run, expected)
            shutil.rmtree(folder)
    differing = [unlike(run["outputs"], expected) for run in several]
    equal = sum(not run["failed"] and not paths for run, paths in zip(several, differing))
    text = f"runs from nothing, {JOBS} stages at once, that gave what the serial one did, of {n}"
    return {
        "jobs": JOBS,
        "runs": n,
        "outputs": len(expected),
        "equal": equal,
        "failures": sum(run["failed"] for run in several),
        "lock_errors": sum(run["lock_errors"] for run in several),
        "differing_outputs": sorted({path for paths in differing for path in paths}),
        "serial_seconds": serial["seconds"],
        "parallel_seconds": harness.summary([run["seconds"] for run in several]),
        "goals": [harness.goal(text, equal, n, at_least=True)],
    }


def once(copy: Copy, folder: Path, *command: str) -> dict:
    """Run the graph in a new folder: seconds, whether it failed, and the hash of each output."""
    shutil.copytree(copy.folder, folder)
    start = time.perf_counter()
    ended = subprocess.run(
        command, cwd=folder, env=copy.environment, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    said = ended.stdout + ended.stderr
    return {
        "seconds": round(seconds, 1),
        "failed": ended.returncode != 0,
        "lock_errors": len(re.findall(LOCKED, said)),
        "outputs": hashes(folder / "dvc.lock"),
        "said": said,
    }


def hashes(lock: Path) -> dict[str, str]:
    """Path -> hash of every output that a dvc.lock records."""
    stages = yaml.safe_load(lock.read_text())["stages"].values() if lock.exists() else []
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def unlike(outputs: dict[str, str], expected: dict[str, str]) -> list[str]:
    """The paths that are missing from either or differ."""
    return sorted({path for path, _ in outputs.items() ^ expected.items()})


def say(name: str, run: dict, expected: dict[str, str]) -> None:
    n, different = len(run["outputs"]), unlike(run["outputs"], expected)
    print(
        f"{name}: {run['seconds']:.0f} s, {n} outputs, {len(different)} differ"
        f"{' (' + ', '.join(different[:3]) + ')' if different else ''},"
        f" {run['lock_errors']} lock errors{', FAILED' if run['failed'] else ''}",
        flush=True,
    )
    if run["failed"]:
        print(run["said"][-2000:], flush=True)


def markdown(result: dict) -> list[str]:
    return [
        f"{result['runs']} runs of the shrunken graph from nothing, {result['jobs']} stages at"
        f" once, beside one serial run: {result['equal']} gave the serial run's hashes in all"
        f" {result['outputs']} outputs; {result['failures']} failed, with {result['lock_errors']}"
        f" errors of DVC's locks. Serial {result['serial_seconds']:.0f} s, at once"
        f" {result['parallel_seconds']['median']:.0f} s in the median; other work ran beside them,"
        " so no ratio is given.",
        "",
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
