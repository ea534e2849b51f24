"""Labelled files: images with their classes, splits and patients, from folders or a table (CSV)."""

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

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
MOST_CLASSES = 100  # more are folders of patients, not of classes
NO_TABLES = {  # suffix -> what to do
    ".npz": "is an archive as MedMNIST has them; it needs no packing: see docs/data.md",
    ".xlsx": "is no CSV; save the sheet as CSV (UTF-8), see docs/data.md",
    ".xls": "is no CSV; save the sheet as CSV (UTF-8), see docs/data.md",
    ".zip": "is an archive; unpack it first",
}


@dataclass(frozen=True)
class Item:
    """A labelled file."""

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


def items(given: Path, groups: str | None, command: str) -> list[Item]:
    """The files of a folder or table, in order of their names; what is left out is said on stderr.

    Raises UserError where there are none, or where classes are unclear.
    """
    if given.is_dir():
        listed, notes = _of_folder(given)
    else:
        listed, notes = _of_table(given)
    for note in notes:
        print(f"{command}: {printable(note)}", file=sys.stderr)
    return _with_patients(sorted(listed, key=lambda item: item.name), groups)


# ---------------------------------------------------------------------------------------- folders


def _of_folder(folder: Path) -> tuple[list[Item], list[str]]:
    """The labelled files, and what was left out, in sentences."""
    top = _folders(folder)
    splits = [SPLIT_OF.get(each.name.lower(), "") for each in top]
    if any(splits) and not all(splits):
        other = top[splits.index("")].name
        raise UserError(f"{folder}: {other} lies beside splits; accepted: {LAYOUTS}")
    listed: list[Item] = []
    passed_over: list[Path] = []
    for part, split in zip(top, splits) if any(splits) else [(folder, "")]:
        if not (classes := _folders(part)):
            raise UserError(f"{part}: no folder per class in it; accepted: {LAYOUTS}")
        for place in classes:
            label = _label(place.name, str(place))
            images, others = radiograph.find([place])
            passed_over += others
            for path in images:
                _check_depth(path.relative_to(place), place)
                name = path.relative_to(folder).as_posix()
                listed.append(Item(name, path, (label,), split))
    notes = [radiograph.passed_over_note(passed_over)] if passed_over else []
    return _without_masks(listed, notes), notes


def _folders(folder: Path) -> list[Path]:
    """Those in a folder; UserError for an image beside them, which would be in none of them."""
    below = [p for p in sorted(folder.iterdir()) if not p.name.startswith(radiograph.SYSTEM_FILES)]
    folders = [path for path in below if path.is_dir()]
    stray = next((p for p in below if p.is_file() and radiograph.is_image(p)), None)
    if folders and stray:
        raise UserError(f"{stray} lies beside folders; accepted: {LAYOUTS}")
    return folders


def _check_depth(path: Path, place: Path) -> None:
    """Raise UserError for a split or class within a class."""
    for name in (part.lower() for part in path.parts[:-1]):
        if name in SPLIT_OF or (is_healthy(name) and not name.isdigit()):
            raise UserError(f"{place / path}: too deep for a split or class; accepted: {LAYOUTS}")


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
            f"{where}: no label ({label!r}); accepted: a class, such as normal for the healthy; or"
            " leave the files out"
        )
    return label


# ----------------------------------------------------------------------------------------- tables


def _of_table(table: Path) -> tuple[list[Item], list[str]]:
    """Columns file, label and perhaps split and patient; paths are relative to the table. Other
    columns are named, for one of them may be meant."""
    listed: dict[str, Item] = {}
    unused: list[str] = []
    for line, row in _rows(table, ("file", "label")):
        unused = sorted(row.keys() - COLUMNS)
        where, name = f"{table}, line {line}", row["file"]
        if not name:
            raise UserError(f"{where}: no file")
        labels = _labels(row["label"], where)
        if name in listed:
            raise UserError(f"{where}: {name} for the second time; accepted: once")
        split = row.get("split", "").lower()
        if split not in MISSING and split not in SPLIT_OF:
            raise UserError(f"{where}: split {split!r}; accepted: train, val, test")
        patient = _patient(row.get("patient", ""))
        listed[name] = Item(name, table.parent / name, labels, SPLIT_OF.get(split, ""), patient)
    if not listed:
        raise UserError(f"{table}: no line below its header")
    notes = [f"{table}: not used: {', '.join(unused[:10])}"] if unused else []
    return list(listed.values()), notes


