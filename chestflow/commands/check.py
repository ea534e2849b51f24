"""Check params.yaml and datasets.yaml, and give Git a name for commits in this folder if it has
none. DVC would report an unknown `init` as a missing file, and would not notice a misspelt key.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from chestflow.config import reading
from chestflow.errors import UserError


def main(options: argparse.Namespace) -> None:
    reading.both(Path("params.yaml"), Path("datasets.yaml"))
    identify()


def identify() -> None:
    """Give this clone a name for commits if Git has none: DVC makes one of each experiment. Raises
    UserError outside of a repository."""
    if refused := subprocess.run(["git", "rev-parse"], capture_output=True, text=True).stderr:
        remedy = "in a folder from a ZIP: git init, then commit all files"
        raise UserError(f"DVC needs a Git repository: {' '.join(refused.split())}; {remedy}")
    known = ["git", "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT"]
    if subprocess.run(known, capture_output=True).returncode == 0:
        return
    for key, value in {"user.name": "chestflow", "user.email": "chestflow@localhost"}.items():
        subprocess.run(["git", "config", "--local", key, value], check=True)
    print(
        "check: Git knows no name for commits; in this folder it is now chestflow (change it:"
        " git config user.name, git config user.email)",
        file=sys.stderr,
    )
