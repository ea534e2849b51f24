"""What `params.yaml` may hold: one typed model, so that a mistake is named before data is read."""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.lib.errors import UserError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Labels = Count | Literal["all"]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # part of an experiment's name
MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Strategy = Literal["unfrozen", "frozen", "headfirst", "gradual"]


Model = TypeVar("Model", bound=BaseModel)


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Settings(Block):
    """Hyper-parameters of one training; the remarks in `params.yaml` say what each one does."""

    lr: float = Field(gt=0, le=1)
    schedule: Literal["onecycle", "constant", "plateau"]
    epochs: Count
    patience: Count
    min_delta: float = Field(ge=0, lt=1)
    batch_size: int = Field(ge=2, le=65536)
    weight_decay: float = Field(ge=0, le=1)
    class_weights: bool
    augment: list[Literal["move", "reframe", "sharpen", "expose"]]
    label_smoothing: float = Field(ge=0, lt=1)
    keep: Literal["best", "last", "average"]
    width: int = Field(ge=2, le=256)
    blocks: int = Field(ge=1, le=4)
    dropout: float = Field(ge=0, lt=1)
    contrast: Literal["global", "local"]

    @property
    def architecture(self) -> dict:
        """The arguments of `model.Classifier`."""
        return self.model_dump(include={"width", "blocks", "dropout", "contrast"})


class Run(Block):
    """One training: its data, start and strategy, and the settings in which it differs."""

    dataset: str
    init: str
    strategy: Strategy
    labels: Labels
    val_labels: Labels
    settings: Literal["", "defaults."]
    lr: float | None = Field(None, gt=0, le=1)
    epochs: Count | None = None
    patience: Count | None = None
    lr_factor: float = Field(0.3, gt=0, le=1)  # headfirst and gradual: rate after the head's phase
    layer_decay: float = Field(0.6, gt=0, le=1)  # likewise: rate of each part per part above it

    def overrides(self) -> dict:
        return self.model_dump(include=set(Settings.model_fields), exclude_none=True)


class Autoencoder(Block):
    dataset: str
    code: Count
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0, le=1)
    epochs: Count
    patience: Count
    batch_size: int = Field(ge=2, le=65536)
    weight_decay: float = Field(ge=0, le=1)


class Question(Block):
    run: str
    against: str


class Comparison(Block):
    runs: list[str]
    questions: list[Question]
    spaces: dict[str, list[str]]


class Start(Block):
    init: str
    strategy: Strategy
    lr_factor: float = Field(0.3, gt=0, le=1)
    layer_decay: float = Field(0.6, gt=0, le=1)


class Efficiency(Block):
    labels: list[Labels]
    seeds: Count
    lr: float = Field(gt=0, le=1)
    batch_size: int = Field(ge=2, le=65536)
    films: Count
    val_share: float = Field(gt=0, le=1)
    curves: dict[str, list[Start]]


class Evaluation(Block):
    bootstrap: int = Field(ge=100, le=100_000)


class GradCAM(Block):
    layer: str
    films: int = Field(ge=2, le=40)


class Latent(Block):
    films: int = Field(ge=10)
    perplexity: float = Field(gt=1)
    neighbours: Count


class Phantom(Block):
    seed: Seed
    train: int = Field(ge=10)
    val: int = Field(ge=10)
    test: int = Field(ge=10)

    def sizes(self) -> dict[str, int]:
        return self.model_dump(exclude={"seed"})


class File(Block):
    url: str  # or a path
    md5: MD5
    bytes: Count | None = None  # where it is known


class Files(Block):
    """The same films at every size that MedMNIST has them in."""

    pixels_28: File
    pixels_64: File
    pixels_128: File
    pixels_224: File


class Dataset(Block):
    title: str
    positive: str
    findings: Count
    url: str | None
    md5: MD5 | None
    files: Files
    phantom: Phantom

    def file(self, pixels: int) -> File:
        """The user's own file, whatever the size, or else MedMNIST's with films of this side."""
        if self.url and self.md5:
            return File(url=self.url, md5=self.md5)
        return getattr(self.files, f"pixels_{pixels}")


