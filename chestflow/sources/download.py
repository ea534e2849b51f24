"""Get one file, known by its MD5, from the first of several places that has it."""

import os
import shutil
import sys
from pathlib import Path, PurePosixPath

import pooch

from chestflow.errors import UserError

RETRIES = 2  # of an address; pooch waits 1 s, then 2 s


def medmnist_file(dataset: str, pixels: int) -> tuple[str, str]:
    """Address and MD5 of a MedMNIST file (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).

    Raises UserError for a data set that MedMNIST does not have.
    """
    from medmnist import INFO  # takes seconds: it imports torch

    suffix = "" if pixels == 28 else f"_{pixels}"
    if f"url{suffix}" not in INFO.get(dataset, {}):
        raise UserError(
            f"MedMNIST has no data set {dataset} of {pixels} pixels; give a file of your own with"
            f" datasets.{dataset}.url and datasets.{dataset}.md5"
        )
    return INFO[dataset][f"url{suffix}"], INFO[dataset][f"MD5{suffix}"]


def fetch(target: Path, url: str, md5: str) -> str:
    """Write a file to `target`, all or nothing; returns the place that had it.

    Places, paths or addresses, are tried in this order: the mirror that MEDMNIST_MIRROR names,
    medmnist's cache, `url`. Raises UserError, which lists them, when none has the file.
    """
    name = PurePosixPath(url.partition("?")[0]).name  # images.npz of .../images.npz?download=1
    mirror = os.environ.get("MEDMNIST_MIRROR")
    places = [os.path.join(mirror, name)] if mirror else []
    failures = []
    for place in (*places, f"~/.medmnist/{name}", url):
        try:
            _fetch(target, place, md5)
            return place
        except (OSError, ValueError) as error:  # requests' errors; a wrong MD5
            failures.append(f"{place} ({_reason(error)})")
    raise UserError(
        f"{target.name}: could not download it; tried: {'; '.join(failures)}; set MEDMNIST_MIRROR"
        " to a folder or address that has it, or correct its url and md5 in datasets.yaml"
    )


def _fetch(target: Path, place: str, md5: str) -> None:
    """pooch writes to a temporary file, checks its MD5 and only then moves it to the target."""
    pooch.get_logger().setLevel("WARNING")
    is_address = "://" in place
    http = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 20)
    store = pooch.Pooch(
        path=target.parent,
        base_url="",
        registry={target.name: f"md5:{md5}"},
        urls={target.name: place},
        retry_if_failed=RETRIES if is_address else 0,
    )
    store.fetch(target.name, downloader=http if is_address else _copy)


def _copy(path: str, target: str, _: pooch.Pooch) -> None:
    shutil.copyfile(os.path.expanduser(path), target)


def _reason(error: Exception) -> str:
    """The telling part of what requests, urllib3 and pooch say, as one line."""
    inner = getattr(next(iter(error.args), None), "reason", None)  # urllib3's, within requests'
    said = str(inner or error).partition(" for url")[0].partition(". ")[0]
    return " ".join(said.rpartition("): ")[2].split())
