"""What a data set is called, wherever a figure, a table or a log names it."""

from typing import NamedTuple

MARK = " PHANTOM"


class About(NamedTuple):
    """What a data set's images are called, and its two classes."""

    caption: str
    classes: tuple[str, str]  # of labels 0 and 1

    @property
    def is_phantom(self) -> bool:
        return self.caption.endswith(MARK)

    def record(self) -> dict:
        """What every metrics file begins with."""
        return {"data": self.caption, "classes": list(self.classes)}


def of_dataset(title: str, side: int, origin: str, positive: str) -> About:
    """What a data set is called; side: of its images, in pixels; origin: as in `arrays.write`."""
    sized = title if side == 28 else f"{title} ({side} pixels)"
    return About(marked(sized, origin), ("healthy", positive))


def of_report(report: dict) -> About:
    """The same from a metrics file."""
    return About(report["data"], tuple(report["classes"]))


def marked(name: str, origin: str) -> str:
    """A name that says so where the images are synthetic."""
    return name + MARK if origin == "phantom" else name
