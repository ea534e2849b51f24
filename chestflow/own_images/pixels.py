"""An image in grey values, as every file is read: its limits, and its scaling to 8 bits."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chestflow.errors import UserError

ACCEPTED = "PNG, JPEG or DICOM"
MAX_PIXELS = 1 << 25  # a radiograph has 15 million; what unpacks to more is no image
MAX_SIDE = 1 << 14  # pixels; overlays grow with the square of the longer side
MAX_BYTES = 6 * MAX_PIXELS + (1 << 25)  # of a file: colour of 16 bits, and room for its header
MAX_SCANS = 64  # of a progressive JPEG, which mostly has 10; each goes over all pixels
DEPTHS = (8, 10, 12, 14, 16)  # bits per pixel of detectors and files

# What Pillow, pydicom and what they call raise for damaged files.
DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # NotImplementedError and RecursionError as well
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


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


@contextmanager
def decoding(*further: type[Exception]) -> Iterator[None]:
    """Around calls of decoders, and of nothing else: what they raise for a damaged file becomes a
    UserError, whereas the same from a line of ours is a defect, whose traceback is needed.

    further: what a decoder raises besides DAMAGE.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a file strays from a norm helps no reader here
            yield
    except UserError:  # itself a ValueError
        raise
    except (*DAMAGE, *further) as error:
        raise UserError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"no picture; accepted: {ACCEPTED}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than any image has; accepted: up to {MAX_PIXELS:,}"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    said = " ".join(str(error).split())
    return f"damaged ({said or type(error).__name__})"


def check_size(width: int, height: int) -> None:
    """Raise UserError for an image whose pixels would not fit into memory."""
    if not (0 < width * height <= MAX_PIXELS and max(width, height) <= MAX_SIDE):
        raise UserError(
            f"{width} x {height} pixels; accepted: 1 to {MAX_PIXELS:,} in all, and up to"
            f" {MAX_SIDE:,} a side"
        )


def check_scans(jpeg: bytes) -> None:
    """Raise UserError for a JPEG that a few bytes per scan would keep busy for minutes."""
    by_chance = len(jpeg) >> 15  # twice as often as two given bytes follow each other by chance
    if jpeg.count(b"\xff\xda") > MAX_SCANS + by_chance:
        raise UserError(f"damaged (more than {MAX_SCANS} scans in a JPEG)")


def eight_bit(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Pixels of any depth, none negative -> uint8, and the depth in bits that was assumed.

    Files of 16 bits mostly hold fewer, and seldom say so: an image of 12 bits would come out black.
    So the depth is the smallest usual one that holds the image's highest value; black stays black.
    """
    highest = int(values.max())
    depth = next((depth for depth in DEPTHS if highest < 1 << depth), highest.bit_length())
    return stretch(values, 0, (1 << depth) - 1), depth


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """low..high -> 0..255, rounded; what lies beyond is cut off."""
    span = max(high - low, float(np.finfo(np.float32).tiny))
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)  # in place, here and below: the image may be large
    scaled *= np.float32(255 / span)
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)


def in_grey(image: Image.Image) -> Radiograph:
    """A picture without transparency, of at most 8 bits per channel, by luma."""
    grey = np.array(image.convert("L"))
    if image.mode in ("1", "L"):
        return Radiograph(grey)
    # Images are often stored as colour with three equal channels, but for the noise of JPEG.
    spread = np.ptp(np.asarray(image.convert("RGB")), axis=2).mean()
    return Radiograph(grey, ("colour, turned to grey",) if spread > 2 else ())
