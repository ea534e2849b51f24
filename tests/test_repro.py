"""Several stages at once: in which order, and what happens when one fails."""

import argparse
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from chestflow.commands import repro, summary
from chestflow.errors import UserError

GRAPH = {"data": set(), "long": {"data"}, "longer": {"long"}, "short": {"data"}, "alone": set()}


def call(*words: str) -> None:
    """`chestflow repro <words>`, in this process."""
    parser = argparse.ArgumentParser()
    repro.add_arguments(parser)
    repro.main(parser.parse_args(words))


# ----------------------------------------------------------------------------------- the order


def test_heights_count_the_longest_chain_that_waits():
    expected = {"data": 2, "long": 1, "longer": 0, "short": 0, "alone": 0}
    assert repro.heights(GRAPH) == expected


@pytest.fixture
def in_threads(monkeypatch):
    """Stages in threads of this process instead of processes, and instead of DVC a function."""

    def put(reproduce) -> None:
        monkeypatch.setattr(repro, "processes", ThreadPoolExecutor)
        monkeypatch.setattr(repro, "reproduce", reproduce)

    return put


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_each_stage_runs_once_and_after_those_it_needs(in_threads, capsys, jobs):
    finished, at_once, most = [], set(), 0
    lock = threading.Lock()

    def reproduce(stage):
        nonlocal most
        with lock:
            assert set(finished) >= GRAPH[stage]
            at_once.add(stage)
            most = max(most, len(at_once))
        time.sleep(0.05)
        with lock:
            at_once.remove(stage)
            finished.append(stage)
        return repro.Ended(0, f"{stage}: about to end\n{stage}: has ended\n"), 1.6

    in_threads(reproduce)
    repro.run(GRAPH, jobs)
    assert sorted(finished) == sorted(GRAPH)
    assert min(jobs, 2) <= most <= jobs
    if jobs == 1:
        assert finished[:2] == ["data", "long"], "what most stages wait for comes first"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line[:5] for line in told] == [f"[{n}/5]" for n in range(1, 6)]
    assert sorted(line[6:] for line in told) == [f"{s}: 2 s, has ended" for s in sorted(GRAPH)]


def test_a_stage_without_last_words_is_done():
    assert repro.finish("train@a", repro.Ended(0, "evaluate: 0.9\n")) == "done"
    assert repro.finish("train@a", repro.Ended(0, "noise\ntrain: 0.9\n")) == "0.9"


def test_after_a_failure_no_stage_is_started(in_threads, capsys):
    started = []

    def reproduce(stage):
        started.append(stage)
        return repro.Ended(int(stage == "data"), "what went wrong"), 0.0

    in_threads(reproduce)
    with pytest.raises(UserError, match=r"^data failed, see above$"):
        repro.run(GRAPH, 1)
    assert started == ["data"]
    assert capsys.readouterr().err == "what went wrong\n"


# ------------------------------------------------------------------------- real projects, real DVC


@pytest.fixture
def start(tmp_path, monkeypatch, environment):
    """Make a DVC project of the stages given."""

    def started(stages: dict):
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        (tmp_path / "in").write_text("1")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        for line in ("git init --quiet", "dvc init --quiet"):
            subprocess.run(line.split(), check=True)
        return tmp_path

    return started


def copying(source: str, target: str) -> dict:
    return {"cmd": f"cp {source} {target}", "deps": [source], "outs": [target]}


@pytest.fixture
def project(start):
    """a -> b -> c, and d beside them."""
    chain = {"a": copying("in", "a"), "b": copying("a", "b"), "c": copying("b", "c")}
    return start(chain | {"d": copying("in", "d")})


def replace(project, old: str, new: str) -> None:
    lines = (project / "dvc.yaml").read_text()
    assert old in lines
    (project / "dvc.yaml").write_text(lines.replace(old, new))


def outdated() -> repro.Graph:
    with repro.processes(1) as pool:
        return repro.outdated(pool, repro.read_graph(pool))


def test_a_graph_is_read_run_and_left_alone_when_current(project, capsys):
    with repro.processes(1) as pool:
        graph = repro.read_graph(pool)
    assert graph == {"a": set(), "b": {"a"}, "c": {"b"}, "d": set()}
    call("--jobs", "2")
    assert (project / "c").read_text() == "1"
    ended = subprocess.run(["dvc", "repro"], capture_output=True, text=True, check=True)
    assert "Data and pipelines are up to date" in ended.stdout
    capsys.readouterr()
    call("--jobs", "2")
    assert capsys.readouterr() == ("repro: 4 of 4 stages were up to date\n", "")


