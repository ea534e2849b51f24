"""Ctrl-C at every moment of a command: one line at most, and never a success."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chestflow import ending

ROOT = Path(__file__).parents[1]
AT_EXIT = """
import atexit, time
from chestflow.parameters import ending
from chestflow.parameters.stage import one_line
ending.at_once()
atexit.register(time.sleep, 60)
with one_line("stage"):
    pass
print("leaving", flush=True)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="tells by /proc what a process has loaded")
@pytest.mark.parametrize("command", [("stages.train",), ("chestflow", "predict")], ids=str)
def test_while_packages_are_imported(command):
    run = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while "libtorch" not in Path(f"/proc/{run.pid}/maps").read_text():
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode == -signal.SIGINT and said == ""


def test_while_a_process_shuts_down():
    run = subprocess.Popen([sys.executable, "-c", AT_EXIT], cwd=ROOT, stdout=subprocess.PIPE)
    assert run.stdout and run.stdout.readline() == b"leaving\n"
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    run.communicate()
    assert run.returncode == -signal.SIGINT


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


def test_what_a_library_swallows_counts_nevertheless():
    with (
        pytest.raises(KeyboardInterrupt),
        ending.in_order(),
        contextlib.suppress(BaseException),
    ):
        interrupt()


def test_files_are_cleaned_up(tmp_path):
    part = tmp_path / "file.part"
    with pytest.raises(KeyboardInterrupt), ending.in_order():
        part.touch()
        try:
            interrupt()
        finally:
            part.unlink()
    assert not part.exists()
