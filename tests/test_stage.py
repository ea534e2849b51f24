"""A stage as a command: one line for a user's mistake, silence for Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chestflow import stage
from chestflow.errors import UserError

ROOT = Path(__file__).parents[1]


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


def test_ctrl_c_ends_a_stage_silently():
    as_a_command = "import os, signal, sys; sys.argv[0] = '-m'; import stages"
    stopped = f"{as_a_command}; os.kill(os.getpid(), signal.SIGINT)"
    ended = subprocess.run([sys.executable, "-c", stopped], cwd=ROOT, capture_output=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
