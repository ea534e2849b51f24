"""Every command of the documentation, as it stands, in a clone of its own where Git knows no name.

Parameters are shrunk. Left out is what needs the internet, an hour, or `make test`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from benchmarks.harness import ROOT
from benchmarks.orchestration import Copy
from benchmarks.torture.attempts import Failed, Kind, Limits
from chestflow.sources import archive, phantom

PAGES = (
    "README.md",
    "docs/experiments.md",
    "docs/data.md",
    "docs/own-images.md",
    "docs/machines.md",
)
LIMITS = Limits(seconds=1500)
LEFT_OUT = (
    r"SOURCE=medmnist|source=medmnist evaluate|python3 -m venv|uv pip|make (test|bench)"
    r"|dask (scheduler|worker)|CLUSTER=|--cluster"  # of these a test runs two workers
)
OWN = Path("/data/images.npz")  # the user's own file in docs/data.md


def prepare(root: Path, _: bool) -> None:
    """A clone that has run once and is committed, under `root`."""
    folder = root / "clone"
    folder.mkdir()
    copy = Copy(folder)
    copy.shrink()
    copy.time("python -m chestflow repro")
    copy.time("git add --all && git commit --quiet --message results")
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "requirements.txt"):
        os.utime(folder / name, (0, 0))  # or make would install
    (folder / ".git/info/exclude").write_text(".venv\n")


def blocks(page: str) -> list[str]:
    """The commands of a page's sh blocks, each with its continued lines."""
    found = re.findall(r"(?ms)^```sh\n(.*?)^```", (ROOT / page).read_text())
    return [line for line in "".join(found).replace("\\\n", " ").splitlines() if line]


def follow(page: str, folder: Path) -> None:
    """One command after another in one shell, in a clone of the page's own."""
    clone, home = folder / "clone", folder / "home"
    home.mkdir()
    shutil.copytree(folder.parents[1] / "clone", clone, symlinks=True)  # mtimes are kept
    give_files(clone, folder / OWN.name)
    todo = [line for line in blocks(page) if not re.search(LEFT_OUT, line)]
    script = "\n".join(["set -ev", "chestflow check", *todo])
    names = {name for name in os.environ if name.startswith("GIT_")} | {"XDG_CONFIG_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"HOME": str(home), "PYTHONPATH": str(clone), "PAGER": "cat"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", script.replace(str(OWN), str(folder / OWN.name))],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ended.returncode or "Traceback" in ended.stdout:
        shutil.rmtree(clone)
        raise Failed(f"{page} ended with {ended.returncode}:\n{ended.stdout[-6000:]}")


def give_files(clone: Path, own: Path) -> None:
    """What the pages take for granted: a remote, images, folders of them, an archive."""
    subprocess.run(["git", "init", "--quiet", "--bare", "../origin"], cwd=clone, check=True)
    subprocess.run(["git", "remote", "add", "origin", "../origin"], cwd=clone, check=True)
    arrays = phantom.archive("chestmnist", {"train": 60, "val": 40, "test": 40}, seed=1)
    diseased = arrays["train_labels"].any(axis=1)
    arrays |= {f"{split}_labels": arrays[f"{split}_labels"][:, :1] for split in archive.SPLITS}
    archive.write(own, arrays)
    (clone / "folder").mkdir()
    for name in ("image.png", "folder/a.png", "folder/b.jpg"):
        Image.fromarray(np.kron(arrays["test_images"][0], np.ones((8, 8), np.uint8))).save(
            clone / name
        )
    dicom(arrays["test_images"][1], clone / "scan.dcm")
    shutil.copy(clone / "image.png", clone / "another.png")
    for shift, folder in enumerate(("images", "labelled", "elsewhere")):
        for k, (image, ill) in enumerate(zip(arrays["train_images"], diseased)):
            path = clone / folder / ("pneumonia" if ill else "normal") / f"person{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(image, shift, axis=1)).save(path)  # no two folders alike


def dicom(image: np.ndarray, path: Path) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns = image.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.PixelData = 7, 0, image.tobytes()
    file.save_as(path, enforce_file_format=False)


def attempt(page: str):
    def follow_it(_: Random, folder: Path) -> None:
        follow(page, folder)

    return follow_it


KINDS = {page: Kind(attempt(page), 1) for page in PAGES}
