"""Does the graph, several stages at once, always give what it gives one after another?

The graph is run from nothing, with shrunken parameters and a DVC cache of its own, in fresh copies
of the working tree: once by `dvc repro`, then again and again by `stages.parallel`. Every output's
hash in dvc.lock must be the same each time. Not a part of `make bench`: twenty runs take an hour.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import harness
from benchmarks.orchestration import Copy, shrink

LOCKED = r"(?i)unable to acquire lock|is busy, it is being blocked"  # as DVC puts it


def measure(runs: int, jobs: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name) / "start")
        copy.write("params.yaml", shrink(copy.read("params.yaml")))
        serial = once(copy, Path(name) / "serial", "dvc", "repro")
        expected = serial["outputs"]
        say("serial", serial, expected)
        if serial["failed"] or not expected:
            raise SystemExit(serial["said"])
        several = []
        for number in range(1, runs + 1):
            folder = Path(name) / f"run-{number}"
            run = once(copy, folder, "python", "-m", "stages.parallel", str(jobs))
            several.append(run)
            say(f"{number}/{runs}", run, expected)
            shutil.rmtree(folder)
    return {
        "machine": harness.machine(),
        "jobs": jobs,
        "runs": runs,
        "outputs": len(expected),
        "failures": sum(run["failed"] for run in several),
        "lock_errors": sum(run["lock_errors"] for run in several),
        "runs_that_differ": sum(bool(unlike(run["outputs"], expected)) for run in several),
        "differing_outputs": sorted(
            {p for run in several for p in unlike(run["outputs"], expected)}
        ),
        "serial_seconds": serial["seconds"],
        "parallel_seconds": harness.summary([run["seconds"] for run in several]),
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.parallel_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
