"""A clone after kills, beside other runs, and without a name for its commits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from chestflow.commands import git
from stages.configure import configure

REPRO = (sys.executable, "-m", "chestflow", "repro", "--jobs")
ROOT = Path(__file__).parents[1]
LINGER = """
import sys, time
from pathlib import Path
from chestflow.parameters import ending
ending.at_once()
ending.with_dvc()
Path("begun").touch()
time.sleep(float(Path("seconds").read_text()))
Path("out").touch()
"""


@pytest.fixture
def project(tmp_path, monkeypatch, environment):
    """A DVC project with one stage that takes as many seconds as a file says."""
    for name, value in (environment | {"PYTHONPATH": str(ROOT)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("linger.py").write_text(LINGER)
    Path("seconds").write_text("0")
    deps = ["linger.py", "seconds"]
    stages = {"linger": {"cmd": "python linger.py", "deps": deps, "outs": ["out"]}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for line in ("git init --quiet", "dvc init --quiet"):
        subprocess.run(line.split(), check=True)
    Path(".dvc/tmp").mkdir(exist_ok=True)
    return tmp_path


def start(said: str, *command: str) -> subprocess.Popen:
    """A command in a process group of its own; what it says goes to a file."""
    with Path(said).open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def wait_for(reached, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def at_work() -> list[psutil.Process]:
    """The processes that work in this folder, apart from this one."""
    here, found = Path.cwd(), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()) == here:
                found.append(process)
        except psutil.Error:
            pass
    return found


# -------------------------------------------------------------------------------- what kills leave


def test_after_a_kill_that_broke_the_list_of_files_in_use_a_run_goes_on(project):
    """DVC alone fails from then on: the list's JSON structure is corrupted."""
    Path(".dvc/tmp/rwlock").write_text("")
    assert subprocess.run(["dvc", "repro"], capture_output=True).returncode != 0
    ended = subprocess.run([*REPRO, "1"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "removed .dvc/tmp/rwlock, which a killed process left broken" in ended.stdout
    assert Path("out").exists()


@pytest.mark.parametrize(
    "left", ["", '{"write": {', "[]", '{"write": {"a": {"pid": "x", "cmd": ""}}}', "\0" * 40]
)
def test_whatever_dvc_cannot_read_counts_as_broken(project, left, capsys):
    Path(".dvc/tmp/rwlock").write_text(left)
    git.mend("repro")
    assert not Path(".dvc/tmp/rwlock").exists() and capsys.readouterr().out
    in_use_by(os.getpid())
    git.mend("repro")
    assert Path(".dvc/tmp/rwlock").exists() and not capsys.readouterr().out


@pytest.mark.parametrize("committed", [True, False])
def test_after_a_kill_that_cut_off_dvc_lock_a_run_goes_on(project, committed):
    """DVC alone fails from then on: dvc.lock is invalid."""
    subprocess.run([*REPRO, "1"], check=True)
    whole = Path("dvc.lock").read_bytes()
    if committed:
        subprocess.run(["git", "add", "--all"], check=True)
        subprocess.run(["git", "commit", "--quiet", "-m", "results"], check=True)
    Path("dvc.lock").write_bytes(whole[: whole.index(b"md5:") + 2])
    assert subprocess.run(["dvc", "repro"], capture_output=True).returncode != 0
    ended = subprocess.run([*REPRO, "1"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "restored dvc.lock, which a killed process left broken" in ended.stdout
    assert Path("dvc.lock").read_bytes() == whole


def test_dvc_can_read_whatever_counts_as_a_whole_lock(project):
    """Wherever it is cut off: what DVC refuses is restored, and what it takes may stay."""
    subprocess.run([*REPRO, "1"], check=True)
    whole = Path("dvc.lock").read_bytes()
    for cut in range(0, len(whole), 13):
        Path("dvc.lock").write_bytes(whole[:cut])
        git.mend_lock("repro")
        ended = subprocess.run(["dvc", "status"], capture_output=True, text=True)
        assert ended.returncode == 0, f"cut at {cut}: {ended.stderr}"


def test_what_a_killed_experiment_left_staged_is_in_no_commit(project):
    """DVC stages .dvc/tmp/repro.dat while an experiment runs in the folder."""
    subprocess.run([*REPRO, "1"], check=True)
    status = ["git", "status", "--porcelain"]
    before = subprocess.run(status, capture_output=True, text=True).stdout
    Path(".dvc/tmp/repro.dat").write_bytes(b"DVC's")
    subprocess.run(["git", "add", "--force", ".dvc/tmp/repro.dat"], check=True)
    subprocess.run([*REPRO, "1"], check=True)
    assert subprocess.run(status, capture_output=True, text=True).stdout == before


def in_use_by(pid: int) -> None:
    entry = {"pid": pid, "cmd": "dvc repro"}
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(Path("out").resolve()): entry}}))


def test_a_number_that_another_process_has_inherited_holds_nothing(project):
    in_use_by(os.getpid())
    assert git.holders() == [f"process {os.getpid()}, dvc repro"]
    os.utime(".dvc/tmp/rwlock", (1, 1))
    assert git.holders() == []


