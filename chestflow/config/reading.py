"""Reading parameter files: a mistake becomes an error of one line, before any data are read."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from chestflow.config.schema import Dataset, Datasets, Grid, Params, Training, one_of
from chestflow.errors import UserError, printable

Model = TypeVar("Model", bound=BaseModel)


def params(path: str | Path) -> Params:
    """Read and check `params.yaml`.

    Raises UserError, in one line, for an unknown key, a wrong type or a value out of range.
    """
    return _checked(Params, path)


def datasets(path: str | Path) -> dict[str, Dataset]:
    """Read and check `datasets.yaml`; the same errors."""
    return _checked(Datasets, path).datasets


def both(params_path: Path, datasets_path: Path) -> Params:
    """Read and check both files together; the same errors, and one for a data set that
    `datasets.yaml` does not declare."""
    values, known = params(params_path), datasets(datasets_path)
    for run, declared in values.runs.items():
        one_of(f"{params_path}: runs.{run}.dataset", declared.dataset, known)
    one_of(f"{params_path}: autoencoder.dataset", values.autoencoder.dataset, known)
    return values


def dataset(path: str | Path, key: str) -> Dataset:
    """One entry of `datasets.yaml`; the same errors, and one that lists the known entries."""
    return entry(datasets(path), key, "dataset")


def settings(path: Path) -> Any:
    """What stage `configure` has written: the settings as attributes."""
    return json.loads(path.read_bytes(), object_hook=lambda block: Training(**block))


def grid(path: str | Path) -> Grid:
    """Read and check the declaration of a sweep; the same errors."""
    return _checked(Grid, path)


def entry(entries: dict, key: str, kind: str):
    """`entries[key]`, or a UserError that lists the known keys, for names given as arguments."""
    one_of(kind, key, entries)
    return entries[key]


def read_yaml(path: str | Path) -> Any:
    """The values of a YAML file, read by DVC's own reader: both take 1e-3 for a number, 010 for 10,
    and refuse a key that is given twice. Raises UserError for what is not YAML."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is not here; run this in the repository's own folder") from None
    try:
        return YAML(typ="safe").load(content.decode("utf-8-sig"))
    except Exception as error:  # not only YAMLError: of 2001-13-45 a ValueError, of !!int '' others
        reason = " ".join(str(error).partition("To suppress this check")[0].split())
        raise UserError(f"{path} is not YAML: {reason or type(error).__name__}") from None


def _checked(model: type[Model], path: str | Path) -> Model:
    """A file's values as a model. Raises UserError, which begins with the path, for the first
    mistake."""
    values = read_yaml(path)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(printable(f"{path}: {_described(error.errors()[0])}")) from None


def _described(mistake: Any) -> str:
    """`runs.chest.steps = 0: Input should be greater than or equal to 1`."""
    key = ".".join(str(part) for part in mistake["loc"] if part != "[key]")
    if mistake["type"] == "value_error":  # a UserError, which names the value
        return f"{key}: {mistake['ctx']['error']}".removeprefix(": ")
    if mistake["type"] == "missing":
        return f"{key} is missing; it must be given"
    return f"{key or 'the file'} = {mistake['input']!r:.80}: {mistake['msg']}"