def test_only_what_follows_a_change_is_outdated(project):
    call("--jobs", "2")
    replace(project, "cp a b", "cp ./a b")
    assert outdated() == {"b": set(), "c": {"b"}}


def test_a_failure_stops_what_follows_and_is_named(project, capfd):
    replace(project, "cp a b", "cp nowhere b")
    with pytest.raises(UserError, match=r"^b failed, see above$"):
        call("--jobs", "2")
    assert not (project / "c").exists()
    assert "nowhere" in capfd.readouterr().err, "what the stage said"


def test_two_stages_run_at_once(start):
    """Each waits until the other has begun."""
    wait = "for i in $(seq 300); do test -e {0}.begun && break; sleep 0.1; done; test -e {0}.begun"
    stages = {
        name: {"cmd": f"touch {name}.begun; {wait.format(other)} && touch {name}", "outs": [name]}
        for name, other in ("ab", "ba")
    }
    folder = start(stages)
    call("--jobs", "2")
    assert (folder / "a").exists() and (folder / "b").exists()


def test_what_the_settings_change_is_known_only_after_configure(start, capsys):
    """It writes one file per training; only then can DVC tell which trainings have to run again."""
    split = "mkdir -p set && cp in set/a && cp other set/b"
    stages = {"configure": {"cmd": split, "deps": ["in", "other"], "outs": ["set/a", "set/b"]}}
    stages |= {name: copying(f"set/{name}", name) for name in "ab"}
    folder = start(stages)
    (folder / "other").write_text("1")
    call("--jobs", "2")
    (folder / "other").write_text("2")
    capsys.readouterr()
    call("--jobs", "2")
    assert (folder / "b").read_text() == "2"
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("[1/1] b: "), "a has not changed"
    assert lines[2:] == ["repro: 1 of 3 stages were up to date"]


def test_in_a_fresh_clone_every_stage_counts_once(start, capsys):
    """Without its data DVC cannot say what has changed: all stages run, `configure` before them."""
    settings = {"cmd": "cp in settings", "deps": ["in"], "outs": ["settings"]}
    folder = start({"configure": settings, "a": copying("settings", "a")})
    call("--jobs", "2")
    for path in (folder / "settings", folder / "a", folder / ".dvc/cache"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    capsys.readouterr()
    call("--jobs", "2")
    assert capsys.readouterr().out.splitlines()[-1] == "repro: 0 of 2 stages were up to date"


def test_one_job_is_the_plain_dvc_repro(project, capfd):
    call("--jobs", "1")
    assert "Running stage 'a'" in capfd.readouterr().out and (project / "c").exists()


def test_what_dvc_cannot_read_is_reported_in_its_own_words(project):
    replace(project, "outs", "out")
    with pytest.raises(UserError, match=r"^dvc dag failed: .*dvc\.yaml"):
        call("--jobs", "2")


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_jobs_must_be_positive(jobs):
    with pytest.raises(UserError, match=r"jobs = .*accepted: a whole number from 1"):
        call(f"--jobs={jobs}")


@pytest.mark.parametrize("jobs", ["two", "", "1.5"])
def test_jobs_must_be_a_whole_number(jobs, capsys):
    with pytest.raises(SystemExit, match="2"):
        call(f"--jobs={jobs}")
    assert f"--jobs: invalid int value: {jobs!r}" in capsys.readouterr().err


def test_a_summary_is_short_and_ends_with_the_page_to_open(tmp_path, monkeypatch, capsys):
    metrics = Path(__file__).parents[1] / "metrics/runs"
    monkeypatch.chdir(tmp_path)
    summary.main(argparse.Namespace(metrics=metrics))
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "Answers: dvc repro report writes report/index.html"
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").write_text("")
    summary.main(argparse.Namespace(metrics=metrics))
    said = capsys.readouterr().out
    *_, last = said.splitlines()
    assert last == f"Answers: open {(tmp_path / 'report/index.html').as_uri()}"
    assert len(said.splitlines()) <= 4 + len(list(metrics.glob("*.json")))
    assert not re.search(r"\d\.\d{4}", said), "raw figures"


def test_a_summary_without_results_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"holds no results; run the graph first, .*make repro"):
        summary.main(argparse.Namespace(metrics=tmp_path))
