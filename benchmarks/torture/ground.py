"""A small copy of the graph that has run once: what an attempt must come back to."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from benchmarks.orchestration import Copy
from benchmarks.torture.attempts import Failed

RUN, DATASET = "pneumonia", "pneumoniamnist"
FIRST = ("configure", "download", "binarize", "scratch")
OUTPUTS = ("data", "models", "metrics", "plots", "report")
IDLE = {  # commands that may be broken off
    "make repro": ("make", "-o", ".venv/installed", "repro"),
    "chestflow repro": ("chestflow", "repro", "--jobs", "2"),
    "dvc repro": ("dvc", "repro"),
    "dvc exp run": ("dvc", "exp", "run"),
}


class Ground:
    """One folder with the graph in it, and the state that it is expected to have."""

    def __init__(self, folder: Path, reference: dict) -> None:
        self.folder, self.reference = folder, reference
        # Without the address of the installed package, its own code is what runs here; DVC's
        # state, else outside of the folder, goes with it.
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
            "DVC_NO_ANALYTICS": "1",
            **{f"GIT_{who}_NAME": "torture" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "torture@localhost" for who in ("AUTHOR", "COMMITTER")},
        }

    def run(self, *command: str, timeout: float = 120, **changed) -> subprocess.CompletedProcess:
        """A command in the folder, its output and errors together in `stdout`."""
        options = {"cwd": self.folder, "env": self.environment, "stdin": subprocess.DEVNULL}
        try:
            return subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                timeout=timeout,
                **options | changed,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode(errors="backslashreplace")
            about = f"{' '.join(command)} has not ended within {timeout:.0f} s:\n{said[-4000:]}"
            raise Failed(about) from None

    def succeed(self, *command: str, **changed) -> str:
        ended = self.run(*command, **changed)
        if ended.returncode:
            said = f"ended with {ended.returncode}:\n{ended.stdout[-4000:]}"
            raise Failed(f"{' '.join(command)} {said}")
        if "Traceback (most recent call last)" in ended.stdout:
            raise Failed(f"{' '.join(command)} shows a traceback:\n{ended.stdout[-4000:]}")
        return ended.stdout

    def recover(self, *commands: tuple[str, ...]) -> None:
        """What the documentation tells to do after a failure; then all must be as before."""
        for command in commands:
            self.succeed(*command)
        if found := self.differences():
            raise Failed("after recovery: " + "; ".join(found))
        (self.folder / "dvc.lock").write_text(self.reference["lock"])

    def lock(self) -> dict:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())

    def outs(self, stage: str) -> list[str]:
        return [out["path"] for out in self.lock()["stages"][stage]["outs"]]

    def forget(self, stages: list[str]) -> None:
        """Take away what these stages have made and every trace of it: they must run again."""
        lock = self.lock()
        for stage in stages:
            for path in self.outs(stage):
                remove(self.folder / path)
        for stage in stages:
            del lock["stages"][stage]
        text = yaml.safe_dump(lock, sort_keys=False)
        (self.folder / "dvc.lock").write_text(text)
        shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)

    def files(self) -> dict[str, str]:
        """Path -> MD5 of every file where the graph writes, whether it is declared or not."""
        paths = [p for top in OUTPUTS for p in (self.folder / top).rglob("*") if p.is_file()]
        return {
            str(path.relative_to(self.folder)): hashlib.md5(path.read_bytes()).hexdigest()
            for path in paths
        }

    def differences(self) -> list[str]:
        """What is not as it was: outputs, dvc.lock but for the order in it, and Git's view."""
        expected, files = self.reference["files"], self.files()
        unlike = {path for path, _ in files.items() ^ expected.items()}
        found = [f"{path} differs" for path in sorted(unlike)]
        if self.lock() != yaml.safe_load(self.reference["lock"]):
            found.append("dvc.lock differs")
        status = self.succeed("git", "status", "--porcelain", "-uall").splitlines()
        return found + [f"git: {line}" for line in status if line[3:] != "dvc.lock"]


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def build(root: Path, quick: bool) -> None:
    """The reference, and how long each stage and an idle command takes, under `root`; with `quick`
    only the graph's first stages. Once for all campaigns."""
    if (root / "reference.json").exists():
        return
    folder = root / "reference"
    folder.mkdir()
    _few(copy := Copy(folder), quick)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".git/info/exclude").write_text(".venv\n")
    ground, seconds = Ground(folder, {}), {}
    for stage in copy.time("dvc stage list --all --name-only")[1].split():
        seconds[stage] = _seconds(ground, "dvc", "repro", "--single-item", stage)
    ground.succeed("dvc", "repro")
    ground.succeed("git", "add", "--all")
    ground.succeed("git", "commit", "--quiet", "--message", "results")
    for name, command in IDLE.items():
        if name != "make repro" or not quick:  # which ends with the summary of all runs
            seconds[name] = _seconds(ground, *command)
    lock = (folder / "dvc.lock").read_text()
    reference = {"files": ground.files(), "lock": lock, "seconds": seconds}
    (root / "reference.json").write_text(json.dumps(reference))


def _few(copy: Copy, quick: bool) -> None:
    """One data set, one run: every stage of the graph once."""
    if quick:
        graph = copy.read("dvc.yaml")
        stages = {name: graph["stages"][name] for name in FIRST}
        copy.write("dvc.yaml", {"vars": graph["vars"], "stages": stages})
    copy.shrink()
    params, datasets = copy.read("params.yaml"), copy.read("datasets.yaml")
    params["runs"] = {RUN: params["runs"][RUN]}
    params["efficiency"]["runs"] = [RUN]
    params["autoencoder"]["dataset"] = DATASET
    params["comparison"] = {"questions": [], "spaces": {}}
    copy.write("params.yaml", params)
    copy.write("datasets.yaml", {"datasets": {DATASET: datasets["datasets"][DATASET]}})
    copy.time("git commit --quiet --all --message small")


def _seconds(ground: Ground, *command: str) -> float:
    start = time.perf_counter()
    ground.succeed(*command)
    return time.perf_counter() - start


def copied(root: Path, folder: Path) -> Ground:
    """The reference in another folder, which is used again if it exists."""
    if not folder.exists():
        shutil.copytree(root / "reference", folder, symlinks=True)
    return Ground(folder, json.loads((root / "reference.json").read_text()))