class Params(Settings):
    """The whole of `params.yaml`; its top-level settings are the PneumoniaMNIST classifier's."""

    source: Literal["phantom", "medmnist"]
    pixels: Literal[28, 64, 128, 224]  # not `size`, which DVC's run cache overlooks
    seed: Seed
    threads: int = Field(ge=1, le=256)
    processes: int = Field(ge=1, le=256)
    timing: bool
    defaults: Settings
    runs: dict[str, Run]
    autoencoder: Autoencoder
    comparison: Comparison
    efficiency: Efficiency
    evaluation: Evaluation
    gradcam: GradCAM
    latent: Latent
    datasets: dict[str, Dataset]

    @model_validator(mode="after")
    def _belong_together(self) -> "Params":
        for name, dataset in self.datasets.items():
            if bool(dataset.url) != bool(dataset.md5):
                raise UserError(
                    f"datasets.{name}.url and datasets.{name}.md5 go together; accepted: both, of a"
                    " file of your own, or null for both"
                )
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> "Params":
        starts = ["scratch", "autoencoder", *self.runs]
        for name, run in self.runs.items():
            _one_of(f"runs.{name}.dataset", run.dataset, list(self.datasets))
            _one_of(f"runs.{name}.init", run.init, [start for start in starts if start != name])
        _one_of("autoencoder.dataset", self.autoencoder.dataset, list(self.datasets))
        compared = self.comparison.runs
        for run in compared:
            _one_of("comparison.runs", run, list(self.runs))
        for i, question in enumerate(self.comparison.questions):
            for field, run in question:
                _one_of(f"comparison.questions.{i}.{field}", run, compared)
        for space, runs in self.comparison.spaces.items():
            for run in runs:
                _one_of(f"comparison.spaces.{space}", run, compared)
        for dataset, curves in self.efficiency.curves.items():
            _one_of("efficiency.curves", dataset, list(self.datasets))
            for i, curve in enumerate(curves):
                _one_of(f"efficiency.curves.{dataset}.{i}.init", curve.init, starts)
        return self

    def settings_of(self, run: str) -> Settings:
        """The settings of a run: those that its `settings` prefix names, overruled by its own."""
        base = self.defaults if self.runs[run].settings else self
        shared = base.model_dump(include=set(Settings.model_fields))
        return Settings(**shared | self.runs[run].overrides())


class Grid(Block):
    """A sweep over configurations of the PneumoniaMNIST classifier; the first is the reference."""

    best: Count
    seeds: int = Field(ge=2)
    configurations: dict[Name, dict] = Field(min_length=2)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, as DVC reads them: PyYAML alone takes 1e-3 for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: str | Path) -> Params:
    """Read and check a parameter file.

    Raises UserError, in one line, for the first unknown key, wrong type or value out of range.
    """
    return _checked(Params, _read(path), f"{path}: ")


def load_grid(path: str | Path, params: Params) -> Grid:
    """Read and check the declaration of a sweep; the same errors."""
    grid = _checked(Grid, _read(path), f"{path}: ")
    for name, changes in grid.configurations.items():
        changed(params, changes, f"{path}: configurations.{name}: ")
    return grid


def changed(params: Params, changes: dict, where: str = "") -> Params:
    """The parameters with other top-level values, checked; `where` begins the error's line."""
    return _checked(Params, params.model_dump(exclude_unset=True) | changes, where)


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


def entry(entries: dict, key: str, kind: str):
    """`entries[key]`, or a UserError that lists what there is, for names given as arguments."""
    _one_of(kind, key, list(entries))
    return entries[key]


def _one_of(key: str, value: str, accepted: list[str]) -> None:
    if value not in accepted:
        raise UserError(f"{key}: {value!r} is unknown; accepted: {', '.join(accepted)}")


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


def _place(mistake: dict) -> list[str]:
    """The keys that lead to a mistake, without the names that pydantic gives to alternatives."""
    parts = map(str, mistake["loc"])
    return [part for part in parts if not re.match(r"literal\[|constrained-", part)]


def _fields_at(model: type[BaseModel], place: list[str]) -> list[str]:
    """Names of the fields that a model has at a place such as ["datasets", "chestmnist"]."""
    for part in place:
        is_block = isinstance(model, type) and issubclass(model, Block)
        model = model.model_fields[part].annotation if is_block else model.__args__[-1]
    return list(model.model_fields)
