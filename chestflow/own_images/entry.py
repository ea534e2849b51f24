"""The entry of a packed data set in datasets.yaml, whose other text stays as it is."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from chestflow.config import reading
from chestflow.config.values import Name
from chestflow.errors import UserError

MARK = "# by `chestflow pack`, which may replace it"


def check(path: Path, name: str) -> None:
    """Raise UserError for a name that is not allowed, or taken by what `pack` has not written."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise UserError(f"name: {error.errors()[0]['msg']}") from None
    if yaml.safe_load(name) != name:
        raise UserError(f"name: {name} is no text in YAML; accepted: another")
    known = reading.datasets(path)
    if alike := [key for key in known if key.lower() == name.lower() and key != name]:
        raise UserError(f"name: {name} and {alike[0]} differ in capitals alone; accepted: another")
    if name in known:
        lines = path.read_text(encoding="utf-8").splitlines()
        place = _place(lines, name)
        if place == len(lines) or MARK not in lines[place]:
            raise UserError(f"{path} has a data set {name} already; accepted: another --name")


def write(path: Path, name: str, values: dict[str, Any], remark: str) -> None:
    """Append the entry, or replace the one that `pack` wrote; all or nothing.

    remark: what the numbers in `diseased` stand for.
    """
    before, part = reading.datasets(path), path.with_name(f"{path.name}.part")
    lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    end = start = _place(lines, name)
    while end < len(lines) and (end == start or lines[end].startswith("    ")):
        end += 1
    entry = [f"  {name}:  {MARK}"]
    for key, value in values.items():
        scalar = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
        line = f"    {key}: {scalar.removesuffix('...' + chr(10)).strip()}"
        entry.append(f"{line}  # {remark}" if key == "diseased" else line)
    try:
        part.write_text("\n".join([*lines[:start], *entry, *lines[end:]]) + "\n", encoding="utf-8")
        after = reading.datasets(part)
        if {**after, name: None} != {**before, name: None}:
            raise UserError(f"{path}: its layout is not the usual one; write the entry by hand")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _place(lines: list[str], name: str) -> int:
    """The line where an entry begins, or would."""
    begins = re.compile(rf"  (['\"]?){re.escape(name)}\1\s*:")
    return next((i for i, line in enumerate(lines) if begins.match(line)), len(lines))
