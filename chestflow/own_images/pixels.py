"""An image in grey values, and its scaling to 8 bits."""

from dataclasses import dataclass

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)  # bits per pixel of detectors and files
OUTLIERS = 1000


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


def display_range(values: np.ndarray) -> tuple[float, float, str]:
    """The values to be shown black and white where a file does not name them; and which, in words.

    Files of 16 bits mostly hold fewer and seldom say so: an image of 12 bits would come out black.
    So white is the highest value of the smallest usual depth that holds the image's values. Values
    below 0 or with fractions are shown by their own range. One pixel in OUTLIERS at either end,
    which may be hot or dead, takes no part.
    """
    k = min(values.size // OUTLIERS + 1, (values.size - 1) // 2)
    low, high = map(float, np.partition(values.ravel(), (k, -1 - k))[[k, -1 - k]])
    if values.min() < 0 or (values != np.rint(values)).any():
        return low, high, "shown by its own range"
    depth = next((d for d in DEPTHS if high < 1 << d), int(high).bit_length())
    white = (1 << depth) - 1
    brighter = int((values > white).sum())
    cut = f", {brighter:,} brighter pixels cut" if brighter else ""
    return 0, white, f"read as {depth} bits{cut}"


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """low..high -> 0..255, rounded; what lies beyond is cut off. Where low is the greater number,
    the values are turned round."""
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)  # in place, here and below: the image may be large
    scaled *= np.float32(255 / (high - low) if high != low else 0)
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)
