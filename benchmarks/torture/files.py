"""Broken and strange files: refused in one line, or good enough for what comes next."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.torture import archives, pictures
from benchmarks.torture.archives import SIDE
from benchmarks.torture.attempts import ROOT, Failed, Kind, Limits, one_line
from chestflow.core.errors import UserError
from chestflow.own import radiograph
from chestflow.sources import archive
from stages.binarize import binarize

LIMITS = Limits(seconds=30, memory=3 << 30)


def broken_bytes(make: Callable[[Random], bytes], random: Random) -> bytes:
    content = bytearray(make(random))
    what = random.randrange(4)
    if what == 0:
        return bytes(content[: random.randrange(len(content))])
    if what == 1:
        return bytes(content) + random.randbytes(random.choice([1, 1000]))
    # Most of a file's meaning lies at its beginning and at its end.
    places = [random.randrange(len(content)), random.randrange(min(300, len(content)))]
    places.append(len(content) - 1 - random.randrange(min(300, len(content))))
    for _ in range(random.randint(1, 4)):
        spot = random.choice(places) % len(content)
        content[spot] = random.choice([0, 1, 127, 128, 255, random.randrange(256)])
        if what == 2:
            del content[spot : spot + random.randrange(20)]
    return bytes(content)


def judge_archive(make: Callable[[Random], bytes], random: Random, folder: Path) -> None:
    """Refused in one line by the check or by stage `binarize`, which then leaves nothing behind, or
    taken by both."""
    path, out = folder / "images.npz", folder / "binary"
    path.write_bytes(make(random))
    try:
        archive.check(path, findings=1, size=SIDE)
        binarize("pneumoniamnist", ROOT / "datasets.yaml", path, out, folder / "metrics.json")
    except UserError as error:
        if left := [each.name for each in folder.iterdir() if each != path]:
            raise Failed(f"refused, but left {', '.join(left)}") from error
        return one_line(str(error))
    return None


def judge_picture(make: Callable[[Random], bytes], random: Random, folder: Path) -> None:
    """Refused in one line, or an image that can be prepared for the network."""
    name = random.choice(
        ["a.png", "b.jpg", "c.dcm", "d", "e f;g$(h).png", "lung\n1.png", "\x1b[2J"]
    )
    path = folder / name
    path.write_bytes(make(random))
    try:
        read = radiograph.read(path)
    except UserError as error:
        return one_line(str(error))
    prepared = radiograph.prepare(read.grey, SIDE)
    if read.grey.ndim != 2 or prepared.shape != (SIDE, SIDE) or prepared.dtype != np.uint8:
        raise Failed(f"read as {read.grey.shape}, prepared as {prepared.dtype} {prepared.shape}")
    return None


def prepare(root: Path, quick: bool) -> None:
    """Nothing is needed."""


KINDS = {
    "archive: strange arrays": Kind(partial(judge_archive, archives.strange_arrays), 35),
    "archive: broken bytes": Kind(
        partial(judge_archive, partial(broken_bytes, archives.valid)), 30
    ),
    "archive: lying headers": Kind(partial(judge_archive, archives.lying_header), 15),
    "archive: strange ZIP": Kind(partial(judge_archive, archives.strange_zip), 15),
    "archive: something else": Kind(partial(judge_archive, archives.no_archive), 5),
    "picture: broken PNG and JPEG": Kind(
        partial(judge_picture, partial(broken_bytes, pictures.picture)), 25
    ),
    "picture: strange PNG": Kind(partial(judge_picture, pictures.strange_png), 20),
    "picture: strange DICOM": Kind(partial(judge_picture, pictures.strange_dicom), 25),
    "picture: broken DICOM": Kind(
        partial(judge_picture, partial(broken_bytes, pictures.dicom)), 15
    ),
    "picture: compressed DICOM": Kind(partial(judge_picture, pictures.other_syntax), 10),
    "picture: something else": Kind(partial(judge_picture, pictures.no_picture), 5),
}
