"""What `params.yaml`, `datasets.yaml` and a sweep's grid may hold: one typed model per block."""

import math
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, create_model, model_validator

from chestflow.errors import UserError

RESERVED = ("scratch", "autoencoder")  # starts that are not runs; they are also folders in models/
ARCHITECTURE = ("width", "blocks", "dropout", "contrast")


def name(value: Any) -> str:
    """The name of a run, a data set or a latent space, which becomes a part of paths, of shell
    commands and of DVC's own names. Raises UserError for any other value."""
    allowed = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", value)
    if not allowed or value.lower() in RESERVED:
        raise UserError(
            f"{value!r} is not a name; accepted: 1 to 40 of the characters A-Z, a-z, 0-9, _ and -,"
            f" a letter first, but not {' or '.join(RESERVED)}"
        )
    return value


def _all_or_count(value: Any) -> int | str:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise UserError(f"{value!r} is no number of images; accepted: all, or a whole number from 1")


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(gt=0, le=1)]
Labels = Annotated[int | Literal["all"], PlainValidator(_all_or_count)]
Name = Annotated[str, PlainValidator(name)]


class Block(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        """Checked before anything else: a misspelt key explains why another one is missing."""
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                accepted = ", ".join(cls.model_fields)
                raise UserError(f"{key!r} is not a parameter; accepted: {accepted}")
        return values


# ---------------------------------------------------------------------------- params.yaml: training


class Settings(Block):
    """Hyper-parameters of a run; the comments in `params.yaml` say what each one does."""

    lr: Share
    schedule: Literal["onecycle", "constant", "plateau"]
    steps: Count
    patience: Count
    min_delta: float = Field(ge=0, lt=1)
    batch_size: int = Field(ge=2, le=65536)
    weight_decay: float = Field(ge=0, le=1)
    class_weights: bool
    augment: list[Literal["move", "reframe", "sharpen", "expose"]]
    label_smoothing: float = Field(ge=0, lt=1)
    keep: Literal["best", "last", "average"]
    width: int = Field(ge=2, le=256)
    blocks: int = Field(ge=1, le=7)
    dropout: float = Field(ge=0, lt=1)
    contrast: Literal["global", "local"]
    strategy: Literal["unfrozen", "frozen", "headfirst"]
    labels: Labels
    val_labels: Labels
    lr_factor: Share
    layer_decay: Share

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of `models.cnn.Classifier`."""
        return {key: getattr(self, key) for key in ARCHITECTURE}


class Training(SimpleNamespace):
    """The settings of a run, or of the autoencoder, as stage `configure` writes them: null for
    those that it does not use."""

    @property
    def architecture(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ARCHITECTURE}


_optional: dict[str, Any] = {
    name: (Annotated[field.annotation, field] | None, None)  # type: ignore[name-defined]
    for name, field in Settings.model_fields.items()
}
Changes: Any = create_model("Changes", __base__=Block, **_optional)  # some of the settings


class Run(Changes):
    """A run as declared: its data, its start, and how it differs from the settings above."""

    dataset: str
    init: str


class Autoencoder(Block):
    dataset: str
    code: int = Field(ge=1, le=224 * 224)
    dropout: float = Field(ge=0, lt=1)
    lr: Share
    steps: Count
    patience: Count
    batch_size: int = Field(ge=2, le=65536)
    weight_decay: float = Field(ge=0, le=1)


# --------------------------------------------------------------------------- params.yaml: the rest


class Question(Block):
    run: str
    against: str


class Comparison(Block):
    """Pairs of runs: `primary` ones are tested, `further` ones only described."""

    primary: list[Question]
    further: list[Question]
    spaces: dict[Name, Annotated[list[str], Field(min_length=1)]]


class LabelEfficiency(Block):
    """Numbers of labels, and of steps, to train with in addition, and the runs that are."""

    labels: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    few_steps: Count
    trainings: Count
    val_share: Share
    runs: list[str]


class GradCAM(Block):
    layer: str
    images: int = Field(ge=2, le=40)


class Latent(Block):
    images: int = Field(ge=10)
    perplexity: float = Field(gt=1)
    neighbours: Count


class Params(Settings):
    """The whole of `params.yaml`; its top-level settings apply to every run."""

    source: Literal["phantom", "medmnist"]
    pixels: Literal[28, 64, 128, 224]  # not `size`: DVC's run cache ignores keys of that name
    seed: Seed
    trainings: Count
    threads: Count
    timing: bool
    runs: dict[Name, Run] = Field(min_length=1)
    autoencoder: Autoencoder
    comparison: Comparison
    label_efficiency: LabelEfficiency
    gradcam: GradCAM
    latent: Latent

    @model_validator(mode="after")
    def _references_exist(self) -> "Params":
        for name, run in self.runs.items():
            one_of(f"runs.{name}.init", run.init, [*RESERVED, *self.runs])
            start = self.runs.get(run.init, run if run.init == "scratch" else self)
            own, other = (one.contrast or self.contrast for one in (run, start))
            if own != other:
                raise UserError(
                    f"runs.{name}.contrast = {own}, but its start {run.init} has {other}; accepted:"
                    " the same, or the encoder would see other images"
                )
        for name in self.label_efficiency.runs:
            one_of("label_efficiency.runs", name, self.runs)
        self._check_depth()
        self._check_comparison()
        return self

    def _check_depth(self) -> None:
        """Raise UserError for too many blocks (each halves the images), or for a GradCAM layer that
        some run lacks."""
        own = {f"runs.{name}.blocks": run.blocks for name, run in self.runs.items() if run.blocks}
        depths = {"blocks": self.blocks} | own
        for key, blocks in depths.items():
            if 2**blocks > self.pixels:
                raise UserError(
                    f"{key} = {blocks}: halves images of {self.pixels} pixels to nothing; accepted:"
                    f" up to {int(math.log2(self.pixels))}, or more pixels"
                )
        layers = [f"encoder.{i}.conv{k}" for i in range(min(depths.values())) for k in (1, 2)]
        one_of("gradcam.layer", self.gradcam.layer, ["last", *layers])

    def _check_comparison(self) -> None:
        """Raise UserError for compared runs that do not exist or are tested on different images."""
        questions = (*self.comparison.primary, *self.comparison.further)
        pairs = [[question.run, question.against] for question in questions]
        for runs in (*pairs, *self.comparison.spaces.values()):
            for name in runs:
                one_of("comparison", name, self.runs)
            if len(datasets := sorted({self.runs[name].dataset for name in runs})) > 1:
                raise UserError(
                    f"comparison: {' and '.join(runs)} are tested on {' and '.join(datasets)};"
                    " accepted: runs of one data set"
                )


class Grid(Block):
    """A sweep over configurations of run `pneumonia`; the first is the reference."""

    best: Count
    trainings: Count
    configurations: dict[str, Changes] = Field(min_length=2)


# -------------------------------------------------------------------------------- datasets.yaml


class Phantom(Block):
    """The synthetic stand-in: its seed, its number of images, and a shortcut to plant in it."""

    seed: Seed
    train: int = Field(ge=10)
    val: int = Field(ge=10)
    test: int = Field(ge=10)
    shortcut: float = Field(default=0.0, ge=0.0, le=0.5)

    def sizes(self) -> dict[str, int]:
        return self.model_dump(include={"train", "val", "test"})


class Dataset(Block):
    """A data set of MedMNIST needs only a title and the name of its positive class; the address of
    its file is in `medmnist.INFO`."""

    title: str = Field(min_length=1, max_length=40)  # what figures and tables call it
    positive: str = Field(min_length=1, max_length=20)  # what a diseased image is called
    diseased: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    phantom: Phantom | None = None
    # A file of the user's own, instead of MedMNIST's:
    url: str | None = None  # or a path
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _url_and_md5_go_together(self) -> "Dataset":
        if bool(self.url) != bool(self.md5):
            raise UserError("url and md5 go together; accepted: both, or neither")
        return self


class Datasets(Block):
    """The whole of `datasets.yaml`."""

    datasets: dict[Name, Dataset] = Field(min_length=1)


def one_of(key: str, value: str, accepted: Iterable[str]) -> None:
    """Raise UserError, with the accepted values, if this one is not among them."""
    if value not in accepted:
        raise UserError(f"{key}: {value!r} is unknown; accepted: {', '.join(accepted)}")
