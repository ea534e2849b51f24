"""Reading parameter files: every mistake is named in one line, before any data are read."""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from chestflow.config import document
from chestflow.config.datasets import Dataset, Datasets
from chestflow.config.schema import (
    Block,
    Grid,
    Params,
    Points,
    Pretraining,
    Settings,
    Training,
    one_of,
)
from chestflow.config.values import shown
from chestflow.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def params(path: str | Path) -> Params:
    """Read and check `params.yaml`.

    Raises UserError, in one line, for the first unknown key, wrong type or value out of range.
    """
    return _checked(Params, document.read(path), f"{path}: ")


def datasets(path: str | Path) -> dict[str, Dataset]:
    """Read and check `datasets.yaml`; the same errors."""
    return _checked(Datasets, document.read(path), f"{path}: ").datasets


def dataset(path: str | Path, key: str) -> Dataset:
    """One entry of `datasets.yaml`; the same errors, and one that lists what there is."""
    return entry(datasets(path), key, "dataset")


def training(path: Path) -> Training:
    """The complete settings of a run, as stage `configure` has written them."""
    return Training.model_validate(document.read(path))


def points(path: Path) -> Points:
    """The numbers of labels that a run is trained with in addition."""
    return Points.model_validate(document.read(path))


def pretraining(path: Path) -> Pretraining:
    """Those of the autoencoder."""
    return Pretraining.model_validate(document.read(path))


def grid(path: str | Path, params: Params) -> Grid:
    """Read and check the declaration of a sweep; the same errors."""
    found = _checked(Grid, document.read(path), f"{path}: ")
    for name, changes in found.configurations.items():
        where = f"{path}: configurations.{name}: "
        changed(params, changes, where)
        for key in changes:
            one_of(f"{where}{key}", key, list(Settings.model_fields))
    return found


def changed(params: Params, changes: dict[str, Any], where: str = "") -> Params:
    """The parameters with other top-level values, checked; `where` begins the error's line."""
    return _checked(Params, params.model_dump(exclude_unset=True) | changes, where)


def entry(entries: dict, key: str, kind: str):
    """`entries[key]`, or a UserError that lists what there is, for names given as arguments."""
    one_of(kind, key, list(entries))
    return entries[key]


def _checked(model: type[Model], values, where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(where + _first_mistake(model, error)) from None


def _first_mistake(model: type[BaseModel], error: ValidationError) -> str:
    mistakes = error.errors()  # a name that is unknown says why another is missing
    mistake = next((m for m in mistakes if m["type"] == "extra_forbidden"), mistakes[0])
    place = [str(part) for part in mistake["loc"]]
    if mistake["type"] == "name":  # of a key: the message tells it
        place = place[:-2] if place[-1] == "[key]" else place
        return f"{_dotted(place)}: {mistake['msg']}"
    if mistake["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(model, place[:-1]))
        return f"{_dotted(place)} is not a parameter; accepted here: {known}"
    if isinstance(mistake.get("ctx", {}).get("error"), UserError):
        return str(mistake["ctx"]["error"])
    if mistake["type"] == "missing":
        return f"{_dotted(place)} is missing; it must be given"
    reason = re.sub(r"^Value error, | or instance of \w+$", "", mistake["msg"])
    return f"{_dotted(place) or 'the file'} = {shown(mistake['input'])}: {reason}"


def _dotted(place: list[str]) -> str:
    return ".".join(part if part.isprintable() else shown(part) for part in place)


def _fields_at(model: Any, place: list[str]) -> list[str]:
    """Names of the fields that a model has at a place such as ["datasets", "chestmnist"]."""
    for part in place:
        is_block = isinstance(model, type) and issubclass(model, Block)
        model = model.model_fields[part].annotation if is_block else model.__args__[-1]
        if type(None) in getattr(model, "__args__", ()):  # a block that may be null
            model = model.__args__[0]
    return list(model.model_fields)
