"""Reading parameter files: every mistake is named in one line, before any data are read."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from chestflow.core.errors import UserError
from chestflow.parameters.schema import (
    Block,
    Curve,
    Dataset,
    Datasets,
    Grid,
    Params,
    Pretraining,
    Training,
    one_of,
)

Model = TypeVar("Model", bound=BaseModel)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2's numbers, as DVC reads them: PyYAML alone takes 1e-3 for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def params(path: str | Path) -> Params:
    """Read and check `params.yaml`.

    Raises UserError, in one line, for the first unknown key, wrong type or value out of range.
    """
    return _checked(Params, _read(path), f"{path}: ")


def datasets(path: str | Path) -> dict[str, Dataset]:
    """Read and check `datasets.yaml`; the same errors."""
    return _checked(Datasets, _read(path), f"{path}: ").datasets


def dataset(path: str | Path, key: str) -> Dataset:
    """One entry of `datasets.yaml`; the same errors, and one that lists what there is."""
    return entry(datasets(path), key, "dataset")


def training(path: Path) -> Training:
    """The complete settings of a run, as stage `configure` has written them."""
    return Training.model_validate(_read(path))


def curve(path: Path) -> Curve:
    """Those of a label-efficiency curve."""
    return Curve.model_validate(_read(path))


def pretraining(path: Path) -> Pretraining:
    """Those of the autoencoder."""
    return Pretraining.model_validate(_read(path))


def grid(path: str | Path, params: Params) -> Grid:
    """Read and check the declaration of a sweep; the same errors."""
    found = _checked(Grid, _read(path), f"{path}: ")
    for name, changes in found.configurations.items():
        changed(params, changes, f"{path}: configurations.{name}: ")
    return found


def changed(params: Params, changes: dict[str, Any], where: str = "") -> Params:
    """The parameters with other top-level values, checked; `where` begins the error's line."""
    return _checked(Params, params.model_dump(exclude_unset=True) | changes, where)


def entry(entries: dict, key: str, kind: str):
    """`entries[key]`, or a UserError that lists what there is, for names given as arguments."""
    one_of(kind, key, list(entries))
    return entries[key]


def _read(path: str | Path):
    try:
        return yaml.load(Path(path).read_text(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _checked(model: type[Model], values, where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(where + _first_mistake(model, error)) from None


def _first_mistake(model: type[BaseModel], error: ValidationError) -> str:
    mistake = error.errors()[0]
    place = _place(mistake)
    if mistake["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(model, place[:-1]))
        return f"{'.'.join(place)} is not a parameter; accepted here: {known}"
    if isinstance(mistake.get("ctx", {}).get("error"), UserError):
        return str(mistake["ctx"]["error"])
    if mistake["type"] == "missing":
        return f"{'.'.join(place)} is missing; it must be given"
    reasons = " or ".join(e["msg"] for e in error.errors() if _place(e) == place)
    return f"{'.'.join(place) or 'the file'} = {mistake['input']!r}: {reasons}"


def _place(mistake) -> list[str]:
    """The keys that lead to a mistake, without the names that pydantic gives to alternatives."""
    parts = map(str, mistake["loc"])
    return [part for part in parts if not re.match(r"literal\[|constrained-|int$", part)]


def _fields_at(model: Any, place: list[str]) -> list[str]:
    """Names of the fields that a model has at a place such as ["datasets", "chestmnist"]."""
    for part in place:
        is_block = isinstance(model, type) and issubclass(model, Block)
        model = model.model_fields[part].annotation if is_block else model.__args__[-1]
    return list(model.model_fields)