def _labels(field: str, where: str) -> tuple[str, ...]:
    words = [word for word in re.split(r"[|;]", field) if word.strip()]
    labels = sorted({_label(word, where) for word in words or [field]})
    if len(labels) > 1 and (healthy := [label for label in labels if is_healthy(label)]):
        raise UserError(f"{where}: {healthy[0]} together with a finding; accepted: either")
    return tuple(labels)


def _patient(word: str) -> str:
    """Empty for a word that stands for a missing value."""
    return "" if word.strip().lower() in MISSING else word


def _rows(table: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and content of each line; columns are separated by comma, semicolon or tab."""
    if advice := NO_TABLES.get(table.suffix.lower()):
        raise UserError(f"{table} {advice}")
    accepted = LAYOUTS if "label" in needed else f"a CSV with the columns {' and '.join(needed)}"
    line = 1
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator, restval="", strict=True)
            columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
            if not set(needed) <= set(columns):
                held = ", ".join(columns) or "none"
                raise UserError(f"{table}: columns {held}; accepted: with {' and '.join(needed)}")
            reader.fieldnames = columns
            for row in reader:
                line = reader.line_num
                if None in row:
                    raise UserError(
                        f"{table}, line {line}: more fields than columns ({len(columns)});"
                        " accepted: as many, several labels as a|b"
                    )
                yield line, {name: row[name].strip() for name in columns}
    except OSError as error:
        raise UserError(f"{table}: {error.strerror}; accepted: {accepted}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: no CSV in UTF-8; accepted: {accepted}") from error
    except csv.Error as error:
        raise UserError(f"{table}, after line {line}: {error}") from error


# --------------------------------------------------------------------------------------- patients


def _with_patients(listed: list[Item], groups: str | None) -> list[Item]:
    """The same files with their patients: `groups` is a CSV of file and patient, or a pattern whose
    first group that takes part in a match is the patient. Empty where neither knows one.

    Raises UserError where it knows the patient of no file at all.
    """
    if groups is None:
        return listed
    patients = [_patient(each) for each in _patients_of([item.name for item in listed], groups)]
    if not any(patients):
        raise UserError(
            f"groups: {groups!r} knows no patient of {len(listed):,} files, such as"
            f" {listed[0].name}; accepted: what fits such names"
        )
    return [replace(item, patient=patient) for item, patient in zip(listed, patients)]


def _patients_of(names: list[str], groups: str) -> list[str]:
    if groups.lower().endswith(".csv"):
        known: dict[str, str] = {}
        for line, row in _rows(Path(groups), ("file", "patient")):
            if known.setdefault(row["file"], row["patient"]) != row["patient"]:
                where = f"{groups}, line {line}: {row['file']}"
                raise UserError(f"{where} with another patient than before; accepted: one")
        return [known.get(name, "") for name in names]
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise UserError(f"groups: {groups!r} is no regular expression ({error})") from error
    if not pattern.groups:
        raise UserError(
            f"groups: {groups!r} has no group for the patient; accepted: such as"
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


def classes_of(listed: list[Item], positive: list[str]) -> Classes:
    """positive: the classes that count as diseased; empty for all but those named as healthy."""
    several = any(len(item.labels) > 1 for item in listed)
    names = sorted({label for item in listed for label in item.labels})
    present = ", ".join(names[:10]) + ", ..." * (len(names) > 10)
    if unknown := [name for name in positive if name not in names]:
        raise UserError(f"positive: {unknown[0]!r} is no class; accepted: {present}")
    if len(names) < 2:
        raise UserError(f"one class only, {present}; accepted: two or more")
    if len(names) > MOST_CLASSES:
        raise UserError(f"{len(names)} classes ({present}); accepted: up to {MOST_CLASSES}")
    chosen = positive or [name for name in names if not is_healthy(name)]
    if len(chosen) == len(names) and not (several and positive):
        raise UserError(
            f"which of the classes {present} are diseased? Name them: --positive CLASS[,CLASS]"
        )
    if several:
        names = [name for name in names if name in positive or not is_healthy(name)]
    return Classes(tuple(names), tuple(map(names.index, chosen)), several)
