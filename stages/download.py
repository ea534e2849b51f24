"""Stage: fetch one data set from a mirror, a cache or its declared address, or draw its phantom."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from chestflow import stage
from chestflow.config import reading
from chestflow.config.datasets import File, Phantom
from chestflow.errors import UserError
from chestflow.sources import archive, parts, phantom
from chestflow.sources import download as fetching


def download(dataset: str, datasets: Path, out: Path, *, source: str, pixels: int) -> None:
    declared = reading.dataset(datasets, dataset)
    origin = str(out)
    if source == "phantom" and declared.phantom:
        invent(dataset, declared.phantom, out, pixels)
    elif source == "phantom" and not declared.url:
        raise UserError(
            f"{dataset} has no phantom; set source=medmnist, which fetches its images, or give a"
            f" file of your own with datasets.{dataset}.url and datasets.{dataset}.md5"
        )
    else:  # a data set of one's own has no phantom
        instead = ", or use source=phantom" if declared.phantom else ""
        origin = obtain(dataset, declared.file(pixels), out, instead)
    try:
        archive.check(out, declared.findings, pixels, classes=declared.classes, name=origin)
    except UserError:
        out.unlink()
        raise


def invent(dataset: str, declared: Phantom, out: Path, size: int = 28) -> None:
    """Draw a phantom, marked as such inside the archive, where every later stage can read it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with parts.folder_for(out) as folder:
        arrays: dict[str, np.ndarray] = {}
        for split, n in declared.sizes().items():
            labels, drawn = phantom.draw(dataset, split, n, declared.seed, size)
            try:
                images, masks = spool(drawn, (n, size, size), folder / split)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(out)) from error
            found = {"images": images, "labels": labels, "masks": masks}
            arrays |= {f"{split}_{part}": array for part, array in found.items()}
        archive.write(out, arrays | {"origin": np.array("phantom")})
    print(f"download: {out} is a PHANTOM: synthetic images that say nothing about patients")


def spool(images: Iterator, shape: tuple[int, int, int], folder: Path) -> list[np.memmap]:
    """Images and masks, which are drawn together but lie one after the other in an archive, in two
    files mapped into memory: at 224 pixels they are gigabytes."""
    folder.mkdir()
    places = {folder / "images": np.uint8, folder / "masks": np.uint16}
    with ExitStack() as stack:
        files = [stack.enter_context(place.open("wb")) for place in places]
        for arrays in images:
            for file, array in zip(files, arrays, strict=True):
                file.write(np.ascontiguousarray(array).data)
    return [np.memmap(place, dtype, "r", shape=shape) for place, dtype in places.items()]


def obtain(dataset: str, declared: File, out: Path, instead: str) -> str:
    """Fetch the genuine archive from the first place that has it; returns that place."""
    try:
        places = sources(declared.url)
        source, passed_over = fetching.fetch(out, places, declared.md5, declared.bytes)
    except UserError as error:
        raise UserError(
            f"{error}; set MEDMNIST_MIRROR to a folder or address that holds it, or give your own "
            f"file with datasets.{dataset}.url and datasets.{dataset}.md5{instead}"
        ) from error
    for failure in passed_over:
        print(f"download: passed over {failure}")
    print(f"download: {out} is {source}")
    return source


def sources(url: str) -> list[str]:
    """Where to look, in order: the mirror that MEDMNIST_MIRROR names, medmnist's cache, `url`."""
    file = fetching.file_name(url)
    mirror = os.environ.get("MEDMNIST_MIRROR", "")
    nearby = [f"{mirror.rstrip('/')}/{file}"] if mirror else []
    return [*nearby, str(Path.home() / ".medmnist" / file), url]


if __name__ == "__main__":
    stage.run(download)
