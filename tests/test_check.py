"""`chestflow check` gives Git a name for commits where it has none."""

import subprocess

import pytest

from chestflow.commands.check import identify
from chestflow.errors import UserError


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def test_a_name_is_given_only_where_there_is_none(tmp_path, monkeypatch, capsys):
    """On a machine where Git knows nobody."""
    for who in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="needs a Git repository"):  # as in a downloaded ZIP
        identify()
    git("init", "--quiet")
    identify()
    assert "Git knows no name" in capsys.readouterr().err
    git("commit", "--quiet", "--allow-empty", "--message", "by nobody")
    git("config", "user.name", "Ada")
    identify()
    assert capsys.readouterr().err == "" and "Ada" in git("var", "GIT_AUTHOR_IDENT")
