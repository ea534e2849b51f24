"""Labelled files: images with their classes, splits and patients, from folders or a table (CSV)."""

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from chestflow.errors import UserError, few, printable
from chestflow.own_images import radiograph

LAYOUTS = "FOLDER/{class}/..., FOLDER/{train,val,test}/{class}/..., or a CSV with file and label"
SPLIT_OF = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
SPLIT_OF |= {split: split for split in ("train", "val", "test")}
HEALTHY = {"normal", "healthy", "negative", "control", "nofinding", "nofindings", "0"}
MISSING = {"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "unknown", "missing", "?", "-"}
MASK = re.compile(r"masks?(?![a-z])", re.IGNORECASE)  # in the name of a folder or file
Row = dict[str, str]  # file, label, and perhaps split and patient, as given


@dataclass(frozen=True)
class Item:
    """A labelled file."""

    name: str  # its path below the folder, or as the table has it
    path: Path
    labels: tuple[str, ...]  # classes; more than one only where images may have several findings
    split: str = ""  # as given; empty if it is to be drawn
    patient: str = ""  # empty if unknown

    def __str__(self) -> str:
        return f"{self.name} ({self.split})"

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
    pattern = "regular expression for a file's path; its first group is the patient"
    add("--groups", metavar="PATTERN", help=pattern)
    diseased = "the diseased classes (all but normal, healthy and the like)"
    add("--positive", metavar="CLASS[,CLASS]", default="", help=diseased)


def items(given: Path, groups: str | None, command: str) -> list[Item]:
    """The files of a folder or table, in order of their names; what is left out is said on stderr.
    groups: a regular expression for names, whose first group is the patient.

    Raises UserError where there are none, and for a file without a class or listed twice.
    """
    if not given.exists():
        raise UserError(f"{given}: no such file or folder; accepted: {LAYOUTS}")
    folder = given if given.is_dir() else given.parent
    rows = _of_folder(given, command) if given.is_dir() else _of_table(given)
    listed = sorted((_item(row, folder, where) for where, row in rows), key=lambda item: item.name)
    if not listed:
        raise UserError(f"{given}: no labelled image; accepted: {LAYOUTS}")
    name, times = Counter(item.name for item in listed).most_common(1)[0]
    if times > 1:
        raise UserError(f"{given}: {name} in {times} lines; accepted: one, several labels as a|b")
    return listed if groups is None else _with_patients(listed, groups)


def prepared(items: list[Item], side: int, command: str) -> dict[str, np.ndarray]:
    """The images by name, (side, side) uint8 each. What cannot be read is said on stderr; if that
    is all, UserError."""
    images = {}
    for item in tqdm(items, desc=command, unit="image", disable=None):
        try:
            images[item.name] = radiograph.prepare(radiograph.read(item.path), side)
        except UserError as error:
            tqdm.write(f"{command}: {printable(error)}", file=sys.stderr)
    if not images:
        raise UserError(f"none of {len(items):,} files could be read, see above")
    if unread := len(items) - len(images):
        said = f"{command}: {unread:,} of {len(items):,} files could not be read, see above"
        print(said, file=sys.stderr)
    return images


def _of_folder(folder: Path, command: str) -> Iterator[tuple[str, Row]]:
    """Each image as a row, after the place that an error names. Masks are left out: some data sets
    keep outlines of the lungs as images beside the radiographs."""
    masks = []
    for path in radiograph.find([folder], command):
        name = path.relative_to(folder)
        *places, _ = name.parts
        if MASK.search(str(name)):
            masks.append(str(name))
            continue
        split = places.pop(0) if places and places[0].lower() in SPLIT_OF else ""
        if not places or not SPLIT_OF.keys().isdisjoint(map(str.lower, places)):
            raise UserError(f"{path}: of which class and split? Accepted: {LAYOUTS}")
        yield str(path), {"file": name.as_posix(), "label": places[0], "split": split}
    if masks:
        print(f"{command}: {len(masks):,} masks left out, by name: {few(masks)}", file=sys.stderr)


def _of_table(table: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a CSV, after the lines that errors name."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator, restval="", strict=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            if not {"file", "label"} <= set(reader.fieldnames):
                held = ", ".join(reader.fieldnames) or "none"
                raise UserError(f"{table}: columns {held}; accepted: with file and label")
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                if None in row:  # as csv calls what stands beyond the last column
                    raise UserError(f"{where}: more fields than columns; accepted: labels as a|b")
                yield where, {column: field.strip() for column, field in row.items()}
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV in UTF-8 ({error}); accepted: {LAYOUTS}") from error


def _item(row: Row, folder: Path, where: str) -> Item:
    """Raises UserError, which begins with `where`, for a row without a class or with no split."""
    split, patient = row.get("split", "").lower(), row.get("patient", "")
    labels = {" ".join(word.split()) for word in re.split(r"[|;]", row["label"])} - {""}
    if not labels or any(label.lower() in MISSING for label in labels):
        raise UserError(f"{where}: no label ({row['label']!r}); accepted: a class, such as normal")
    if len(labels) > 1 and any(map(is_healthy, labels)):
        raise UserError(f"{where}: healthy and a finding ({row['label']!r}); accepted: either")
    if split not in {*SPLIT_OF, *MISSING}:
        raise UserError(f"{where}: split {split!r}; accepted: train, val, test")
    return Item(
        name=row["file"],
        path=folder / row["file"],
        labels=tuple(sorted(labels)),
        split=SPLIT_OF.get(split, ""),
        patient="" if patient.lower() in MISSING else patient,
    )


def is_healthy(label: str) -> bool:
    return re.sub("[ _-]", "", label.lower()) in HEALTHY


def _with_patients(listed: list[Item], groups: str) -> list[Item]:
    accepted = r"accepted: a pattern with a group that fits the files' names, such as 'person(\d+)'"
    try:
        matches = [re.search(groups, item.name) for item in listed]
        patients = [match[1] or "" if match else "" for match in matches]
    except (re.error, IndexError) as error:
        raise UserError(f"groups: {groups!r} is no such pattern ({error}); {accepted}") from error
    if not any(patients):
        raise UserError(f"groups: {groups!r} fits none, such as {listed[0].name}; {accepted}")
    return [replace(item, patient=patient) for item, patient in zip(listed, patients)]


def diseased_classes(listed: list[Item], positive: str) -> tuple[str, ...]:
    """The classes that count as diseased, in order. positive: their names, with commas between
    them; if it is empty, all but those named as healthy, and UserError if there are no such."""
    names = {label for item in listed for label in item.labels}
    healthy = set(filter(is_healthy, names))
    chosen = {word.strip() for word in positive.split(",")} - {""}
    present = few(sorted(names))
    if unknown := sorted(chosen - names):
        raise UserError(f"positive: {unknown[0]!r} is no class; accepted: {present}")
    if not chosen and not healthy:
        raise UserError(
            f"which of the classes {present} are diseased? Name them: --positive CLASS[,CLASS]"
        )
    return tuple(sorted(chosen or names - healthy))
