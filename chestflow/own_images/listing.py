"""What there is to pack: files with their classes, from folders or from a table (CSV)."""

import argparse
import csv
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from chestflow.errors import UserError
from chestflow.own_images import radiograph
from chestflow.own_images.radiograph import shown

LAYOUTS = "FOLDER/{class}/..., FOLDER/{train,val,test}/{class}/..., or a CSV with file and label"
SPLIT_OF = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
HEALTHY = {
    *("normal", "healthy", "negative", "none", "control", "0"),
    *("no finding", "no findings", "nofinding"),
}
COLUMNS = {"file", "label", "split", "patient", ""}  # the last: of an index
MOST_CLASSES = 100  # more are folders of patients, not of classes
LARGEST = 1 << 27  # bytes of a CSV: a million lines


@dataclass(frozen=True)
class Item:
    """A file to be packed."""

    name: str  # its path below the folder, or as the table has it
    path: Path
    labels: tuple[str, ...]  # classes; more than one only where images may have several findings
    split: str = ""  # as given; empty if it is to be drawn
    patient: str = ""  # empty if unknown


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a command has to be told of labelled files, beside where they are."""
    parser.add_argument(
        "--groups",
        metavar="PATTERN|CSV",
        help="patients: a regular expression for the path below FOLDER, whose first group is the"
        " patient, or a CSV of file and patient",
    )
    parser.add_argument(
        "--positive",
        metavar="CLASS[,CLASS]",
        default=[],
        type=lambda words: [word.strip() for word in words.split(",") if word.strip()],
        help="the classes that are diseased",
    )


def items(given: Path) -> list[Item]:
    """The files of a folder or table that is to be packed, as `files` lists them.

    Raises UserError, in one line, also where splits are incomplete.
    """
    found = files(given)
    if given_in := {item.split for item in found} - {""}:
        if missing := {"train", "test"} - given_in:
            raise UserError(
                f"{shown(given)}: splits {', '.join(sorted(given_in))}, but no"
                f" {missing.pop()}; accepted: train, test and, unless it is to be drawn, val"
            )
        if any(not item.split for item in found):
            raise UserError(f"{shown(given)}: a split for some files only; accepted: all or none")
    return found


def files(given: Path) -> list[Item]:
    """The files of a folder or table, in order of their names.

    Raises UserError, in one line, where there are none, or where classes are unclear.
    """
    found = of_folder(given) if given.is_dir() else of_table(given)
    return sorted(found, key=lambda item: item.name)


def of_folder(folder: Path) -> list[Item]:
    top = _folders(folder)
    _refuse_stray(folder, top)
    splits = [SPLIT_OF.get(each.name.lower(), "") for each in top]
    if not any(splits):
        return _of_classes(folder, folder, "")
    if not all(splits):
        other = top[splits.index("")].name
        raise UserError(f"{shown(folder)}: {shown(other)} lies beside splits; accepted: {LAYOUTS}")
    parts = (_of_classes(folder, each, split) for each, split in zip(top, splits))
    return [item for part in parts for item in part]


def _of_classes(root: Path, folder: Path, split: str) -> list[Item]:
    if not (classes := _folders(folder)):
        raise UserError(f"{shown(folder)}: no folder per class in it; accepted: {LAYOUTS}")
    _refuse_stray(folder, classes)
    for below in (below for each in classes for below in _folders(each)):
        name = below.name.lower()
        if name in SPLIT_OF or (is_healthy(name) and not name.isdigit()):
            raise UserError(f"{shown(below)}: too deep for a split or class; accepted: {LAYOUTS}")
    found = ((each.name, path) for each in classes for path in radiograph.find([each]))
    return [Item(path.relative_to(root).as_posix(), path, (name,), split) for name, path in found]


def _folders(folder: Path) -> list[Path]:
    try:
        below = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{shown(folder)}: {error.strerror}") from error
    return [p for p in below if p.is_dir() and not p.name.startswith(radiograph.HIDDEN)]


def _refuse_stray(folder: Path, folders: list[Path]) -> None:
    """Raise UserError for an image beside the folders, which would be in no class."""
    beside = (path for path in sorted(folder.iterdir()) if path not in folders)
    if folders and (stray := next(filter(radiograph.is_image, beside), None)):
        raise UserError(f"{shown(stray)} lies beside folders; accepted: {LAYOUTS}")


def of_table(table: Path) -> list[Item]:
    """Columns file, label and perhaps split and patient; paths are relative to the table. Other
    columns are named, for one of them may be meant."""
    found: dict[str, Item] = {}
    for line, row in rows(table, ("file", "label")):
        if not found and (unused := sorted(row.keys() - COLUMNS)):
            print(f"{shown(table)}: not used: {shown(', '.join(unused[:10]))}", file=sys.stderr)
        where, name = f"{shown(table)}, line {line}", row["file"]
        labels = {label.strip() for label in re.split(r"[|;]", row["label"])} - {""}
        if not name or not labels:
            missing = "label (of the healthy: normal)" if name else "file"
            raise UserError(f"{where}: no {missing}")
        if name in found:
            raise UserError(f"{where}: {shown(name)} for the second time; accepted: once")
        if len(labels) > 1 and (none := sorted(filter(is_healthy, labels))):
            raise UserError(f"{where}: {shown(none[0])} together with a finding; accepted: either")
        if (split := row.get("split", "").lower()) not in {"", *SPLIT_OF}:
            raise UserError(f"{where}: split {shown(split)!r}; accepted: train, val, test")
        given = (tuple(sorted(labels)), SPLIT_OF.get(split, ""), row.get("patient", ""))
        found[name] = Item(name, table.parent / name, *given)
    if not found:
        raise UserError(f"{shown(table)}: no line below its header")
    return list(found.values())


def rows(table: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and content of each line; columns are separated by comma, semicolon or tab."""
    accepted = LAYOUTS if "label" in needed else f"a CSV with the columns {' and '.join(needed)}"
    try:
        if table.stat().st_size > LARGEST or not table.is_file():
            raise UserError(
                f"{shown(table)}: neither a folder nor a CSV of up to {LARGEST:,} bytes"
            )
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{shown(table)}: {error.strerror}; accepted: {accepted}") from error
    except UnicodeDecodeError as error:
        if zipfile.is_zipfile(table):
            raise UserError(f"{shown(table)} is an archive; unpack it first") from error
        raise UserError(f"{shown(table)}: no CSV in UTF-8; accepted: {accepted}") from error
    lines = text.splitlines()
    separator = max(",;\t", key=(lines or [""])[0].count)
    reader = csv.DictReader(lines, delimiter=separator, restval="", strict=True)
    try:
        columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
        if not set(needed) <= set(columns):
            raise UserError(
                f"{shown(table)}: columns {shown(', '.join(columns)) or 'none'}; accepted: with"
                f" {' and '.join(needed)}"
            )
        if twice := [name for name in columns if name and columns.count(name) > 1]:
            raise UserError(f"{shown(table)}: column {shown(twice[0])} for the second time")
        reader.fieldnames = columns
        for row in reader:
            if None in row:
                raise UserError(
                    f"{shown(table)}, line {reader.line_num}: more fields than columns"
                    f" ({len(columns)}); accepted: as many, several labels as a|b"
                )
            yield reader.line_num, {name: row[name].strip() for name in columns}
    except csv.Error as error:
        raise UserError(f"{shown(table)}, line {reader.line_num}: {error}") from error


