"""The schema of `datasets.yaml`. A data set of MedMNIST needs only a title and the name of its
positive class; the address of its file is in `medmnist.INFO`. Missing keys are null."""

from typing import Annotated

from pydantic import Field, model_validator

from chestflow.config.schema import Block
from chestflow.config.values import MD5, Name, Seed
from chestflow.errors import UserError


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
    title: str = Field(min_length=1, max_length=40)  # what figures and tables call it
    positive: str = Field(min_length=1, max_length=20)  # what a diseased image is called
    diseased: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    phantom: Phantom | None = None
    # A file of the user's own, instead of MedMNIST's:
    url: str | None = None  # or a path
    md5: MD5 | None = None


class Datasets(Block):
    """The whole of `datasets.yaml`."""

    datasets: dict[Name, Dataset] = Field(min_length=1)

    @model_validator(mode="after")
    def _url_and_md5_go_together(self) -> "Datasets":
        for name, dataset in self.datasets.items():
            if bool(dataset.url) != bool(dataset.md5):
                raise UserError(
                    f"datasets.{name}: url and md5 go together; accepted: both, of a file of your"
                    " own, or neither"
                )
        return self
