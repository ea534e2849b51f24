"""Draw where the network saw evidence, over the whole of one's own image."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from chestflow.own_images.pixels import Radiograph
from chestflow.plots.gradcam import COLORMAP
from chestflow.plots.style import OUTLINE

FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # that of all other figures
PALETTE = np.rint(255 * matplotlib.colormaps[COLORMAP](range(256))[:, :3]).astype(np.uint8)
WARNING = "#E69F00"  # Okabe & Ito (2008), on black
OPACITY = 0.65  # of the strongest evidence; none is fully transparent
LEAST_WIDTH = 560  # pixels, so that the words can be read


def draw(
    image: Radiograph, heat: np.ndarray, scale: str, lines: list[str], warning: str = ""
) -> Image.Image:
    """The image at its own resolution, or at a whole multiple if it is small; words stand below.

    heat: (h, h) from 0 to 1, GradCAM of the square that the network sees. Where that is not all of
    the image, it is outlined, and the rest is darkened. scale: what the colours show.
    """
    picture, cropped = pictured(image, heat)
    if cropped:
        lines = [*lines, "outside the blue square: cropped away, not seen by the network"]
    return _with_words(picture, scale, lines, warning)


def pictured(image: Radiograph, heat: np.ndarray) -> tuple[Image.Image, bool]:
    """The same without words, and whether a part of the image was cropped away."""
    height, width = image.grey.shape
    factor = max(1, LEAST_WIDTH // max(height, width))
    left, top, side = (factor * value for value in image.square)
    whole = Image.fromarray(image.grey).resize(
        (factor * width, factor * height), Image.Resampling.NEAREST
    )
    seen = whole.crop((left, top, left + side, top + side))
    evidence = Image.fromarray(np.rint(heat * 255).astype(np.uint8))
    evidence = evidence.resize((side, side), Image.Resampling.BILINEAR)
    cropped = width != height
    darker = whole.point([v // 2 for v in range(256)]) if cropped else whole
    picture = darker.convert("RGB")
    picture.paste(_heated(seen, evidence), (left, top))
    if cropped:
        _outline(picture, left, top, side)
    return picture, cropped


def _heated(grey: Image.Image, evidence: Image.Image) -> Image.Image:
    """Two pictures of 0 to 255 in one: the more evidence, the brighter and the less transparent."""
    opacity = evidence.point([round(OPACITY * value) for value in range(256)])
    colours = evidence.copy()
    colours.putpalette(PALETTE.tobytes())
    return Image.composite(colours.convert("RGB"), grey.convert("RGB"), opacity)


def _outline(picture: Image.Image, left: int, top: int, side: int) -> None:
    width = max(2, side // 250)
    box = (left, top, left + side - 1, top + side - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=OUTLINE, width=width)


def _with_words(picture: Image.Image, scale: str, lines: list[str], warning: str) -> Image.Image:
    """A black strip below: the scale of the colours, and lines as large as the width allows."""
    width = max(picture.width, LEAST_WIDTH)
    margin = width // 50
    texts = [*lines, *filter(None, [warning])]
    wide = ImageFont.truetype(FONT, 100)
    longest = max(*map(wide.getlength, texts), 1.5 * wide.getlength(scale))
    size = int(min(100 * (width - 2 * margin) / longest, width / 30))
    font, step = ImageFont.truetype(FONT, size), round(size * 1.5)
    canvas = Image.new("RGB", (width, picture.height + step * (len(texts) + 1) + 2 * margin))
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    pen, y = ImageDraw.Draw(canvas), picture.height + margin
    pen.text((margin, y), scale, "white", font)
    x = margin + round(font.getlength(scale)) + size
    ramp = Image.linear_gradient("L").rotate(90).resize((width - margin - x, size))
    canvas.paste(_heated(Image.new("L", ramp.size, 128), ramp), (x, y + size // 8))
    for text in texts:
        y += step
        pen.text((margin, y), text, WARNING if text == warning else "white", font)
    return canvas


def save(picture: Image.Image, path: Path, words: str) -> None:
    """Write a PNG with words in it that travel along when it is sent on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = PngInfo()
    note.add_text("Comment", words)
    picture.save(path, "PNG", pnginfo=note)
