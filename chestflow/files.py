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
    """Write results, rounded and indented; a list of plain values (an interval) is one line."""
    write_exact_json(path, rounded(values))


def write_exact_json(path: Path, values: dict) -> None:
    """The same with every digit, for settings: a rate of 1e-7 is not 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_indented(values) + "\n", encoding="utf-8")


def _indented(value, depth: int = 0) -> str:
    """Like `json.dumps(value, indent=2)`, but with lists of plain values on one line."""
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    )
    if not value or not nested:
        return json.dumps(value)
    items = [
        (f"{json.dumps(key)}: " if isinstance(value, dict) else "") + _indented(item, depth + 1)
        for key, item in (value.items() if isinstance(value, dict) else enumerate(value))
    ]
    left, right = "{}" if isinstance(value, dict) else "[]"
    margin = "  " * depth
    lines = ",\n".join(f"{margin}  {item}" for item in items)
    return f"{left}\n{lines}\n{margin}{right}"


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, rows: Iterable[dict]) -> None:
    """Rows of equal keys, at least one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = rows
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(rounded, [first, *others]))


def read_csv(path: Path) -> dict[str, list]:
    """Columns by name: numbers where all of a column are, text otherwise."""
    return columns(path.read_text(encoding="utf-8"))


def columns(text: str) -> dict[str, list]:
    """The same from the text of a table."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    return {name: _numbers([row[name] for row in rows]) for name in rows[0]}


def rows_of(columns: dict[str, list]) -> list[dict]:
    """The table of `read_csv` row by row."""
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def _numbers(column: list[str]) -> list:
    try:
        return [float(value or "nan") for value in column]
    except ValueError:
        return column