def test_a_number_inherited_by_a_process_elsewhere_keeps_no_run_waiting(project, tmp_path):
    """The list is as young as DVC's last command, whoever may have been killed before it. DVC alone
    says that the stage's output is busy."""
    with subprocess.Popen(["sleep", "60"], cwd="/") as other:
        try:
            time.sleep(0.1)
            in_use_by(other.pid)
            assert subprocess.run(["dvc", "repro"], capture_output=True).returncode != 0
            in_use_by(other.pid)
            ended = subprocess.run([*REPRO, "1"], capture_output=True, text=True, timeout=50)
            assert ended.returncode == 0, ended.stderr
            assert "waiting" not in ended.stdout and Path("out").exists()
        finally:
            other.kill()


@pytest.mark.parametrize(
    "command, kind",
    [
        (("dvc", "repro"), signal.SIGKILL),
        ((*REPRO, "1"), signal.SIGINT),
        ((*REPRO, "1"), signal.SIGTERM),
        ((*REPRO, "2"), signal.SIGKILL),
        ((*REPRO, "2"), signal.SIGTERM),
        ((*REPRO, "2"), signal.SIGINT),
    ],
)
def test_nothing_goes_on_when_the_command_is_killed_and_the_next_one_succeeds(
    project, command, kind
):
    """Killed alone, without the stage it has started."""
    Path("seconds").write_text("300")
    running = start("said", *command)
    wait_for(Path("begun").exists)
    if kind == signal.SIGINT:  # the terminal sends it to all of them
        os.killpg(running.pid, kind)
    else:
        running.send_signal(kind)
    wait_for(lambda: not at_work())
    assert running.wait() != 0 and not Path("out").exists()
    assert "Traceback" not in Path("said").read_text()
    Path("seconds").write_text("0")
    subprocess.run([*REPRO, "1"], check=True)
    assert Path("out").exists()


# ---------------------------------------------------------------------------------- beside others


def test_a_second_run_says_who_is_at_work_and_waits(project):
    Path("seconds").write_text("4")
    first = start("first", *REPRO, "2")
    wait_for(Path("begun").exists)
    second = start("second", *REPRO, "2")
    assert first.wait() == second.wait() == 0
    said = Path("second").read_text()
    assert f"another run is at work in this folder (process {first.pid}, repro); waiting" in said
    assert "1 of 1 stages were up to date" in said


def test_a_run_waits_for_dvc_as_well(project):
    Path("seconds").write_text("4")
    first = start("first", "dvc", "repro")
    wait_for(Path("begun").exists)
    second = start("second", *REPRO, "2")
    assert first.wait() == second.wait() == 0
    assert f"(process {first.pid}, " in Path("second").read_text()


@pytest.mark.parametrize("command", ["check", "repro", "sweep"])
def test_outside_of_a_git_repository_the_remedy_is_named(command, tmp_path, environment):
    """As in a downloaded ZIP."""
    for name in ("params.yaml", "datasets.yaml", "sweep/grid.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    said = subprocess.run(
        ["python", "-m", "chestflow", command],
        cwd=tmp_path,
        env=environment
        | {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    assert said.stderr.startswith(f"{command}: DVC needs a Git repository, and here is none; git")


def test_elsewhere_nothing_is_created(tmp_path):
    ended = subprocess.run([*REPRO, "2"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stderr
    assert "has no folder .dvc" in ended.stderr and not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------- without a name


@pytest.fixture
def nameless(project, tmp_path_factory, monkeypatch):
    """The project, committed by somebody, on a machine whose Git knows nobody."""
    for line in ("git add .", "git commit --quiet --message start"):
        subprocess.run(line.split(), check=True)
    for who in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def test_experiments_from_a_changed_folder_need_no_name(nameless, capsys):
    git.identify()
    assert "Git knows no name" in capsys.readouterr().err
    for seconds in ("0.1", "0.2"):
        Path("seconds").write_text(seconds)
        subprocess.run(["dvc", "exp", "run", "--name", f"for-{seconds}"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "by nobody"], check=True)
    git.identify()
    assert capsys.readouterr().err == "", "once is enough"


def test_a_name_that_is_there_is_kept(nameless):
    subprocess.run(["git", "config", "--global", "user.name", "Ada"], check=True)
    subprocess.run(["git", "config", "--global", "user.email", "ada@localhost"], check=True)
    git.identify()
    assert "Ada" in subprocess.check_output(["git", "var", "GIT_AUTHOR_IDENT"], text=True)


# ----------------------------------------------------------------- what an experiment inherits


def test_what_is_not_as_committed_is_named(project, capsys, monkeypatch):
    """An experiment starts from the folder as it is, with the changes of the one before."""
    text = (ROOT / "params.yaml").read_text()
    files = [Path("params.yaml"), ROOT / "datasets.yaml", Path("settings")]
    files[0].write_text(text)
    for line in ("git add .", "git commit --quiet --message start"):
        subprocess.run(line.split(), check=True)
    configure("pneumonia", *files)
    assert capsys.readouterr().out.count("\n") == 1
    changed = text.replace("pixels: 28", "pixels: 64").replace("    epochs: 16\n", "", 1)
    files[0].write_text(changed)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "HEAD")
    configure("pneumonia", *files)
    told = capsys.readouterr().out.splitlines()[:-1]
    assert told == [
        "configure: not as committed: pixels: 28 -> 64",
        "configure: not as committed: runs.lowdata.epochs: 16 -> not set",
    ]
