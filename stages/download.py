"""Stage: fetch one data set from a mirror, a cache or its address, or generate its phantom."""

from pathlib import Path

from chestflow import stage
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.sources import archive, phantom
from chestflow.sources.download import fetch, medmnist_file


def download(dataset: str, datasets: Path, out: Path, *, source: str, pixels: int) -> None:
    declared = reading.dataset(datasets, dataset)
    url, md5, drawn = declared.url, declared.md5, declared.phantom
    if source == "phantom" and drawn:
        arrays = phantom.archive(dataset, drawn.sizes(), drawn.seed, pixels, drawn.shortcut)
        archive.write(out, arrays)
        print(f"download: {out} is a PHANTOM: synthetic images that say nothing about patients")
        return
    if not url or not md5:  # a file of the user's own has both, and is read whatever the source
        if source == "phantom":
            raise UserError(f"{dataset} has no phantom; set source=medmnist to fetch its images")
        url, md5 = medmnist_file(dataset, pixels)
    print(f"download: {out} is {fetch(out, url, md5)}")


if __name__ == "__main__":
    stage.run(download)
