"""Small results as text that Git and DVC can compare: JSON for metrics, CSV for curves."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

DIGITS = 6  # finer than our sample sizes resolve, coarse enough to hide the order of summation


def rounded(value):
    """Round every float in nested dicts and lists; NaN becomes None, because JSON has no NaN."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float):  # numpy's float64 is one too
        return None if value != value else round(float(value), DIGITS)
    return value


def write_json(path: Path, values: dict) -> None:
    """Write results, rounded."""
    write_exact_json(path, rounded(values))


def write_exact_json(path: Path, values: dict) -> None:
    """Write settings with every digit: a rate of 1e-7 is not 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, rows: Iterable[dict]) -> None:
    """Rows of equal keys, at least one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(rounded, rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerows([first, *others])


def read_csv(path: Path) -> dict[str, list]:
    """Columns by name: numbers where all of a column are, text otherwise."""
    return columns(path.read_text(encoding="utf-8"))


def columns(text: str) -> dict[str, list]:
    """The same from the text of a table."""
    names, *rows = csv.reader(io.StringIO(text, newline=""))
    return dict(zip(names, map(_numbers, zip(*rows))))


def rows_of(columns: dict[str, list]) -> list[dict]:
    """The table of `read_csv` row by row."""
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def _numbers(column: tuple[str, ...]) -> list:
    try:
        return [float(value or "nan") for value in column]
    except ValueError:
        return list(column)
