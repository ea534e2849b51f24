"""What the commands say about Git: no repository, one that Git refuses, a shallow one, no name."""

import shutil
import subprocess
from pathlib import Path

import pytest
from workspace import ROOT

from chestflow import cli
from chestflow.commands import git
from chestflow.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder outside of any repository, on a machine where Git knows nobody."""
    for who in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}", raising=False)
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def git_does(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def test_outside_of_a_repository_the_remedy_is_named(folder):
    """As in a downloaded ZIP."""
    with pytest.raises(UserError, match=r"needs a Git repository.* git init && "):
        git.require_git()


def test_where_git_refuses_it_is_quoted(folder, monkeypatch):
    git_does("init", "--quiet")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match=r"DVC needs a Git repository: fatal: .*safe\.directory"):
        git.require_git()


def test_a_name_is_given_only_where_there_is_none(folder, capsys):
    git_does("init", "--quiet")
    git.identify()
    assert "Git knows no name" in capsys.readouterr().err
    git_does("commit", "--quiet", "--allow-empty", "--message", "by nobody")
    git_does("config", "user.name", "Ada")
    git.identify()
    assert capsys.readouterr().err == ""
    assert "Ada" in git_does("var", "GIT_AUTHOR_IDENT")


@pytest.fixture
def shallow(folder) -> Path:
    """A clone made with --depth, in which the parameters are as they should be."""
    git_does("init", "--quiet", "origin")
    for k in range(2):
        who = ("-c", "user.name=me", "-c", "user.email=me@localhost")
        git_does("-C", "origin", *who, "commit", "--quiet", "--allow-empty", "-m", str(k))
    git_does("clone", "--quiet", "--depth", "1", f"file://{folder}/origin", "clone")
    for name in ("params.yaml", "datasets.yaml", "sweep/grid.yaml"):
        (folder / "clone" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / "clone" / name)
    return folder / "clone"


def test_in_a_shallow_clone_check_warns_and_sweep_refuses(shallow, monkeypatch, capsys):
    monkeypatch.chdir(shallow)
    check, sweep = cli.parse(["check"]), cli.parse(["sweep"])
    check.function(check)
    assert "git fetch --unshallow" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"shallow, .*; git fetch --unshallow"):
        sweep.function(sweep)
