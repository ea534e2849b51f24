"""What DVC needs from Git: a repository, its whole history, and a name for commits."""

import os
import subprocess
import sys

from chestflow.errors import UserError

NAME = {"user.name": "chestflow", "user.email": "chestflow@localhost"}


def git(*words: str) -> subprocess.CompletedProcess:
    """A Git command, with messages in English, because some are read here."""
    english = os.environ | {"LC_ALL": "C"}
    return subprocess.run(["git", *words], capture_output=True, text=True, env=english)


def require_git() -> None:
    """Raise UserError outside a Git repository (as in a downloaded ZIP), or if Git refuses to use
    it."""
    if refused := git("rev-parse", "--git-dir").stderr:
        start = "git init && git add . && git -c user.name=me -c user.email=me@localhost commit"
        raise UserError(
            f"DVC needs a Git repository: {' '.join(refused.split())}; in a folder that is none:"
            f" {start} -qm start"
        )


def shallow() -> str:
    """What is wrong with a shallow clone and how to fix it; empty if the clone is complete."""
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "true":
        return ""
    return "this clone is shallow, and DVC keeps no experiments in it; git fetch --unshallow"


def identify() -> None:
    """Give this clone a name for commits if Git has none: DVC commits uncommitted changes before an
    experiment."""
    known = ("-c", "user.useConfigOnly=true", "var")  # or Git would make up a name
    if not any(git(*known, f"GIT_{who}_IDENT").returncode for who in ("AUTHOR", "COMMITTER")):
        return
    for key, value in NAME.items():
        git("config", "--local", key, value)
    print(
        "check: Git knows no name for your commits and DVC's; in this folder it is now"
        f" {NAME['user.name']} (change it: git config user.name, git config user.email)",
        file=sys.stderr,
    )
