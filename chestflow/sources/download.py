"""Get one file, known by its MD5, from the first of several places that has it."""

import os
import shutil
import sys
from collections.abc import Sequence
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


def places(url: str) -> list[str]:
    """Where to look, in order: the mirror that MEDMNIST_MIRROR names, medmnist's cache, `url`."""
    name = PurePosixPath(url.partition("?")[0]).name  # images.npz of .../images.npz?download=1
    mirror = os.environ.get("MEDMNIST_MIRROR")
    nearby = [f"{mirror.rstrip('/')}/{name}"] if mirror else []
    return [*nearby, str(Path.home() / ".medmnist" / name), url]


def fetch(target: Path, places: Sequence[str], md5: str, retries: int = RETRIES) -> str:
    """Write the file to `target`, all or nothing; returns the place that had it.

    places: paths or http(s) addresses, tried in this order
    Raises UserError, which lists what was tried, when no place has the file.
    """
    failures = []
    for place in places:
        try:
            _fetch(target, place, md5, retries)
        except (OSError, ValueError) as error:  # requests' errors; a wrong MD5
            failures.append(f"{place} ({_reason(error)})")
        else:
            return place
    raise UserError(f"{target.name}: could not download it; tried: {'; '.join(failures)}")


def _fetch(target: Path, place: str, md5: str, retries: int) -> None:
    """pooch writes to a temporary file, checks its MD5 and only then moves it to the target."""
    pooch.get_logger().setLevel("WARNING")
    is_address = "://" in place
    watched = sys.stderr.isatty()
    http = pooch.HTTPDownloader(progressbar=watched, chunk_size=1 << 20)
    store = pooch.Pooch(
        path=target.parent,
        base_url="",
        registry={target.name: f"md5:{md5}"},
        urls={target.name: place},
        retry_if_failed=retries if is_address else 0,
    )
    store.fetch(target.name, downloader=http if is_address else _copy)


def _copy(path: str, target: str, _: pooch.Pooch) -> None:
    shutil.copyfile(os.path.expanduser(path), target)


def _reason(error: Exception) -> str:
    """In one line: `HTTP 404 Not Found`, `No such file or directory`, pooch's on a wrong MD5."""
    if (response := getattr(error, "response", None)) is not None:
        return f"HTTP {response.status_code} {response.reason}"
    inner = getattr(error.args[0], "reason", None) if error.args else None  # of urllib3
    reason = getattr(error, "strerror", None) or str(inner or error)
    return " ".join(reason.partition(". ")[0].rpartition("): ")[2].split())
