"""The documentation: does every link lead somewhere, and is every command one that can be run?"""

import json
import re
import shlex
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from chestflow.cli import parse
from chestflow.commands.sweep import markdown
from chestflow.report.page import slug

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.*")), *ROOT.glob("benchmarks/*.md")]
OTHERS = {"git", "python3", "python", "uv", ".", "pre-commit", "nice", "dask", "ssh", "srun", "rm"}
FILES = {
    name: yaml.safe_load((ROOT / name).read_text()) for name in ("params.yaml", "datasets.yaml")
}
DVC = get_main_parser()


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


def written(page: Path) -> str:
    """A page as Markdown; of a notebook the prose, and its shell's lines as blocks."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    code = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
    shell = [line + "\n" for line in re.findall(r"(?m)^!(.*)$", code)]
    return "\n\n".join([*prose, f"```sh\n{''.join(shell)}```"])


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```", "", written(page))


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", prose(file))
            assert anchor in {slug(heading.replace("`", "")) for heading in headings}, target


def commands(page: Path) -> list[list[str]]:
    """The commands of a page's sh blocks and of its tables, as words; none said to be removed."""
    text = re.sub(r"(?m)^- Removed: .*$", "", written(page))
    lines = "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", text)).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`((?:dvc|make|chestflow) [^`]+)`", text)
    listed = []
    for line in lines:
        words = shlex.split(re.sub(r"\$\([^)]*\)", "x", line), comments=True)
        parts = groupby(words, key=lambda word: word == "&&")
        listed += [list(part) for is_separator, part in parts if not is_separator]
    return [words for words in listed if not {"...", "COMMAND"} & set(words)]


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_command_is_one_that_can_be_run(page):
    for words in commands(page):
        name, *rest = words
        if name == "dvc":
            check_dvc(rest)
        elif name == "chestflow":
            parse(rest)
        elif name == "make":
            check_make(rest)
        elif name == "python" and rest[:1] == ["-m"]:
            assert (ROOT / f"{rest[1].replace('.', '/')}.py").exists(), words
        else:
            assert name in OTHERS or name.startswith(".venv/bin/"), words


def check_dvc(words: list[str]) -> None:
    options, added = DVC.parse_args(words), set()
    for override in getattr(options, "set_param", None) or []:
        key, equals, _ = override.partition("=")
        file, _, key = key.rpartition(":")
        assert equals and holds(FILES[file or "params.yaml"], key.lstrip("+")) != ("+" in key), key
        added |= set(key.split(".")[1:2]) if key.startswith("+runs.") else set()
    for target in getattr(options, "targets", None) or []:
        stage, _, item = target.partition("@")
        known = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
        if stage in known and item:
            known_items = FILES["params.yaml"]["runs"] | FILES["datasets.yaml"]["datasets"]
            assert item in {*known_items, *added}, target


def holds(block, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(block, dict) or part not in block:
            return False
        block = block[part]
    return True


def check_make(words: list[str]) -> None:
    ended = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, f"make {' '.join(words)}: {ended.stderr}"


def test_the_walkthroughs_figures_are_outputs():
    cells = (ROOT / "docs/walkthrough.ipynb").read_text()
    figures = re.findall(r'\\"((?:runs|overview)/[a-z/]+)\\"', cells)
    assert figures and all((ROOT / f"plots/{name}.png").is_file() for name in figures)


def test_the_sweeps_table_is_the_one_of_its_figures():
    """sweep.md is written together with sweep.json; an edit by hand would part them."""
    report = json.loads((ROOT / "sweep/sweep.json").read_text())
    assert (ROOT / "sweep/sweep.md").read_text() == markdown(report)
