"""Reading parameter files: a mistake becomes an error of one line, before any data are read."""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, YAMLError

from chestflow import files
from chestflow.config import schema
from chestflow.config.datasets import Dataset, Datasets
from chestflow.config.schema import Block, Grid, Params, Settings, one_of
from chestflow.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def params(path: str | Path) -> Params:
    """Read and check `params.yaml`.

    Raises UserError, in one line, for the first unknown key, wrong type or value out of range.
    """
    return _checked(Params, read_yaml(path), f"{path}: ")


def datasets(path: str | Path) -> dict[str, Dataset]:
    """Read and check `datasets.yaml`; the same errors."""
    return _checked(Datasets, read_yaml(path), f"{path}: ").datasets


def dataset(path: str | Path, key: str) -> Dataset:
    """One entry of `datasets.yaml`; the same errors, and one that lists the known entries."""
    return entry(datasets(path), key, "dataset")


def training(path: Path) -> schema.Training:
    """The complete settings of a run, as stage `configure` has written them."""
    return schema.Training.model_validate(files.read_json(path))


def points(path: Path) -> schema.Points:
    """The points of a run's label-efficiency curve."""
    return schema.Points.model_validate(files.read_json(path))


def pretraining(path: Path) -> schema.Pretraining:
    """The complete settings of the autoencoder."""
    return schema.Pretraining.model_validate(files.read_json(path))


def grid(path: str | Path, params: Params) -> Grid:
    """Read and check the declaration of a sweep; the same errors."""
    declared = _checked(Grid, read_yaml(path), f"{path}: ")
    for name, changes in declared.configurations.items():
        where = f"{path}: configurations.{name}: "
        changed(params, changes, where)
        for key in changes:
            one_of(f"{where}{key}", key, list(Settings.model_fields))
    return declared


def changed(params: Params, changes: dict[str, Any], where: str = "") -> Params:
    """The parameters with other top-level values, checked; `where` begins the error's line."""
    return _checked(Params, params.model_dump(exclude_unset=True) | changes, where)


def entry(entries: dict, key: str, kind: str):
    """`entries[key]`, or a UserError that lists the known keys, for names given as arguments."""
    one_of(kind, key, list(entries))
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
    except (YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Not all are YAMLError: 2001-13-45 is a ValueError, `!!int ''` an IndexError.
        reason = " ".join(str(error).partition("To suppress this check")[0].split())
        reason = reason.replace('in "<unicode string>", ', "in ") or type(error).__name__
        raise UserError(f"{path} is not YAML: {reason}") from None


def _checked(model: type[Model], values, where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(where + _first_mistake(model, error)) from None


def _first_mistake(model: type[BaseModel], error: ValidationError) -> str:
    mistakes = error.errors()  # an unknown name explains why another is missing
    mistake = next((m for m in mistakes if m["type"] == "extra_forbidden"), mistakes[0])
    place = [str(part) for part in mistake["loc"]]
    if place[-1:] == ["[key]"]:  # a bad name: the message quotes it
        return f"{_dotted(place[:-2])}: {mistake['msg']}"
    if mistake["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(model, place[:-1]))
        return f"{_dotted(place)} is not a parameter; accepted here: {known}"
    if isinstance(mistake.get("ctx", {}).get("error"), UserError):
        return str(mistake["ctx"]["error"])
    if mistake["type"] == "missing":
        return f"{_dotted(place)} is missing; it must be given"
    reason = re.sub(r"^Value error, | or instance of \w+$", "", mistake["msg"])
    return f"{_dotted(place) or 'the file'} = {_shortened(mistake['input'])}: {reason}"


def _dotted(place: list[str]) -> str:
    return ".".join(part if part.isprintable() else repr(part) for part in place)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields_at(model: Any, place: list[str]) -> list[str]:
    """Names of the fields that a model has at a place such as ["datasets", "chestmnist"]."""
    for part in place:
        is_block = isinstance(model, type) and issubclass(model, Block)
        model = model.model_fields[part].annotation if is_block else model.__args__[-1]
        if type(None) in getattr(model, "__args__", ()):  # a block that may be null
            model = model.__args__[0]
    return list(model.model_fields)
