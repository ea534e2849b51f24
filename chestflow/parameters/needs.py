"""What the declared work needs at least, by its largest arrays: a slip of some digits is named
before hours of work instead of after. What passes may still be too much for the machine."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from chestflow.parameters.datasets import Dataset
from chestflow.parameters.schema import Params, Settings

FLOAT = 4  # bytes
MAPS = 5  # of the size of a block's output, held until the gradients are known: as measured
FROZEN_MAPS = 2  # where there are no gradients
COPIES = 4  # of each weight: itself, its gradient, and the optimiser's two moments
DRAWN = 5  # bytes per pixel of a phantom: image and mask (two bytes) as drawn, and both unpacked


class Need(NamedTuple):
    what: str  # the parameters' key, and what it asks for
    amount: int  # in bytes


def memory(params: Params, datasets: dict[str, Dataset]) -> Iterator[Need]:
    """Of trainings. How many images a real data set has is not declared: it counts as enough for a
    batch."""
    invents = params.source == "phantom"
    invented = {name: d.phantom for name, d in datasets.items() if invents and d.phantom}
    for key, settings in trainings(params):
        phantom, labels = invented.get(settings["dataset"]), settings["labels"]
        most = [settings["batch_size"], phantom.train if phantom else None, labels]
        images = min(n for n in most if isinstance(n, int))
        what = f"{key}: a batch of {images:,} images of {params.pixels} pixels"
        yield Need(what, images * per_image(settings, params.pixels))
    code, shape = params.autoencoder.code, params
    corner = shape.width * 2 ** (shape.blocks - 1) * (params.pixels // 2**shape.blocks) ** 2
    what = f"autoencoder.code: a code of {code:,} numbers"
    yield Need(what, 2 * corner * code * COPIES * FLOAT)


def trainings(params: Params) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and settings of every training, put together as stage `configure` does it."""
    shared = params.model_dump(include=set(Settings.model_fields))
    for name, run in params.runs.items():
        yield f"runs.{name}", shared | run.model_dump(exclude_none=True)
    own = params.autoencoder.model_dump()
    yield "autoencoder", shared | own | {"labels": "all", "strategy": "autoencoder"}


def per_image(settings: dict[str, Any], pixels: int) -> int:
    """Bytes that a network holds of each image of a batch."""
    # The decoder holds as much as the encoder.
    maps = {"frozen": FROZEN_MAPS, "autoencoder": 2 * MAPS}.get(settings["strategy"], MAPS)
    blocks = range(settings["blocks"])  # each has twice as many channels, of a quarter of the size
    values = sum(settings["width"] * 2**i * (pixels // 2**i) ** 2 for i in blocks)
    return values * maps * FLOAT


def disk(params: Params, datasets: dict[str, Dataset]) -> Iterator[Need]:
    """Of every phantom."""
    invented = {name: d.phantom for name, d in datasets.items() if d.phantom}
    for name, phantom in invented.items() if params.source == "phantom" else ():
        n = sum(phantom.sizes().values())
        what = f"datasets.{name}.phantom: {n:,} images of {params.pixels} pixels"
        yield Need(what, n * params.pixels**2 * DRAWN)
