"""Read one's own image, and prepare it as MedMNIST prepared the images that the networks know."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from chestflow.core.errors import UserError

MAX_PIXELS = 1 << 26  # a radiograph has 15 million; what unpacks to more is no image
DEPTHS = (8, 10, 12, 14, 16)  # bits per pixel of detectors and files
DICOM = (".dcm", ".dicom")
SUFFIXES = (".png", ".jpg", ".jpeg", *DICOM)
ACCEPTED = "PNG, JPEG or DICOM"
GREY_DICOM = ("MONOCHROME1", "MONOCHROME2")
PNG_START, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # signature, and where the bits per channel stand


@dataclass(frozen=True)
class Radiograph:
    """An image as a reader would see it: high values are bright."""

    grey: np.ndarray  # (H, W) uint8, at the file's own resolution
    remarks: tuple[str, ...] = ()  # what reading has changed, in words

    @property
    def square(self) -> tuple[int, int, int]:
        """Left, top and side (pixels) of the part that the network gets to see."""
        height, width = self.grey.shape
        side = min(height, width)
        return (width - side) // 2, (height - side) // 2, side

    @property
    def seen(self) -> np.ndarray:
        left, top, side = self.square
        return self.grey[top : top + side, left : left + side]


def find(given: Iterable[Path], leave: Iterable[Path] = ()) -> list[Path]:
    """The files that stand for the given ones: a folder stands for the images in it and below it,
    known by their endings or, without an ending, as DICOM. Each file once, in the order given;
    hidden files, and the folders to `leave`, where overlays lie, are passed over.

    Raises UserError for a folder without images.
    """
    found: dict[Path, Path] = {}
    left = {folder.resolve() for folder in leave}
    for path in given:
        images = _images_below(path, left) if path.is_dir() else [path]
        if not images:
            raise UserError(f"{path}: no image in this folder; accepted: {ACCEPTED}")
        for image in images:
            found.setdefault(image.resolve(), image)
    return list(found.values())


def _images_below(folder: Path, leave: set[Path]) -> list[Path]:
    images: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f[0] != "." and Path(place, f).resolve() not in leave]
        images += filter(_named_as_image, (Path(place, name) for name in names if name[0] != "."))
    return sorted(images)


def _named_as_image(path: Path) -> bool:
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    try:  # DICOMDIR is a table of contents
        return path.name.upper() != "DICOMDIR" and path.is_file() and _is_dicom(path)
    except OSError:
        return False


def read(path: Path) -> Radiograph:
    """A PNG, JPEG or DICOM file in grey values; what it is, its content decides.

    Colour becomes grey by luma, what is transparent black, EXIF's orientation is honoured; more
    than 8 bits are scaled as `eight_bit` and, for DICOM, the image's own window say.
    Raises UserError, in one line that begins with the path, for whatever is no such image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a file strays from a norm helps no reader here
            image = _dicom(path) if _is_dicom(path) else _picture(path)
        if np.ptp(image.seen) == 0:
            raise UserError("blank: all pixels of its central square are equal")
        return image
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise UserError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return error.strerror or str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return f"no picture; accepted: {ACCEPTED}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than any image has; accepted: up to {MAX_PIXELS:,}"
    said = " ".join(str(error).split())
    return said if isinstance(error, UserError) else f"damaged ({said or type(error).__name__})"


def prepare(grey: np.ndarray, side: int) -> np.ndarray:
    """(H, W) uint8 -> (side, side) uint8, as PneumoniaMNIST was made: cropped at the centre to a
    square as long as the short edge, then resized (Yang et al. 2023, and on_medmnist_plus.md in
    MedMNIST's repository; ChestMNIST's sources are square). By which interpolation is not said
    there: here by Pillow's default for pictures, bicubic with antialiasing, which leaves
    an image of that size as it is.
    """
    square = Image.fromarray(Radiograph(grey).seen)
    return np.array(square.resize((side, side), Image.Resampling.BICUBIC))


