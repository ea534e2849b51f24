"""Draw where the network saw evidence, over the whole of one's own image."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chestflow.own_images import radiograph
from chestflow.plots.gradcam import COLORMAP
from chestflow.plots.style import OUTLINE

FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # that of all other figures
OPACITY = 0.65  # of the strongest evidence; none is fully transparent
LEAST_WIDTH = 560  # pixels, so that the words can be read


def plot(grey: np.ndarray, heat: np.ndarray, text: str) -> Image.Image:
    """The image with the evidence over it (see `pictured`), and text on a black strip below, as
    large as the width allows."""
    picture = pictured(grey, heat)
    width = max(picture.width, LEAST_WIDTH)
    margin = width // 50
    pen = ImageDraw.Draw(picture)
    at_100 = pen.multiline_textbbox((0, 0), text, ImageFont.truetype(FONT, 100))
    font = ImageFont.truetype(FONT, min(100 * (width - 2 * margin) / at_100[2], width / 30))
    start = (margin, picture.height + margin)
    bottom = pen.multiline_textbbox(start, text, font)[3]
    canvas = Image.new("RGB", (width, int(bottom) + margin))
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    ImageDraw.Draw(canvas).multiline_text(start, text, "white", font)
    return canvas


def pictured(grey: np.ndarray, heat: np.ndarray) -> Image.Image:
    """The (H, W) uint8 image at its own resolution, or at a whole multiple if it is small: the more
    evidence, the brighter and the less transparent the colour.

    heat: (h, h) from 0 to 1, GradCAM of the square that the network sees. Where that is not all of
    the image, it is outlined, and the rest is darkened.
    """
    height, width = grey.shape
    factor = max(1, LEAST_WIDTH // max(height, width))
    left, top, side = (factor * value for value in radiograph.square(grey))
    whole = Image.fromarray(grey.repeat(factor, axis=0).repeat(factor, axis=1))
    seen = whole.crop((left, top, left + side, top + side)).convert("RGB")
    evidence = Image.fromarray(np.rint(heat * 255).astype(np.uint8))
    evidence = evidence.resize((side, side), Image.Resampling.BILINEAR)
    colours = Image.fromarray(matplotlib.colormaps[COLORMAP](np.asarray(evidence), bytes=True))
    opacity = evidence.point([round(OPACITY * value) for value in range(256)])
    heated = Image.composite(colours.convert("RGB"), seen, opacity)
    if height == width:
        return heated
    picture = whole.point([value // 2 for value in range(256)]).convert("RGB")
    picture.paste(heated, (left, top))
    box = (left, top, left + side - 1, top + side - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=OUTLINE, width=max(2, side // 250))
    return picture
