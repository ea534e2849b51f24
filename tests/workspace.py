"""A copy of the repository in which tests may do what they like, and DVC in it."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RUNNING = r"(?m)^Running stage '(.+)'"
RESULTS = ("metrics/", "plots/", "report/")  # what Git keeps of the outputs, beside dvc.lock


class Workspace:
    """A copy of the working tree as Git would see it, with a history of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], leave: tuple[str, ...] = ()):
        self.folder, self.environment = folder, environment
        tree = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(tree, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(leave or ("\0",)):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def succeed(self, *command: str) -> str:
        ended = self.run(*command)
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def chestflow(self, *words: str) -> tuple[str, ...]:
        """The command `chestflow` with this folder's code."""
        return ("python", "-m", "chestflow", *words)

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "commit", "--quiet", "--message", "state")

    def ran(self, *command: str) -> set[str]:
        """The stages that a DVC command runs, or would run."""
        return set(re.findall(RUNNING, self.succeed(*command)))

    def would_run(self) -> set[str]:
        return self.ran("dvc", "repro", "--dry")

    def restore(self) -> None:
        """The committed state again, outputs included."""
        self.succeed("git", "checkout", "--quiet", "--", ".")
        self.succeed("dvc", "checkout", "--quiet")

    def stages(self) -> set[str]:
        return set(self.succeed("dvc", "stage", "list", "--all", "--name-only").split())

    def params(self) -> dict:
        return yaml.safe_load(self.read("params.yaml"))

    def set_params(self, params: dict, name: str = "params.yaml") -> None:
        self.write(name, yaml.safe_dump(params, sort_keys=False))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert old in text, f"{name} does not hold {old!r}"
        self.write(name, text.replace(old, new, 1))
