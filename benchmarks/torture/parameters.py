"""Parameter files with mistakes: refused in one line, or good for stage `configure` and for DVC."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.torture.attempts import ROOT, Failed, Kind, Limits, one_line
from benchmarks.torture.mistakes import (
    DECLARED,
    out_of_range,
    right,
    written,
    wrong_key,
    wrong_reference,
    wrong_text,
    wrong_value,
)
from chestflow.core.errors import UserError
from chestflow.parameters import reading
from stages.configure import configure

LIMITS = Limits(seconds=30, memory=2 << 30)


def prepare(root: Path, quick: bool) -> None:
    """Nothing is needed."""


def refusal(folder: Path) -> str:
    """The line that refuses the files; empty if their settings have been written."""
    try:
        declared = reading.params(folder / "params.yaml")
        reading.grid(folder / "grid.yaml", declared)
        places = (folder / name for name in ("params.yaml", "datasets.yaml", "settings"))
        configure("pneumonia", *places)
    except UserError as error:
        one_line(str(error))
        return str(error)
    return ""


def lay(folder: Path, name: str, text: str | bytes) -> None:
    """The three files, one of them with this text."""
    for other, content in DECLARED.items():
        (folder / other).write_text(written(content))
    text = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / name).write_bytes(text)


def in_process(
    name: str, mistake: Callable[[str, Random], str | bytes], random: Random, folder: Path
) -> None:
    lay(folder, name, mistake(name, random))
    if (line := refusal(folder)) and mistake is right:
        raise Failed(f"a valid file was refused: {line}")


def any_mistake(random: Random) -> str | bytes:
    mistake = random.choice([wrong_value, out_of_range, wrong_key, wrong_text, wrong_reference])
    return mistake("params.yaml", random)


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *words]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )


def by_command(random: Random, folder: Path) -> None:
    lay(folder, "params.yaml", any_mistake(random))
    ended = call(folder, "chestflow", "check")
    if ended.returncode not in (0, 1):
        raise Failed(f"exit code {ended.returncode}: {ended.stderr}")
    if ended.returncode:
        one_line(ended.stderr)
    elif ended.stderr + ended.stdout:
        raise Failed(f"accepted, but it says: {ended.stderr}{ended.stdout}")


def read_by_dvc(random: Random, folder: Path) -> None:
    """What we accept, DVC must be able to read as well."""
    for _ in range(20):
        lay(folder, "params.yaml", any_mistake(random))
        try:
            if not refusal(folder):
                break
        except Failed:
            continue  # is counted where it is looked for
    else:
        lay(folder, "params.yaml", right("params.yaml", random))
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    call(folder, "dvc", "init", "--no-scm", "--quiet")
    ended = call(folder, "dvc", "stage", "list", "--name-only")
    if ended.returncode:
        raise Failed(f"we accept it, DVC does not: {ended.stderr}")


KINDS = {
    "params.yaml: wrong value": Kind(partial(in_process, "params.yaml", wrong_value), 120),
    "params.yaml: out of range": Kind(partial(in_process, "params.yaml", out_of_range), 90),
    "params.yaml: keys": Kind(partial(in_process, "params.yaml", wrong_key), 60),
    "params.yaml: text": Kind(partial(in_process, "params.yaml", wrong_text), 50),
    "params.yaml: references": Kind(partial(in_process, "params.yaml", wrong_reference), 40),
    "params.yaml: valid": Kind(partial(in_process, "params.yaml", right), 50),
    "datasets.yaml: wrong value": Kind(partial(in_process, "datasets.yaml", wrong_value), 40),
    "datasets.yaml: keys": Kind(partial(in_process, "datasets.yaml", wrong_key), 20),
    "sweep/grid.yaml: wrong value": Kind(partial(in_process, "grid.yaml", wrong_value), 20),
    "sweep/grid.yaml: keys": Kind(partial(in_process, "grid.yaml", wrong_key), 10),
    "chestflow check": Kind(by_command, 20),
    "accepted: read by DVC": Kind(read_by_dvc, 20),
}
