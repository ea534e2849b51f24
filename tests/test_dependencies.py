"""dvc.yaml against the code: a stage depends on all that its imports reach, and on no more."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from chestflow.stage import params_of

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Checks of parameters, plain helpers for files, and errors: they shape no output.
NO_DEPENDENCY = {"chestflow/config", *(f"chestflow/{n}.py" for n in ("errors", "files", "stage"))}


def imported(module: Path) -> set[Path]:
    """The modules of this repository that a module imports, within functions as well; `__init__`
    modules hold no code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
    return {file for file in files if file.is_file()}


def reached(modules: set[Path]) -> set[Path]:
    """The modules and all that they import, directly or not."""
    further = set().union(*map(imported, modules)) - modules
    return reached(modules | further) if further else modules


def package_of(module: Path) -> str:
    """What dvc.yaml names: `chestflow/plots` of chestflow/plots/style.py, else the file itself."""
    parts = module.relative_to(ROOT).parts
    return "/".join(parts[:2])


def body(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def paths(stage: str, *fields: str) -> set[str]:
    """The paths under `outs`, `metrics`, ... of a stage, without their options."""
    entries = [entry for field in fields for entry in body(stage).get(field, [])]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def is_code(path: str) -> bool:
    return path.startswith(("chestflow", "stages/"))


def test_every_script_is_a_stage_named_after_it():
    scripts = {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}
    assert scripts == set(STAGES)
    for stage in STAGES:
        assert f"python -m stages.{stage} " in f"{body(stage)['cmd']} "


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_deps_are_the_packages_that_its_imports_reach(stage):
    """One that is missing would leave results of former code; one too many retrains for nothing."""
    needed = {package_of(module) for module in reached({ROOT / f"stages/{stage}.py"})}
    assert set(filter(is_code, paths(stage, "deps"))) == needed - NO_DEPENDENCY


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_params_are_those_that_its_function_reads(stage):
    declared = {key for key in body(stage).get("params", []) if isinstance(key, str)}
    function = getattr(importlib.import_module(f"stages.{stage}"), stage)
    assert declared == set(params_of(function))


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_names_what_the_stage_declares(stage):
    """A file handed to a script but not declared would go unnoticed, and the other way round."""
    given = set(re.findall(r"--\w+ (\S+)", body(stage)["cmd"]))
    declared = {path for path in paths(stage, "deps", "outs", "metrics") if not is_code(path)}
    declared -= {"data/settings/checked.json"}  # waited for, not read
    by_key = {"params.yaml", "datasets.yaml"} - declared  # read key by key, under `params`

    def overlap(a: str, b: str) -> bool:
        return f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/")

    assert not {path for path in declared if not any(overlap(path, g) for g in given)}
    assert not {path for path in given - by_key if not any(overlap(path, d) for d in declared)}


LIGHT = [*(ROOT / "chestflow/plots").glob("*.py"), ROOT / "stages/report.py"]


@pytest.mark.parametrize("module", LIGHT, ids=lambda path: path.stem)
def test_what_plots_and_reports_loads_neither_torch_nor_scikit_learn(module):
    """Either takes longer to start than the work takes."""
    heavy = r"(?m)^(?:from|import) (?:torch|sklearn|skimage)\b"
    assert not [other for other in reached({module}) if re.search(heavy, other.read_text())]
