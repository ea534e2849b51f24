"""Stage: fetch one data set from a mirror, a cache or its address, or generate its phantom."""

from pathlib import Path

from chestflow import stage
from chestflow.config import reading
from chestflow.config.schema import Dataset
from chestflow.errors import UserError
from chestflow.sources import phantom
from chestflow.sources.download import fetch, medmnist_file, places


def download(dataset: str, datasets: Path, out: Path, *, source: str, pixels: int) -> None:
    declared = reading.dataset(datasets, dataset)
    if source == "phantom" and declared.phantom:
        seed, shortcut = declared.phantom.seed, declared.phantom.shortcut
        phantom.write(out, dataset, declared.phantom.sizes(), seed, pixels, shortcut)
        print(f"download: {out} is a PHANTOM: synthetic images that say nothing about patients")
    elif source == "phantom" and not declared.url:
        raise UserError(
            f"{dataset} has no phantom; set source=medmnist, which fetches its images, or give a"
            f" file of your own with datasets.{dataset}.url and datasets.{dataset}.md5"
        )
    else:  # the user's own data sets have no phantom
        print(f"download: {out} is {obtain(dataset, declared, out, pixels)}")


def obtain(dataset: str, declared: Dataset, out: Path, pixels: int) -> str:
    """Fetch the user's own file, whatever its size, or else MedMNIST's; returns where it was."""
    if declared.url and declared.md5:
        url, md5 = declared.url, declared.md5
    else:
        url, md5 = medmnist_file(dataset, pixels)
    try:
        return fetch(out, places(url), md5)
    except UserError as error:
        instead = ", or use source=phantom" if declared.phantom else ""
        raise UserError(
            f"{error}; set MEDMNIST_MIRROR to a folder or address that has it, or give a file of"
            f" your own with datasets.{dataset}.url and datasets.{dataset}.md5{instead}"
        ) from error


if __name__ == "__main__":
    stage.run(download)
