"""What all figures share: type sizes, colours, forest plots, and how they are saved."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "figure.constrained_layout.use": True,
        "figure.titlesize": 13,
        "grid.color": "#dddddd",
        "legend.fontsize": 10,
        "legend.frameon": False,
        "savefig.dpi": 110,
        "text.parse_math": False,  # a dollar sign in a data set's title is no formula
    }
)

# Healthy and diseased, from the palette of Okabe & Ito (2008): told apart by colour-blind readers.
CLASS_COLOURS = ("#0072B2", "#D55E00")
GREY = "#777777"
OUTLINE = "#56B4E9"  # of the true finding, and of what the network sees: on black


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on nothing but the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def forest(axes, names: list[str], label: str) -> list[int]:
    """The rows of a forest plot. Returns their places on the y axis, the first on top."""
    rows = list(range(len(names)))[::-1]
    axes.set(xlabel=label, ylim=(-0.6, len(names) - 0.4))
    axes.set_yticks(rows, names, fontsize=10)
    axes.grid(axis="x")
    return rows


def sized(name: str, n: int, trainings: int) -> str:
    """The name of a row, and below it its numbers of images and of trainings."""
    return f"{name}\n({n:,} × {trainings})"


def point(axes, y: float, value: float, interval: list[float], colour: str) -> None:
    """A value and its interval as a row of a forest plot."""
    axes.plot(interval, (y, y), color=colour, lw=2, solid_capstyle="butt")
    axes.plot(value, y, "o", color=colour, markersize=7)
