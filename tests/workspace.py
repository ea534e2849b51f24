"""A copy of the repository in which tests may do what they like, and DVC in it."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RESULTS = ("metrics/", "plots/", "report/")  # what Git keeps of the outputs, beside dvc.lock


class Workspace:
    """A folder with files of the repository and the commands that run in it."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.environment = folder, environment

    def fill(self, leave: tuple[str, ...] = ()) -> None:
        """Copy the working tree, as Git sees it, without what begins like one of `leave`."""
        tree = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(tree, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(leave or ("\0",)):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        self.succeed("git", "init", "--quiet", "--initial-branch", "main")

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """A command in this folder; `chestflow` is the one of this folder's code."""
        if command[0] == "chestflow":
            command = ("python", "-m", "chestflow.cli", *command[1:])
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def succeed(self, *command: str) -> str:
        ended = self.run(*command)
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "commit", "--quiet", "--message", "state")

    def clone(self, folder: Path) -> "Workspace":
        self.succeed("git", "clone", "--quiet", ".", str(folder))
        return Workspace(folder, self.environment)

    def copy(self, folder: Path) -> "Workspace":
        """The same with all outputs, committed. Both use one cache, so that what the other has run
        is not run again."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copy = Workspace(folder, self.environment)
        copy.write(".dvc/config.local", f"[cache]\n    dir = {self.folder.parent / 'cache'}\n")
        copy.commit()
        return copy

    def changed(self) -> set[str]:
        """The stages that DVC would run because a dependency, a parameter or their command has
        changed; not those that follow."""
        from dvc.repo import Repo

        with contextlib.chdir(self.folder), Repo() as repo:
            return set(repo.status())

    def lock(self) -> dict[str, dict]:
        return yaml.safe_load(self.read("dvc.lock"))["stages"]

    def params(self, name: str = "params.yaml") -> dict:
        return yaml.safe_load(self.read(name))

    def set_params(self, params: dict, name: str = "params.yaml") -> None:
        self.write(name, yaml.safe_dump(params, sort_keys=False))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        assert old in self.read(name), f"{name} does not hold {old!r}"
        self.write(name, self.read(name).replace(old, new, 1))


def started(said: str) -> set[str]:
    """The stages that DVC said it runs."""
    return set(re.findall(r"(?m)^Running stage '(.+)'", said))
