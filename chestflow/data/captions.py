"""What a data set is called, wherever a figure, a table or a log names it."""

from dataclasses import dataclass
from pathlib import Path

from chestflow.data import arrays

MARK = " PHANTOM"


@dataclass(frozen=True)
class About:
    """What a data set's images are called, and its two classes."""

    caption: str
    classes: tuple[str, str]

    @property
    def is_phantom(self) -> bool:
        return self.caption.endswith(MARK)

    def record(self) -> dict:
        """What every metrics file begins with."""
        return {"data": self.caption, "classes": list(self.classes)}


def of_folder(folder: Path, title: str, positive: str) -> About:
    """What the images in a folder that `arrays.write` wrote are called."""
    side = arrays.read(folder, "test").images.shape[-1]
    sized = title if side == 28 else f"{title} ({side} pixels)"
    return About(marked(sized, arrays.origin(folder)), ("healthy", positive))


def of_report(report: dict) -> About:
    """The same from a metrics file."""
    return About(report["data"], tuple(report["classes"]))


def marked(name: str, origin: str) -> str:
    """A name that says so where the images are synthetic."""
    return name + MARK if origin == "phantom" else name
