"""The schema of `params.yaml` and of a sweep's grid: one typed model per block."""

import math
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from chestflow.config.values import RESERVED, Count, Labels, Name, RunName, Seed, Share
from chestflow.errors import UserError


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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
        return self.model_dump(include={"width", "blocks", "dropout", "contrast"})


class Training(Settings):
    """A run with all settings, as stage `configure` writes it: null for those it does not use."""

    lr: Share | None  # type: ignore[assignment]
    schedule: str | None  # type: ignore[assignment]
    steps: Count | None  # type: ignore[assignment]
    patience: Count | None  # type: ignore[assignment]
    min_delta: float | None  # type: ignore[assignment]
    batch_size: int | None  # type: ignore[assignment]
    weight_decay: float | None  # type: ignore[assignment]
    label_smoothing: float | None  # type: ignore[assignment]
    keep: str | None  # type: ignore[assignment]
    lr_factor: Share | None  # type: ignore[assignment]
    layer_decay: Share | None  # type: ignore[assignment]

    name: str
    dataset: str
    init: str
    seed: Seed
    trainings: Count
    threads: Count
    timing: bool


_own: dict[str, Any] = {
    name: (Annotated[field.annotation, field] | None, None)  # type: ignore[name-defined]
    for name, field in Settings.model_fields.items()
}
Run: Any = create_model("Run", __base__=Block, dataset=(str, ...), init=(str, ...), **_own)
Run.__doc__ = "A run as declared: its data, its start, and how it differs from the settings above."


class Autoencoder(Block):
    dataset: str
    code: int = Field(ge=1, le=224 * 224)
    dropout: float = Field(ge=0, lt=1)
    lr: Share
    steps: Count
    patience: Count
    batch_size: int = Field(ge=2, le=65536)
    weight_decay: float = Field(ge=0, le=1)


class Pretraining(Autoencoder):
    """The autoencoder with the encoder's size and contrast, as stage `configure` writes it."""

    width: int
    blocks: int
    contrast: str
    seed: Seed
    trainings: Count
    threads: Count


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


class Points(Block):
    """The points of one run's curve, as stage `configure` writes them."""

    points: list[Training]


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
    runs: dict[RunName, Run] = Field(min_length=1)
    autoencoder: Autoencoder
    comparison: Comparison
    label_efficiency: LabelEfficiency
    gradcam: GradCAM
    latent: Latent

    @model_validator(mode="after")
    def _references_exist(self) -> "Params":
        for name, run in self.runs.items():
            one_of(f"runs.{name}.init", run.init, [*RESERVED, *self.runs])
        for run in self.label_efficiency.runs:
            one_of("label_efficiency.runs", run, list(self.runs))
        self._check_circles()
        self._check_depth()
        self._check_comparison()
        return self

    def _check_circles(self) -> None:
        """Raise UserError for runs that start from each other in a circle."""
        try:
            TopologicalSorter({name: [run.init] for name, run in self.runs.items()}).prepare()
        except CycleError as error:
            first, *others = reversed(error.args[1])
            circle = f"{first} starts from {', which starts from '.join(others)}: a circle"
            accepted = f"starts that lead to {' or '.join(RESERVED)}"
            raise UserError(f"runs: {circle}; accepted: {accepted}") from None

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
        compared = {f"spaces.{name}": runs for name, runs in self.comparison.spaces.items()}
        for kind in ("primary", "further"):
            for i, question in enumerate(getattr(self.comparison, kind)):
                compared[f"{kind}.{i}"] = [question.run, question.against]
        for key, runs in compared.items():
            for run in runs:
                one_of(f"comparison.{key}", run, list(self.runs))
            if len(datasets := sorted({self.runs[run].dataset for run in runs})) > 1:
                raise UserError(
                    f"comparison.{key}: {' and '.join(runs)} are tested on"
                    f" {' and '.join(datasets)}; accepted: runs of one data set"
                )

    @property
    def datasets_used(self) -> dict[str, str]:
        """Key of `params.yaml` -> the data set it names."""
        runs = {f"runs.{name}.dataset": run.dataset for name, run in self.runs.items()}
        return runs | {"autoencoder.dataset": self.autoencoder.dataset}


class Grid(Block):
    """A sweep over configurations of run `pneumonia`; the first is the reference."""

    best: Count
    trainings: Count
    configurations: dict[str, dict[str, Any]] = Field(min_length=2)


def one_of(key: str, value: str, accepted: list[str]) -> None:
    """Raise UserError, with the accepted values, if this one is not among them."""
    if value not in accepted:
        raise UserError(f"{key}: {value!r} is unknown; accepted: {', '.join(accepted)}")