def eight_bit(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Pixels of any depth, none negative -> uint8, and the depth in bits that was assumed.

    Files of 16 bits mostly hold fewer, and seldom say so: an image of 12 bits would come out black.
    So the depth is the smallest usual one that holds the image's highest value; black stays black.
    """
    highest = int(values.max())
    depth = next((depth for depth in DEPTHS if highest < 1 << depth), highest.bit_length())
    return _stretch(values, 0, (1 << depth) - 1), depth


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """low..high -> 0..255, rounded; what lies beyond is cut off."""
    span = max(high - low, float(np.finfo(np.float32).tiny))
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / span)
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise UserError(f"{width} x {height} pixels; accepted: 1 to {MAX_PIXELS:,} in all")


# ---------------------------------------------------------------------------- PNG and JPEG


def _picture(path: Path) -> Radiograph:
    with path.open("rb") as file:
        start = file.read(PNG_DEPTH + 1)
    if not start:
        raise UserError("the file is empty")
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        _check_size(*image.size)
        frames = getattr(image, "n_frames", 1)
        if image.format == "PNG" and frames > 1:
            raise UserError(f"{frames} pictures in one file; accepted: one")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            grey, depth = eight_bit(np.asarray(upright))
            return Radiograph(grey, (f"16 bits in the file, read as {depth}",))
        found = _in_grey(upright)
        # Of colours with 16 bits, Pillow keeps the upper 8: little of an image of 12 bits.
        if start.startswith(PNG_START) and start[PNG_DEPTH] == 16 and found.grey.max() < 64:
            raise UserError("a colour picture that leaves its 16 bits unused; save it as grey")
        return found


def _in_grey(image: Image.Image) -> Radiograph:
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    grey = np.array(image.convert("L"))
    if image.mode in ("1", "L"):
        return Radiograph(grey)
    # Images are often stored as colour with three equal channels, but for the noise of JPEG.
    spread = np.ptp(np.asarray(image.convert("RGB")), axis=2).mean()
    return Radiograph(grey, ("colour, turned to grey",) if spread > 2 else ())


# ----------------------------------------------------------------------------------- DICOM


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _dicom(path: Path) -> Radiograph:
    """DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (rescaling or modality LUT) and C.11.2 (window or VOI
    LUT): as a viewer would show it first."""
    try:
        import pydicom
    except ImportError:
        raise UserError(
            "DICOM needs pydicom, which is missing; install it: "
            "uv pip install -c requirements.txt -r pyproject.toml --extra dicom"
        ) from None
    file = pydicom.dcmread(path)
    if "PixelData" not in file:
        raise UserError("DICOM without pixels")
    if (frames := int(file.get("NumberOfFrames") or 1)) > 1:
        raise UserError(f"DICOM with {frames} frames; accepted: one image per file")
    _check_size(int(file.Columns), int(file.Rows))
    kind = file.PhotometricInterpretation
    if kind == "RGB" or kind.startswith("YBR"):
        return _in_grey(Image.fromarray(eight_bit(_pixels(file))[0]))  # pydicom makes it RGB
    if kind not in GREY_DICOM:
        raise UserError(f"DICOM of {kind}; accepted: {', '.join(GREY_DICOM)}, RGB, YBR")
    grey, remark = _as_windowed(file)
    if kind == "MONOCHROME1":  # here low values are bright
        return Radiograph(255 - grey, (remark, "MONOCHROME1, inverted"))
    return Radiograph(grey, (remark,))


def _pixels(file) -> np.ndarray:
    try:
        return file.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        syntax = file.file_meta.TransferSyntaxUID.name
        raise UserError(
            f"its pixels ({syntax}) could not be unpacked; save the image uncompressed, or"
            " install a decoder: uv pip install python-gdcm"
        ) from error


def _as_windowed(file) -> tuple[np.ndarray, str]:
    """A DICOM file's pixels in 0..255, and in words by which range."""
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    values, ends = apply_modality_lut(_pixels(file), file), np.array([-(2**31), 2**31 - 1])
    if file.get("VOILUTSequence"):
        shown = apply_voi(np.rint(values).astype(np.int64), file)
        return _stretch(shown, *sorted(map(float, apply_voi(ends, file)))), "its own VOI LUT"
    if file.get("WindowWidth") and file.get("WindowCenter") is not None:
        low, high = sorted(map(float, apply_windowing(ends, file)))
        return _stretch(apply_windowing(values, file), low, high), "its own window"
    if values.min() >= 0 and (values == np.rint(values)).all():
        grey, depth = eight_bit(values)
        return grey, f"no window, read as {depth} bits"
    return _stretch(values, float(values.min()), float(values.max())), "no window, its own range"
