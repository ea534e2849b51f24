"""Find a user's own images, read them, and prepare them as MedMNIST prepared its own."""

import os
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.ndimage import gaussian_filter1d

from chestflow.errors import UserError, few

ACCEPTED = "PNG, JPEG or DICOM"
SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
PICTURE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # how PNG and JPEG files begin
DICOM_START = 132  # bytes, of which the last four say that this is DICOM
# A DICOM file without these bytes begins with its first element, of group 2 or 8.
WITHOUT_PREAMBLE = (b"\x02\x00", b"\x08\x00")
SYSTEM_FILES = (".", "__MACOSX", "Thumbs.db", "desktop.ini", "DICOMDIR")  # how their names begin
DEPTHS = (8, 10, 12, 14, 16)  # bits per pixel of detectors and files
OUTLIERS = 1000


def square(grey: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side (pixels) of the part of an (H, W) image that the network gets to see."""
    height, width = grey.shape
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side


def seen(grey: np.ndarray) -> np.ndarray:
    """(H, W) -> (side, side): that part."""
    left, top, side = square(grey)
    return grey[top : top + side, left : left + side]


def find(given: Sequence[Path], command: str) -> list[Path]:
    """The images that files and folders stand for, each once. A folder stands for all in it and
    below it but a system's own files; files that are no images are named on stderr.

    Raises UserError if there are no images.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in given:
        if not os.path.isdir(path):  # unlike pathlib, it raises nothing for a name too long
            images.append(path)
            continue
        for file in _files_below(path):
            (images if is_image(file) else others).append(file)
    if others:
        said = f"{len(others):,} files passed over, which are no {ACCEPTED}: "
        print(f"{command}: {said}{few([file.name for file in others])}", file=sys.stderr)
    if not images:
        raise UserError(f"{', '.join(map(str, given))}: no image; accepted: {ACCEPTED}")
    return list(dict.fromkeys(images))


def _files_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")  # which follows no link to a folder
        if not path.is_dir()
        and not any(part.startswith(SYSTEM_FILES) for part in path.relative_to(folder).parts)
    )


def is_image(path: Path) -> bool:
    """By its suffix, or else by its first bytes: archives name DICOM files by numbers and dots."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(DICOM_START)
    return is_dicom(start) or start.startswith(PICTURE)


def is_dicom(start: bytes) -> bool:
    return start[DICOM_START - 4 : DICOM_START] == b"DICM" or start.startswith(WITHOUT_PREAMBLE)


def read(path: Path) -> np.ndarray:
    """A PNG, JPEG or DICOM file as (H, W) uint8 at its own resolution, high values bright as a
    reader would see it; what kind of file it is, its content decides.

    Colour becomes grey by luma, what is transparent black, EXIF's orientation is honoured; more
    than 8 bits are scaled as `display_range` and, for DICOM, the image's own window say.
    Raises UserError, which begins with the path, for whatever is no such image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a file strays from a norm helps no reader here
            grey = _decoded(path.read_bytes())
        if np.ptp(seen(grey)) == 0:
            raise UserError("blank: all pixels of its central square are equal")
        return grey
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except UnidentifiedImageError:
        raise UserError(f"{path}: no picture; accepted: {ACCEPTED}") from None
    except Exception as error:  # nearly every kind there is, if a file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        missing = getattr(error, "strerror", None)  # of the system: no such file, no permission
        raise UserError(f"{path}: {missing or f'damaged ({reason})'}") from error


def _decoded(content: bytes) -> np.ndarray:
    if is_dicom(content):
        from chestflow.own_images import dicom  # pydicom takes a while to import

        return dicom.read(content)
    image = ImageOps.exif_transpose(Image.open(BytesIO(content), formats=("PNG", "JPEG")))
    if image.mode.startswith("I"):  # 16 bits
        values = np.asarray(image)
        return stretch(values, *display_range(values))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    grey = np.array(image.convert("L"))
    # Of colour with 16 bits per channel, Pillow keeps the upper 8: little of 12 bits.
    if content.startswith(PICTURE[0]) and content[24] == 16 and grey.max() < 64:
        raise UserError("its 16 bits leave the upper half unused; save it as grey without alpha")
    return grey


def display_range(values: np.ndarray) -> tuple[float, float]:
    """The values to be shown black and white where a file does not name them.

    Files of 16 bits mostly hold fewer and seldom say so: an image of 12 bits would come out black.
    So white is the highest value of the smallest usual depth that holds the image's values. Values
    below 0 or with fractions are shown by their own range. One pixel in OUTLIERS at either end,
    which may be hot or dead, takes no part.
    """
    k = min(values.size // OUTLIERS + 1, (values.size - 1) // 2)
    low, high = map(float, np.partition(values.ravel(), (k, -1 - k))[[k, -1 - k]])
    if values.min() < 0 or (values != np.rint(values)).any():
        return low, high
    depth = next((d for d in DEPTHS if high < 1 << d), int(high).bit_length())
    return 0, (1 << depth) - 1


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """low..high -> 0..255, rounded; what lies beyond is cut off. Where low is the greater number,
    the values are turned round."""
    factor = np.float32(255 / (high - low) if high != low else 0)
    scaled = (values.astype(np.float32) - np.float32(low)) * factor
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def prepare(grey: np.ndarray, side: int) -> np.ndarray:
    """(H, W) uint8 -> (side, side) uint8, as PneumoniaMNIST was made: cropped at the centre to a
    square as long as the short edge (Yang et al. 2023, and on_medmnist_plus.md in MedMNIST's
    repository; ChestMNIST's sources are square), then resized. How is not said there: of six ways,
    a Gaussian and then linear interpolation, as `skimage.transform.resize` does it, comes nearest
    to MedMNIST's own images. An image of that size is left as it is.
    """
    cropped = seen(grey)
    resize = _resizing(len(cropped), side)
    return np.rint(resize @ cropped @ resize.T).astype(np.uint8)


@lru_cache(maxsize=8)
def _resizing(length: int, side: int) -> np.ndarray:
    """(side, length): the weights of a row's pixels in each pixel of the resized row. Both steps in
    one product: smoothing every pixel of a radiograph first would take a minute."""
    factor = length / side
    places = ((np.arange(side) + 0.5) * factor - 0.5).clip(0, length - 1)
    linear = (1 - np.abs(places[:, None] - np.arange(length))).clip(min=0)
    # Smoothing is a symmetric matrix, which can as well be applied to the weights.
    return gaussian_filter1d(linear, (factor - 1) / 2, axis=1) if factor > 1 else linear
