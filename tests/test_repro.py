"""`chestflow repro` in small projects: in which order, what it says, and what happens when a stage
fails."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from workspace import ROOT, Workspace


@pytest.fixture
def start(tmp_path, environment):
    """Make a DVC project of the stages given."""

    def started(stages: dict) -> Workspace:
        project = Workspace(tmp_path, environment | {"PYTHONPATH": str(ROOT)})
        project.write("dvc.yaml", yaml.safe_dump({"stages": stages}))
        project.write("in", "1")
        project.succeed("git", "init", "--quiet")
        project.succeed("dvc", "init", "--quiet")
        return project

    return started


def copying(source: str, target: str) -> dict:
    return {"cmd": f"cp {source} {target}", "deps": [source], "outs": [target]}


CHAIN = {"a": copying("in", "a"), "b": copying("a", "b"), "c": copying("b", "c")}


def test_what_has_changed_runs_and_nothing_else(start):
    """Called by its path, without an activated environment."""
    last_words = "python -c \"print('d: it was written'); open('d', 'w')\""
    project = start(CHAIN | {"d": {"cmd": last_words, "outs": ["d"]}})
    project.environment = project.environment | {"PATH": "/usr/bin:/bin"}
    command = (sys.executable, "-m", "chestflow.cli", "repro", "--jobs", "2")
    said = project.succeed(*command).splitlines()
    ended = sorted(line[6:].split(" s, ")[1] for line in said if line.startswith("["))
    assert ended == ["done", "done", "done", "it was written"]
    assert said[-1] == "repro: all 4 stages are up to date" and project.read("c") == "1"
    assert "[" not in project.succeed(*command), "nothing has changed"

    project.replace("dvc.yaml", "cp a b", "cp ./a b")
    said = project.succeed(*command).splitlines()
    assert [line[:8] for line in said if line[0] == "["] == ["[1/2] b:", "[2/2] c:"]
    assert said[-2] == "[2/2] c: up to date", "for b is the same as before"


def test_two_stages_run_at_once(start):
    """Each waits until the other has begun."""
    wait = "for i in $(seq 300); do test -e {0}.begun && break; sleep 0.1; done; test -e {0}.begun"
    stages = {
        name: {"cmd": f"touch {name}.begun; {wait.format(other)} && touch {name}", "outs": [name]}
        for name, other in ("ab", "ba")
    }
    start(stages).succeed("chestflow", "repro", "--jobs", "2")


def test_what_the_settings_change_is_known_only_after_configure(start):
    """It writes one file per training; only then can DVC tell which trainings have to run again."""
    split = "mkdir -p set && cp in set/a && cp other set/b"
    stages = {"configure": {"cmd": split, "deps": ["in", "other"], "outs": ["set/a", "set/b"]}}
    project = start(stages | {name: copying(f"set/{name}", name) for name in "ab"})
    project.write("other", "1")
    project.succeed("chestflow", "repro")
    project.write("other", "2")
    said = project.succeed("chestflow", "repro")
    assert project.read("b") == "2"
    assert "[1/1] b: " in said and " a: " not in said


def test_one_job_is_the_plain_dvc_repro(start):
    project = start(CHAIN)
    assert "Running stage 'a'" in project.succeed("chestflow", "repro", "--jobs", "1")
    assert (project.folder / "c").exists()


def test_a_mistake_in_the_graph_ends_in_one_line(start):
    project = start(CHAIN)
    project.replace("dvc.yaml", "outs", "out")
    ended = project.run("chestflow", "repro")
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("repro: dvc dag --dot failed: ")


def test_after_a_kill_the_same_command_goes_on(start):
    """All processes at once, as when power fails, in a stage that has written half of its file."""
    project = start(CHAIN)
    killed = "echo half > b && touch begun && sleep 100"
    project.replace("dvc.yaml", "cp a b", f"cp a b; test -e again || ({killed})")
    command = [sys.executable, "-m", "chestflow.cli", "repro"]
    options = {"cwd": project.folder, "env": project.environment, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **options) as running:
        while not (project.folder / "begun").exists():
            assert running.poll() is None, "ended before"
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        for _ in range(500):  # DVC takes a process for alive until it is reaped
            os.killpg(running.pid, 0)
            time.sleep(0.02)
    assert project.read("b") == "half\n"
    project.write("again", "")
    project.succeed("chestflow", "repro")
    assert project.read("c") == "1"
