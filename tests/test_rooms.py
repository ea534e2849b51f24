"""The layout, as dvc.yaml and the package's docstrings promise it: rooms, imports, dependencies."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from chestflow.config.datasets import Dataset
from chestflow.stage import params_of

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FIELDS = ("deps", "outs", "metrics", "plots")
FLOORS = (  # from top to bottom: a room imports from its own and from lower floors
    ("commands",),
    ("packing",),
    ("own",),
    ("report", "figures"),
    ("training",),
    ("augmentation", "network", "measures"),
    ("images", "sources"),
    ("wording", "parameters"),
    ("core",),
)
FLOOR = {room: -i for i, rooms in enumerate(FLOORS) for room in rooms}
NO_DEPENDENCY = {"chestflow/parameters", "chestflow/__init__.py"}  # checks shape no output
MODULES = sorted((ROOT / "chestflow").rglob("*.py"))


def room_of(module: Path) -> str:
    """`figures` of chestflow/figures/gradcam.py, `wording` of chestflow/wording.py."""
    return module.relative_to(ROOT / "chestflow").parts[0].removesuffix(".py")


def imported(module: Path) -> set[Path]:
    """The modules of this repository that a module imports, within functions as well."""
    tree, found = ast.parse(module.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = (ROOT / f"{name.replace('.', '/')}.py" for name in found if name)
    return {file for file in files if file.is_file()}


def reached(modules: set[Path]) -> set[Path]:
    """The modules and all that they import, directly or not."""
    further = set().union(*map(imported, modules)) - modules
    return reached(modules | further) if further else modules


# ------------------------------------------------------------------------------------- the rooms


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_downwards(module):
    if module.name.startswith("__") and module.parent.name == "chestflow":
        return  # the command line starts what the rooms hold
    own = room_of(module)
    for other in imported(module) - {module}:
        room = room_of(other) if (ROOT / "chestflow") in other.parents else "stages"
        assert room == own or FLOOR[room] < FLOOR[own], f"{module} imports {other}"


def test_rooms_are_small_and_say_what_belongs_in_them():
    rooms = [path for path in (ROOT / "chestflow").iterdir() if path.is_dir()]
    for room in (room for room in rooms if room.name != "__pycache__"):
        modules = [path for path in room.glob("*.py") if path.name != "__init__.py"]
        most = 12 if room.name == "commands" else 9  # one module per command
        assert 1 < len(modules) <= most, room
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert len(text.split()) > 15, f"{room.name}: what belongs here, and what does not?"
    assert {room_of(module) for module in MODULES if module.name[0] != "_"} == set(FLOOR)


def test_files_are_as_long_as_a_reader_can_bear():
    lengths = dict.fromkeys([*MODULES, *(ROOT / "stages").glob("*.py")], 300)
    lengths |= {ROOT / "dvc.yaml": 350, ROOT / "params.yaml": 190, ROOT / "README.md": 150}
    long = {p.name: len(p.read_text().splitlines()) for p in lengths}
    assert not {p.name: long[p.name] for p, most in lengths.items() if long[p.name] > most}


@pytest.mark.parametrize("module", (ROOT / "chestflow/figures").glob("*.py"), ids=lambda p: p.stem)
def test_what_draws_loads_neither_torch_nor_scikit_learn(module):
    for found in reached({module}):
        heavy = r"(?m)^(?:from|import) (?:torch|sklearn|skimage)\b"
        assert not re.search(heavy, found.read_text()), found


# ------------------------------------------------------------------------- dvc.yaml, as written


def body(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def names(stage: str, field: str) -> list[str]:
    """The paths under `outs`, `metrics`, ... of a stage, without their options."""
    return [e if isinstance(e, str) else next(iter(e)) for e in body(stage).get(field, [])]


def script_of(stage: str) -> str:
    (script,) = re.findall(r"python -m stages\.(\w+)", body(stage)["cmd"])
    return script


def function_of(stage: str):
    return getattr(importlib.import_module(f"stages.{script_of(stage)}"), script_of(stage))


def test_every_script_is_a_stage_and_every_stage_is_named_after_its_script():
    scripts = {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}
    assert scripts == set(STAGES) == {script_of(stage) for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_deps_are_the_rooms_that_its_imports_reach(stage):
    """Module by module, so that a new augmentation does not retrain the autoencoder, though it is
    trained by the same room; `__init__` modules hold no code."""
    modules = reached({ROOT / "stages" / f"{script_of(stage)}.py"}) - {ROOT / "stages"}
    needed = set()
    for module in modules:
        path = module.relative_to(ROOT)
        is_room = path.parts[0] == "chestflow" and len(path.parts) > 2
        needed.add(str(Path(*path.parts[:2]) if is_room else path))
    declared = {path for path in names(stage, "deps") if path.startswith(("chestflow", "stages"))}
    assert declared == needed - NO_DEPENDENCY


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_params_are_those_that_its_function_reads(stage):
    """All of them and no more: a key that is read and not declared would go unnoticed when it
    changes, and one that is declared and not read would run the stage for nothing."""
    declared = [key for key in body(stage).get("params", []) if isinstance(key, str)]
    assert {key.split(".")[0] for key in declared} == set(params_of(function_of(stage)))
    for key in (key for key in declared if "." in key):
        block, field = key.split(".")
        assert re.search(rf"\b(?:{block}|grid)\.{field}\b", (script(stage)).read_text()), key


def script(stage: str) -> Path:
    return ROOT / "stages" / f"{script_of(stage)}.py"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_what_it_reads_of_a_data_set(stage):
    files = [entry for entry in body(stage).get("params", []) if isinstance(entry, dict)]
    keys = [key for entry in files for key in entry["datasets.yaml"]]
    declared = {re.sub(r"\$\{.*?\}", "x", key).split(".")[2] for key in keys}
    read = set(re.findall(r"\bdeclared\.(\w+)", script(stage).read_text()))
    read |= {"url", "md5", "files"} if "file" in read else set()  # `Dataset.file` reads these
    if "reading.dataset(" in script(stage).read_text():
        assert declared == read & set(Dataset.model_fields)
    else:
        assert not declared


def covers(given: str, declared: str) -> bool:
    """Whether a path handed to a script, a folder or `metrics/{kind}/x`, stands for another, or
    lies in it."""
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(given))
    return bool(re.fullmatch(f"{pattern}(/.*)?", declared)) or given.startswith(f"{declared}/")


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_names_what_the_stage_declares(stage):
    """A file handed to a script but not declared would go unnoticed, and the other way round."""
    given = set(re.findall(r"--\w+ (\S+)", body(stage)["cmd"]))
    declared = {path for field in FIELDS for path in names(stage, field)}
    declared = {path for path in declared if not path.startswith(("chestflow", "stages/"))}
    declared -= {"data/settings/checked.json"}  # waited for, not read
    by_key = {"params.yaml", "datasets.yaml"} - declared  # read key by key, under `params`
    assert not {path for path in declared if not any(covers(g, path) for g in given)}
    assert not {path for path in given - by_key if not any(covers(path, d) for d in declared)}
