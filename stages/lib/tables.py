"""Small results as text that Git and DVC can compare: JSON for metrics, CSV for plots."""

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path

DIGITS = 6  # beyond what any of our sample sizes can resolve


def rounded(value):
    """Round every float in nested dicts and lists; NaN becomes None, for which JSON has a word."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float):  # numpy's float64 is one too
        return None if value != value else round(float(value), DIGITS)
    return value


def write_json(path: Path, values: dict) -> None:
    """Indented, but a list of numbers, such as an interval, stays on its line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(values), indent=2)
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    path.write_text(flat.replace("[ ", "[").replace(" ]", "]") + "\n")


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def scored(report: dict, key: str) -> str:
    """A score with its interval, in words: `0.913 [0.891, 0.934]`."""
    low, high = report["ci95"][key]
    return f"{report[key]:.3f} [{low:.3f}, {high:.3f}]"


def signed(entry: dict) -> str:
    """A difference with its interval: `+0.031 [+0.006, +0.061]`."""
    low, high = entry["ci95"]
    return f"{entry['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def write_csv(path: Path, rows: Iterable[dict]) -> None:
    """Rows of equal keys; the file is flushed after each, so that a plot can follow a training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(rounded(row))
            file.flush()


def read_csv(path: Path) -> dict[str, list]:
    """Columns by name: numbers where all of a column are, texts otherwise."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: _numbers([row[name] for row in rows]) for name in rows[0]}


def _numbers(column: list[str]) -> list:
    try:
        return [float(value or "nan") for value in column]
    except ValueError:
        return column