def grouped(found: list[Item], groups: str | None) -> list[Item]:
    """The same files with their patients: `groups` is a CSV of file and patient, or a pattern whose
    first group that takes part in a match is the patient. Empty where neither knows one.

    Raises UserError where it knows the patient of no file at all.
    """
    if groups is None:
        return found
    patients = patients_of([item.name for item in found], groups)
    if not any(patients):
        raise UserError(
            f"groups: {shown(groups)!r} knows no patient of {len(found):,} files, such as"
            f" {shown(found[0].name)}; accepted: what fits such names"
        )
    return [replace(item, patient=patient) for item, patient in zip(found, patients)]


def patients_of(names: list[str], groups: str) -> list[str]:
    if groups.lower().endswith(".csv"):
        known: dict[str, str] = {}
        for line, row in rows(Path(groups), ("file", "patient")):
            if known.setdefault(row["file"], row["patient"]) != row["patient"]:
                where = f"{shown(groups)}, line {line}: {shown(row['file'])}"
                raise UserError(f"{where} with another patient than before; accepted: one")
        return [known.get(name, "") for name in names]
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise UserError(f"groups: {shown(groups)!r} is no regular expression ({error})") from error
    if not pattern.groups:
        raise UserError(
            f"groups: {shown(groups)!r} has no group for the patient; accepted: such as"
            r" 'person(\d+)', or a CSV with the columns file and patient"
        )
    matches = map(pattern.search, names)
    return [next(filter(None, match.groups()), "") if match else "" for match in matches]


# ---------------------------------------------------------------------------------------- classes


def is_healthy(name: str) -> bool:
    return name.lower().replace("_", " ").replace("-", " ") in HEALTHY


@dataclass(frozen=True)
class Classes:
    """What labels stand for: one column of numbers, or a column of 0 and 1 per finding."""

    names: tuple[str, ...]
    diseased: tuple[int, ...]  # places in `names`
    several: bool  # whether an image may have more than one

    def row(self, item: Item) -> list[int]:
        if self.several:
            return [int(name in item.labels) for name in self.names]
        return [self.names.index(item.labels[0])]

    def is_diseased(self, item: Item) -> bool:
        return any(self.names[k] in item.labels for k in self.diseased)


def classes_of(found: list[Item], positive: list[str]) -> Classes:
    """positive: the classes that count as diseased; empty for all but those named as healthy."""
    several = any(len(item.labels) > 1 for item in found)
    names = sorted({label for item in found for label in item.labels})
    said = shown(", ".join(names[:10])) + ", ..." * (len(names) > 10)
    if unknown := [name for name in positive if name not in names]:
        raise UserError(f"positive: {shown(unknown[0])!r} is no class; accepted: {said}")
    if len(names) < 2:
        raise UserError(f"one class only, {said}; accepted: two or more")
    if len(names) > MOST_CLASSES:
        raise UserError(f"{len(names)} classes ({said}); accepted: up to {MOST_CLASSES}")
    chosen = positive or [name for name in names if not is_healthy(name)]
    if len(chosen) == len(names) and not (several and positive):
        raise UserError(
            f"which of the classes {said} are diseased? Name them: --positive CLASS[,CLASS]"
        )
    if several:
        names = [name for name in names if name in positive or not is_healthy(name)]
    return Classes(tuple(names), tuple(map(names.index, chosen)), several)
