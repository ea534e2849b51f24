"""Several stages at once: in which order, and what happens when one fails."""

import subprocess
import threading
import time

import pytest
import yaml

from stages import parallel
from stages.lib.errors import UserError

GRAPH = {"data": set(), "long": {"data"}, "longer": {"long"}, "short": {"data"}, "alone": set()}


def test_heights_count_the_longest_chain_that_waits():
    expected = {"data": 2, "long": 1, "longer": 0, "short": 0, "alone": 0}
    assert parallel.heights(GRAPH) == expected


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_stages_run_once_and_after_what_they_need(monkeypatch, jobs):
    finished, at_once, most = [], set(), 0
    lock = threading.Lock()

    def reproduce(stage):
        nonlocal most
        with lock:
            assert set(finished) >= GRAPH[stage]
            at_once.add(stage)
            most = max(most, len(at_once))
        time.sleep(0.02)
        with lock:
            at_once.remove(stage)
            finished.append(stage)
        return "done"

    monkeypatch.setattr(parallel, "reproduce", reproduce)
    parallel.run(GRAPH, jobs)
    assert sorted(finished) == sorted(GRAPH)
    assert most <= jobs


@pytest.fixture
def project(tmp_path, monkeypatch, environment):
    """A small DVC project: a -> b -> c, and d beside them."""
    shell = {
        "a": {"cmd": "cp in a", "deps": ["in"], "outs": ["a"]},
        "b": {"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        "c": {"cmd": "cp b c", "deps": ["b"], "outs": ["c"]},
        "d": {"cmd": "cp in d", "deps": ["in"], "outs": ["d"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": shell}))
    (tmp_path / "in").write_text("1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for line in ("git init --quiet", "dvc init --quiet"):
        subprocess.run(line.split(), check=True)
    return tmp_path


def test_a_real_graph_is_read_run_and_left_alone_when_current(project, capsys):
    graph = parallel.read_graph()
    assert graph == {"a": set(), "b": {"a"}, "c": {"b"}, "d": set()}
    parallel.parallel("2")
    assert (project / "c").read_text() == "1"
    assert "Data and pipelines are up to date" in parallel.dvc("repro").stdout
    capsys.readouterr()
    parallel.parallel("2")
    assert capsys.readouterr().out == ""


def test_only_what_follows_a_change_is_outdated(project):
    parallel.parallel("2")
    lines = (project / "dvc.yaml").read_text().replace("cp a b", "cp ./a b")
    (project / "dvc.yaml").write_text(lines)
    assert parallel.outdated(parallel.read_graph()) == {"b": set(), "c": {"b"}}


def test_a_failure_stops_what_follows_and_is_named(project):
    lines = (project / "dvc.yaml").read_text().replace("cp a b", "cp nowhere b")
    (project / "dvc.yaml").write_text(lines)
    with pytest.raises(UserError, match=r"^b failed, see above$"):
        parallel.parallel("2")
    assert not (project / "c").exists()


@pytest.mark.parametrize("jobs", ["0", "-1", "two", ""])
def test_jobs_must_be_a_whole_number(jobs):
    with pytest.raises(UserError, match=r"jobs = .*accepted: a whole number from 1"):
        parallel.parallel(jobs)
