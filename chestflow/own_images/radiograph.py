"""Read a user's own image, and prepare it as MedMNIST prepared those that the networks know."""

import os
from collections.abc import Iterable
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
    Radiograph,
    decoding,
    display_range,
    in_grey,
    stretch,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SYSTEM_FILES = (".", "__MACOSX", "Thumbs.db", "desktop.ini", "DICOMDIR")  # how their names begin
NAMED = 5  # of the files passed over, the first few


def find(given: Iterable[Path], leave: Iterable[Path] = ()) -> tuple[list[Path], list[Path]]:
    """The images that files and folders stand for, each once, in the order given; and the files in
    folders that are none. A folder stands for all in it and below it, but for a system's own files
    and the folders to `leave`, where overlays lie.

    Raises UserError for a folder without images.
    """
    images: dict[str, Path] = {}
    passed_over: list[Path] = []
    for path in given:
        inside = [path]
        if os.path.isdir(path):  # unlike pathlib, it raises nothing for a name too long
            files = _files_below(path, leave)
            inside = [file for file in files if is_image(file)]
            passed_over += sorted(set(files) - set(inside))
            if not inside:
                raise UserError(f"{path}: no image in this folder; accepted: {ACCEPTED}")
        for image in inside:
            images.setdefault(os.path.abspath(image), image)
    return list(images.values()), passed_over


def _files_below(folder: Path, leave: Iterable[Path]) -> list[Path]:
    left = [each.resolve() for each in leave]
    return sorted(
        path
        for path in folder.rglob("*")  # which follows no link to a folder
        if not os.path.isdir(path)
        and not any(part.startswith(SYSTEM_FILES) for part in path.relative_to(folder).parts)
        and not any(path.absolute().is_relative_to(each) for each in left)
    )


def is_image(path: Path) -> bool:
    """By its suffix, or else by its first bytes: archives name DICOM files by numbers and dots."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(dicom.START)
    return dicom.is_dicom(start) or start.startswith((PNG_START, JPEG_START))


def passed_over_note(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:NAMED]) + ", ..." * (len(paths) > NAMED)
    return f"{len(paths):,} files passed over, which are no {ACCEPTED}: {names}"


def read(path: Path) -> Radiograph:
    """A PNG, JPEG or DICOM file in grey values; what it is, its content decides.

    Colour becomes grey by luma, what is transparent black, EXIF's orientation is honoured; more
    than 8 bits are scaled as `display_range` and, for DICOM, the image's own window say.
    Raises UserError, which begins with the path, for whatever is no such image.
    """
    try:
        if not path.is_file():
            raise UserError("no such file")
        content = path.read_bytes()
        if not content:
            raise UserError("the file is empty")
        image = dicom.read(content) if dicom.is_dicom(content) else _picture(content)
        if np.ptp(image.seen) == 0:
            raise UserError("blank: all pixels of its central square are equal")
        return image
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _picture(content: bytes) -> Radiograph:
    """PNG and JPEG."""
    with decoding():
        image = ImageOps.exif_transpose(Image.open(BytesIO(content), formats=("PNG", "JPEG")))
        if image.mode.startswith("I"):
            values = np.asarray(image)
            low, high, words = display_range(values)
            return Radiograph(stretch(values, low, high), (f"16 bits in the file, {words}",))
        opaque, is_transparent = _on_black(image)
        radiograph = in_grey(opaque)
    # Of colour or transparency with 16 bits, Pillow keeps the upper 8: little of 12 bits.
    is_deep = content.startswith(PNG_START) and content[24] == 16  # bits per channel
    if is_deep and radiograph.grey.max() < 64:
        what = "grey with transparency" if content[25] == 4 else "colour"
        raise UserError(f"{what} that leaves its 16 bits unused; save it as grey without alpha")
    if is_transparent:
        return Radiograph(
            radiograph.grey, (*radiograph.remarks, "partly transparent, put on black")
        )
    return radiograph


def _on_black(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture without transparency, and whether it had any."""
    if not image.has_transparency_data:
        return image, False
    with_alpha = image.convert("RGBA")
    black = Image.new("RGBA", image.size, "black")
    is_transparent = bool(np.asarray(with_alpha)[..., 3].min() < 255)
    return Image.alpha_composite(black, with_alpha).convert("RGB"), is_transparent


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
