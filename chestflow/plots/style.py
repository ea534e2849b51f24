"""What all figures share: type sizes, colours, and how they are saved."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "figure.titlesize": 13,
        "savefig.dpi": 110,
        "text.parse_math": False,  # a dollar sign in a data set's title is no formula
    }
)

# Healthy and diseased, from the palette of Okabe & Ito (2008): told apart by colour-blind readers.
CLASS_COLOURS = ("#0072B2", "#D55E00")
GREY = "#777777"
OUTLINE = "#56B4E9"  # of the true finding, and of what the network sees: on black
SYNTHETIC = " (synthetic images, no patients)"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on nothing but the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def point(axes, y: float, value: float, interval: list[float], colour: str) -> None:
    """A value and its interval as a row of a forest plot."""
    axes.plot(interval, (y, y), color=colour, lw=2, solid_capstyle="butt")
    axes.plot(value, y, "o", color=colour, markersize=7)
