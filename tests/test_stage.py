"""A stage as a command: one line for a user's mistake, nothing half-written when it is stopped."""

import importlib
import inspect
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from chestflow import stage
from chestflow.errors import UserError

ROOT = Path(__file__).parents[1]


def function_of(script: str):
    """The function that a stage's script runs."""
    return getattr(importlib.import_module(f"stages.{script}"), script)


SCRIPTS = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))
READERS = [  # scripts that are handed params.yaml
    script for script in SCRIPTS if script == "configure" or stage.params_of(function_of(script))
]


def command_line(script: str, params: Path) -> list[str]:
    """Arguments of a stage's script: these parameters, and paths none of which exists."""
    function, words = function_of(script), []
    for name, argument in inspect.signature(function).parameters.items():
        if name in ("params", *stage.params_of(function)):
            continue
        if argument.annotation is str:
            words.append("some")
        else:
            words += [f"--{name}", str(params.parent / "no" / name)]
    return [*words, "--params", str(params)]


@pytest.mark.parametrize("script", READERS)
def test_a_stage_refuses_bad_parameters_before_it_reads_data(script, tmp_path, monkeypatch, capfd):
    params = tmp_path / "params.yaml"
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"lr": "fast"}
    params.write_text(yaml.safe_dump(values))
    monkeypatch.setattr(sys, "argv", [script, *command_line(script, params)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / f"stages/{script}.py"), run_name="__main__")
    assert str(ended.value).startswith(f"{script}: {params}: lr = 'fast': ")
    assert "\n" not in str(ended.value)
    assert list(tmp_path.iterdir()) == [params]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("lr = 7"), "train: lr = 7"),
        (OSError(28, "No space left on device", "a.npz"), "train: No space left on device: a.npz"),
        (FileNotFoundError(2, "No such file", "a.npz"), "train: No such file: a.npz"),
    ],
)
def test_errors_that_a_user_can_mend_cost_one_line(error, line):
    with pytest.raises(SystemExit) as ended, stage.one_line("train"):
        raise error
    assert ended.value.code == line


def test_our_own_defects_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), stage.one_line("train"):
        1 / 0  # noqa: B018


def test_ctrl_c_ends_a_stage_silently_and_the_next_run_tidies_up(tmp_path):
    out = tmp_path / "raw/a.npz"
    options = ["--params", "params.yaml", "--datasets", tmp_path / "datasets.yaml", "--out", out]
    command = [sys.executable, "-m", "stages.download", "pneumoniamnist", *options]

    def start(n: int) -> subprocess.Popen:
        phantom = {"seed": 0, "train": n, "val": 10, "test": 10}
        entry = {"title": "Mine", "positive": "ill", "phantom": phantom}
        text = yaml.safe_dump({"datasets": {"pneumoniamnist": entry}})
        (tmp_path / "datasets.yaml").write_text(text)
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    run = start(100_000)
    while not out.parent.exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.communicate()[1] == "" and run.returncode == -signal.SIGINT
    assert not out.exists()
    run = start(10)
    assert run.communicate()[1] == "" and run.returncode == 0
    assert list(out.parent.iterdir()) == [out]
