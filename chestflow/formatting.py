"""Numbers and names as text, in one way everywhere: figures, tables, logs and the report.

A number that is not defined is None, as in the JSON files.
"""

import re
from collections.abc import Callable

MINUS = "\N{MINUS SIGN}"
UNDEFINED = "not defined"
MARGIN = 0.01  # differences of AUROC or accuracy within it are called equal: too small to matter
# What Markdown, GitHub's included, may take for markup within a line; an underscore between letters
# or digits means nothing there, and names such as `lowdata_autoencoder` stay as they are.
MARKUP = re.compile(r"[\\`*\[\]<>&|~$#]|(?<![^\W_])_|_(?![^\W_])")


def number(value: float | None, digits: int = 3) -> str:
    """A number with a real minus sign; a rounded zero has none."""
    return UNDEFINED if value is None else f"{value:z.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: its sign is always shown, but a rounded zero has none."""
    text = number(value, digits)
    return f"+{text}" if value is not None and float(f"{value:.{digits}f}") > 0 else text


def percent(share: float | None, digits: int = 1) -> str:
    return UNDEFINED if share is None else f"{number(100 * share, digits)} %"


def with_interval(
    value: float | None, bounds: list, digits: int = 3, write: Callable = number
) -> str:
    """`0.913 [0.891, 0.934]`."""
    if value is None:
        return UNDEFINED
    low, high = (write(bound, digits) for bound in bounds)
    return f"{write(value, digits)} [{low}, {high}]"


def scored(report: dict, key: str) -> str:
    """A score of a record with its interval or, where it has none, its standard deviation."""
    bounds = report.get("ci95", {}).get(key)
    return with_interval(report[key], bounds) if bounds else mean_sd(report, key)


def mean_sd(report: dict, key: str) -> str:
    """A score's mean ± standard deviation over the trainings; of one training, the score."""
    value, sd = report[key], report["sd"][key]
    return number(value) if None in (value, sd) else f"{number(value)} ± {number(sd)}"


def change(entry: dict) -> str:
    """A difference with its interval, after correction if it has one: `+0.031 [+0.006, +0.061]`."""
    return with_interval(entry["difference"], entry.get("ci95_holm", entry["ci95"]), write=signed)


def p_value(p: float | None) -> str:
    """`0.012`, or `< 0.001`."""
    return "< 0.001" if p is not None and p < 0.001 else number(p)


def counted(trainings: int) -> str:
    return f"{trainings} trainings" if trainings > 1 else "1 training"


def one_line(text: str) -> str:
    """Words that a user chose, without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def literal(text: str) -> str:
    """Words from elsewhere, such as a file's name, as Markdown that shows them as they are: without
    markup, links and pictures, fit for the cell of a table."""
    return MARKUP.sub(r"\\\g<0>", one_line(text))
