"""What `datasets.yaml` may hold: one typed model of each block."""

from typing import Annotated

from pydantic import Field, model_validator

from chestflow.config.schema import Block
from chestflow.config.values import DISTINCT, MD5, ClassName, Count, Name, Seed, Title
from chestflow.errors import UserError

MOST_CLASSES = 256  # of one label column, a byte
MOST_IMAGES = 500_000  # of a phantom, all splits together: what stage `download` accepts


class Phantom(Block):
    seed: Seed
    train: int = Field(ge=10)
    val: int = Field(ge=10)
    test: int = Field(ge=10)

    def sizes(self) -> dict[str, int]:
        return self.model_dump(exclude={"seed"})

    @model_validator(mode="after")
    def _can_be_held(self) -> "Phantom":
        if (n := sum(self.sizes().values())) > MOST_IMAGES:
            raise ValueError(f"{n:,} images in all; accepted: up to {MOST_IMAGES:,}")
        return self


class File(Block):
    url: str  # or a path
    md5: MD5
    bytes: Count | None = None  # where it is known


class Files(Block):
    """The same images at the sizes that MedMNIST has them in."""

    pixels_28: File | None = None
    pixels_64: File | None = None
    pixels_128: File | None = None
    pixels_224: File | None = None


class Dataset(Block):
    """What may be null is still a key of every entry: `dvc.yaml` names it."""

    title: Title
    positive: ClassName
    findings: Count
    classes: int = Field(ge=2, le=MOST_CLASSES)
    diseased: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None
    url: str | None
    md5: MD5 | None
    files: Files | None
    phantom: Phantom | None

    def file(self, pixels: int) -> File:
        """The user's own file, whatever the size, or else MedMNIST's with images of this side.

        Raises UserError where none is declared.
        """
        if self.url and self.md5:
            return File(url=self.url, md5=self.md5)
        declared = {} if self.files is None else dict(self.files)
        if file := declared.get(f"pixels_{pixels}"):
            return file
        sizes = [name.removeprefix("pixels_") for name, file in declared.items() if file]
        raise UserError(f"pixels = {pixels}; accepted for {self.title}: {', '.join(sizes)}")


class Datasets(Block):
    """The whole of `datasets.yaml`."""

    datasets: Annotated[dict[Name, Dataset], Field(min_length=1), DISTINCT]

    @model_validator(mode="after")
    def _belong_together(self) -> "Datasets":
        for name, dataset in self.datasets.items():
            where = f"datasets.{name}"
            if not (dataset.url or dataset.files):
                needed = f"{where}.url with its md5, or {where}.files"
                raise UserError(f"{where} names no file; accepted: {needed}")
            if bool(dataset.url) != bool(dataset.md5):
                both = f"{where}.url and {where}.md5 go together"
                raise UserError(f"{both}; accepted: both, of a file of your own, or null for both")
            _check_labels(where, dataset)
        return self


def _check_labels(where: str, dataset: Dataset) -> None:
    """Raise UserError for diseased labels that no image can have, or that every image has."""
    several = dataset.findings > 1
    if several and dataset.classes > 2:
        raise UserError(f"{where}.classes = {dataset.classes}; accepted of several findings: 2")
    n, what = (dataset.findings, "columns") if several else (dataset.classes, "labels")
    chosen = set(dataset.diseased or [])
    if not chosen <= set(range(n)) or (not several and len(chosen) == n):
        few = "" if several else ", not all"
        raise UserError(
            f"{where}.diseased = {dataset.diseased}; accepted: {what} from 0 to {n - 1}{few}, or"
            " null for any but 0"
        )
