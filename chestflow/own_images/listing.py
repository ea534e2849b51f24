"""Labelled files: images with their classes, splits and patients, from folders or a table (CSV)."""

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from chestflow.errors import UserError, printable
from chestflow.own_images import radiograph

LAYOUTS = "FOLDER/{class}/..., FOLDER/{train,val,test}/{class}/..., or a CSV with file and label"
SPLIT_OF = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
HEALTHY = {
    *("normal", "healthy", "negative", "control", "0"),
    *("no finding", "no findings", "nofinding"),
}
MISSING = {"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "unknown", "missing", "?", "-"}
MASK = re.compile(r"masks?(?![a-z])", re.IGNORECASE)  # in the name of a folder or file
COLUMNS = {"file", "label", "split", "patient", ""}  # the last: of an index


@dataclass(frozen=True)
class Item:
    """A labelled file."""

    name: str  # its path below the folder, or as the table has it
    path: Path
    labels: tuple[str, ...]  # classes; more than one only where images may have several findings
    split: str = ""  # as given; empty if it is to be drawn
    patient: str = ""  # empty if unknown

    @property
    def whose(self) -> str:
        """The patient; a file whose patient is not known is one of its own."""
        return f"patient {self.patient}" if self.patient else f"file {self.name}"

    def is_any(self, classes: Sequence[str]) -> bool:
        """Whether one of its labels is among these."""
        return not set(classes).isdisjoint(self.labels)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where labelled files are, and what their patients and classes are."""
    add = parser.add_argument
    add("given", type=Path, metavar="FOLDER|CSV", help=LAYOUTS)
    add("--groups", metavar="PATTERN", help="regular expression whose first group is the patient")
    add("--positive", metavar="CLASS[,CLASS]", default="", help="the classes that are diseased")


def items(given: Path, groups: str | None, command: str) -> list[Item]:
    """The files of a folder or table, in order of their names; what is left out is said on stderr.

    groups: a regular expression for names, whose first group that takes part is the patient.
    Raises UserError where there are none, or where classes are unclear.
    """
    if not given.exists():
        raise UserError(f"{given}: no such file or folder; accepted: {LAYOUTS}")
    listed, notes = _of_folder(given) if given.is_dir() else _of_table(given)
    for note in notes:
        print(f"{command}: {printable(note)}", file=sys.stderr)
    listed.sort(key=lambda item: item.name)
    return listed if groups is None else _with_patients(listed, groups)


def prepared(items: list[Item], side: int, command: str) -> dict[str, np.ndarray]:
    """The images by name, (side, side) uint8 each. What cannot be read is said on stderr.

    Raises UserError if nothing can be.
    """
    images = {}
    for item in tqdm(items, desc=command, unit="image", disable=None):
        try:
            images[item.name] = radiograph.prepare(radiograph.read(item.path), side)
        except UserError as error:
            tqdm.write(f"{command}: {printable(error)}", file=sys.stderr)
    if not images:
        raise UserError(f"none of {len(items):,} files could be read, see above")
    if unread := len(items) - len(images):
        counted = f"{unread:,} of {len(items):,} files"
        print(f"{command}: {counted} could not be read, see above", file=sys.stderr)
    return images


# ---------------------------------------------------------------------------------------- folders


def _of_folder(folder: Path) -> tuple[list[Item], list[str]]:
    """The labelled files, and what was left out, in sentences."""
    images, others = radiograph.find([folder])
    listed = [_placed(path, folder) for path in images]
    if len({bool(item.split) for item in listed}) > 1:
        other = next(item.labels[0] for item in listed if not item.split)
        raise UserError(f"{folder}: {other} lies beside splits; accepted: {LAYOUTS}")
    notes = [radiograph.passed_over_note(others)] if others else []
    return _without_masks(listed, notes), notes


def _placed(path: Path, folder: Path) -> Item:
    """An image with the class, and the split, that its folders stand for."""
    name = path.relative_to(folder)
    *places, _ = name.parts
    split = SPLIT_OF.get(places[0].lower(), "") if places else ""
    if not (places := places[bool(split) :]):
        raise UserError(f"{path} lies in no folder of a class; accepted: {LAYOUTS}")
    if any(place.lower() in SPLIT_OF for place in places):
        raise UserError(f"{path}: a split within a class; accepted: {LAYOUTS}")
    return Item(name.as_posix(), path, (_label(places[0], str(path.parent)),), split)


def _without_masks(listed: list[Item], notes: list[str]) -> list[Item]:
    """Some data sets keep outlines of the lungs as images beside the radiographs."""
    kept = [item for item in listed if not MASK.search(item.name)]
    if masks := [item.name for item in listed if MASK.search(item.name)]:
        notes.append(f"{len(masks):,} masks left out, by their names, such as {masks[0]}")
    if not kept:
        raise UserError(f"only masks, by their names, such as {masks[0]}; accepted: radiographs")
    return kept


def _label(word: str, where: str) -> str:
    """A class without needless blanks; UserError for a word that stands for a missing value."""
    label = " ".join(word.split())
    if label.lower() in MISSING:
        raise UserError(
            f"{where}: no label ({label!r}); accepted: a class, such as normal; or leave it out"
        )
    return label


# ----------------------------------------------------------------------------------------- tables


def _of_table(table: Path) -> tuple[list[Item], list[str]]:
    """Columns file, label and perhaps split and patient; paths are relative to the table. Other
    columns are named, for one of them may be meant."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator, restval="", strict=True)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            if not {"file", "label"} <= set(columns):
                held = ", ".join(columns) or "none"
                raise UserError(f"{table}: columns {held}; accepted: with file and label")
            reader.fieldnames = columns
            listed = [_of_row(row, table, reader.line_num) for row in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV in UTF-8 ({error}); accepted: {LAYOUTS}") from error
    counts = Counter(item.name for item in listed)
    if not counts:
        raise UserError(f"{table}: no line below its header")
    name, times = counts.most_common(1)[0]
    if times > 1:
        raise UserError(f"{table}: {name} in {times} lines; accepted: one, several labels as a|b")
    unused = ", ".join(sorted(set(columns) - COLUMNS))
    return listed, [f"{table}: not used: {unused}"] if unused else []


def _of_row(row: dict, table: Path, line: int) -> Item:
    where = f"{table}, line {line}"
    if None in row:
        raise UserError(f"{where}: more fields than columns; accepted: several labels as a|b")
    name, split, patient = (row.get(key, "").strip() for key in ("file", "split", "patient"))
    labels = _labels(row["label"], where)
    if split.lower() not in {*SPLIT_OF, *MISSING}:
        raise UserError(f"{where}: split {split!r}; accepted: train, val, test")
    known_patient = "" if patient.lower() in MISSING else patient
    return Item(name, table.parent / name, labels, SPLIT_OF.get(split.lower(), ""), known_patient)


def _labels(field: str, where: str) -> tuple[str, ...]:
    words = [word for word in re.split(r"[|;]", field) if word.strip()]
    labels = sorted({_label(word, where) for word in words or [field]})
    if len(labels) > 1 and (healthy := [label for label in labels if is_healthy(label)]):
        raise UserError(f"{where}: {healthy[0]} together with a finding; accepted: either")
    return tuple(labels)


# --------------------------------------------------------------------------------------- patients


def _with_patients(listed: list[Item], groups: str) -> list[Item]:
    accepted = r"accepted: a pattern with a group that fits the files' names, such as 'person(\d+)'"
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise UserError(f"groups: {groups!r} is no pattern ({error}); {accepted}") from error
    matches = [pattern.search(item.name) for item in listed]
    patients = [next(filter(None, match.groups()), "") if match else "" for match in matches]
    if not any(patients):
        raise UserError(
            f"groups: {groups!r} matches no patient in {len(listed):,} names, such as"
            f" {listed[0].name}; {accepted}"
        )
    return [replace(item, patient=patient) for item, patient in zip(listed, patients)]


# ---------------------------------------------------------------------------------------- classes


def is_healthy(name: str) -> bool:
    return name.lower().replace("_", " ").replace("-", " ") in HEALTHY


def diseased_classes(listed: list[Item], positive: str) -> tuple[str, ...]:
    """The classes that count as diseased. positive: their names, with commas between them; if it is
    empty, all but those named as healthy.

    Raises UserError where that is none, or every one.
    """
    names = sorted({label for item in listed for label in item.labels})
    present = ", ".join(names[:10]) + ", ..." * (len(names) > 10)
    chosen = [word.strip() for word in positive.split(",") if word.strip()]
    if unknown := [name for name in chosen if name not in names]:
        raise UserError(f"positive: {unknown[0]!r} is no class; accepted: {present}")
    diseased = chosen or [name for name in names if not is_healthy(name)]
    if not chosen and len(diseased) == len(names):
        raise UserError(
            f"which of the classes {present} are diseased? Name them: --positive CLASS[,CLASS]"
        )
    return tuple(diseased)
