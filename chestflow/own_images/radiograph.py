"""Read one's own image, and prepare it as MedMNIST prepared the images that the networks know."""

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter1d

from chestflow.errors import UserError
from chestflow.own_images import dicom
from chestflow.own_images.pixels import (
    ACCEPTED,
    MAX_BYTES,
    Radiograph,
    check_scans,
    check_size,
    decoding,
    eight_bit,
    in_grey,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
REFUSED = (".tif", ".tiff", ".bmp", ".gif", ".webp", ".heic", ".nii", ".nii.gz")  # `read` says so
PNG_START, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # signature, and where the bits per channel stand
JPEG_START = b"\xff\xd8\xff"
TRANSPARENT = "transparent"  # key of what Pillow keeps with a picture
HIDDEN = (".", "__MACOSX")  # how the names of a system's own files begin


def find(given: Iterable[Path], leave: Iterable[Path] = ()) -> list[Path]:
    """The files that stand for the given ones: a folder stands for the images in it and below it,
    as `is_image` knows them; links to folders in it are not followed. Each file once, in the order
    given; hidden files, and the folders to `leave`, where overlays lie, are passed over. What
    cannot be looked into stands for itself: `read` says why.

    Raises UserError for a folder without images.
    """
    found: dict[str, Path] = {}
    left = {os.path.realpath(folder) for folder in leave}
    for path in given:
        # Unlike pathlib, os.path raises neither for a loop of links nor for a name too long.
        images = _images_below(path, left) if os.path.isdir(path) else [path]
        if not images:
            raise UserError(f"{shown(path)}: no image in this folder; accepted: {ACCEPTED}")
        for image in images:
            found.setdefault(os.path.realpath(image), image)
    return list(found.values())


def _images_below(folder: Path, leave: set[str]) -> list[Path]:
    images: list[Path] = []

    def keep(error: OSError) -> None:
        images.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=keep):
        folders[:] = [f for f in folders if not f.startswith(HIDDEN)]
        folders[:] = [f for f in folders if os.path.realpath(Path(place, f)) not in leave]
        images += filter(is_image, (Path(place, name) for name in names))
    return sorted(images)


def is_image(path: Path) -> bool:
    """Whether a file in a folder is taken for an image: by its ending, even if `read` refuses it,
    or with any other ending by its first bytes: archives name DICOM files by numbers and dots."""
    if path.name.startswith(HIDDEN):
        return False
    if path.name.lower().endswith((*SUFFIXES, *REFUSED)):
        return True
    try:  # DICOMDIR is a table of contents
        return path.name.upper() != "DICOMDIR" and path.is_file() and _starts_as_image(path)
    except OSError:
        return False


def _starts_as_image(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(dicom.START)
    return dicom.is_dicom(start) or start.startswith((PNG_START, JPEG_START))


def shown(words: object) -> str:
    """A path, or words out of a file, as they may be printed: in one line, and without codes that
    steer a terminal."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode()
        for sign in str(words)
    )


def read(path: Path) -> Radiograph:
    """A PNG, JPEG or DICOM file in grey values; what it is, its content decides.

    Colour becomes grey by luma, what is transparent black, EXIF's orientation is honoured; more
    than 8 bits are scaled as `eight_bit` and, for DICOM, the image's own window say.
    Raises UserError, in one line that begins with the path, for whatever is no such image.
    """
    try:
        content = _content(path)
        image = dicom.read(content) if dicom.is_dicom(content) else _picture(content)
        if np.ptp(image.seen) == 0:
            raise UserError("blank: all pixels of its central square are equal")
        return image
    except UserError as error:
        raise UserError(shown(f"{path}: {error}")) from error


def _content(path: Path) -> bytes:
    """All of a file. What is none is not opened: a FIFO would wait, and a device never end."""
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise UserError("a folder that cannot be looked into")
        if not stat.S_ISREG(about.st_mode):
            raise UserError("no file, but a device, FIFO or socket; accepted: files and folders")
        if not about.st_size:
            raise UserError("the file is empty")
        if about.st_size > MAX_BYTES:
            raise UserError(f"{about.st_size:,} bytes; accepted: up to {MAX_BYTES:,}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error


def _picture(content: bytes) -> Radiograph:
    """PNG and JPEG."""
    picture = _upright(content)
    if picture.mode.startswith("I"):
        grey, depth = eight_bit(np.asarray(picture))
        return Radiograph(grey, (f"16 bits in the file, read as {depth}",))
    found = in_grey(picture)
    if picture.info.get(TRANSPARENT):
        found = replace(found, remarks=(*found.remarks, "partly transparent, put on black"))
    # Of colours with 16 bits, Pillow keeps the upper 8: little of an image of 12 bits.
    sixteen = content.startswith(PNG_START) and content[PNG_DEPTH] == 16
    if sixteen and found.grey.max() < 64:
        raise UserError("a colour picture that leaves its 16 bits unused; save it as grey")
    return found


def _upright(content: bytes) -> Image.Image:
    """The picture in a PNG or JPEG file as a viewer would turn it, on black."""
    with decoding():
        image = Image.open(BytesIO(content), formats=("PNG", "JPEG"))
        frames = getattr(image, "n_frames", 1)
    check_size(*image.size)
    if image.format != "PNG":
        check_scans(content)
    elif frames > 1:
        raise UserError(f"{frames} pictures in one file; accepted: one")
    with decoding():
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data and not upright.mode.startswith("I"):
            black, upright = Image.new("RGBA", upright.size, "black"), upright.convert("RGBA")
            transparent = bool(np.asarray(upright)[..., 3].min() < 255)
            upright = Image.alpha_composite(black, upright).convert("RGB")
            upright.info[TRANSPARENT] = transparent
        return upright


def prepare(grey: np.ndarray, side: int) -> np.ndarray:
    """(H, W) uint8 -> (side, side) uint8, as PneumoniaMNIST was made: cropped at the centre to a
    square as long as the short edge (Yang et al. 2023, and on_medmnist_plus.md in MedMNIST's
    repository; ChestMNIST's sources are square), then resized. How is not said there: of six ways,
    a Gaussian and then linear interpolation, as `skimage.transform.resize` does it, comes nearest
    to MedMNIST's own images. An image of that size is left as it is.
    """
    square = Radiograph(grey).seen
    resize = _resizing(len(square), side)
    return np.rint(resize @ square @ resize.T).astype(np.uint8)


@lru_cache(maxsize=8)
def _resizing(length: int, side: int) -> np.ndarray:
    """(side, length): the weights of a row's pixels in each pixel of the resized row. Both steps in
    one product: smoothing every pixel of a radiograph first would take a minute."""
    factor = length / side
    places = ((np.arange(side) + 0.5) * factor - 0.5).clip(0, length - 1)
    linear = (1 - np.abs(places[:, None] - np.arange(length))).clip(min=0)
    # Smoothing is a symmetric matrix, which can as well be applied to the weights.
    return gaussian_filter1d(linear, (factor - 1) / 2, axis=1) if factor > 1 else linear
