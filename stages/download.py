"""Stage: bring one dataset to its place, from a mirror, a cache or its home, or as a phantom."""

import os
from pathlib import Path

import numpy as np

from stages.lib import archive, command, fetching, phantom
from stages.lib.errors import UserError
from stages.lib.parameters import Dataset, Params, Phantom, entry


def download(dataset: str, params: Params, out: Path) -> None:
    declared = entry(params.datasets, dataset, "dataset")
    if params.source == "phantom":
        invent(dataset, declared.phantom, out)
    else:
        obtain(dataset, declared, out)
    try:
        archive.check(out, declared.findings)
    except UserError:
        out.unlink()
        raise


def invent(dataset: str, declared: Phantom, out: Path) -> None:
    """Draw a phantom, marked as such inside the archive, where every later stage can read it."""
    arrays = phantom.archive(dataset, declared.sizes(), declared.seed)
    archive.write(out, arrays | {"origin": np.array("phantom")})
    print(f"download: {out} is a PHANTOM: synthetic films, whose figures say nothing of patients")


def obtain(dataset: str, declared: Dataset, out: Path) -> None:
    """Fetch the genuine archive from the first place that has it."""
    try:
        places = sources(declared.url)
        source, passed_over = fetching.fetch(out, places, declared.md5, declared.bytes)
    except UserError as error:
        raise UserError(
            f"{error}; set MEDMNIST_MIRROR to a folder or address that holds it, or give your own "
            f"file with datasets.{dataset}.url and datasets.{dataset}.md5, or use source=phantom"
        ) from error
    for failure in passed_over:
        print(f"download: passed over {failure}")
    print(f"download: {out} is {source}")


def sources(url: str) -> list[str]:
    """Where to look, in order: the mirror that MEDMNIST_MIRROR names, medmnist's cache, `url`."""
    file = fetching.file_name(url)
    mirror = os.environ.get("MEDMNIST_MIRROR", "")
    nearby = [f"{mirror.rstrip('/')}/{file}"] if mirror else []
    return [*nearby, str(Path.home() / ".medmnist" / file), url]


if __name__ == "__main__":
    command.run(download)
