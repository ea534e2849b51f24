"""A YAML file as plain values. Whatever the file holds, a mistake in it is named in one line."""

import re
from pathlib import Path
from typing import Any

import yaml

from chestflow.errors import UserError

# Far above what a file of parameters needs, and far below what crashes a parser.
MOST_BYTES = 1_000_000
MOST_VALUES = 100_000  # an alias counts as many as it stands for
DEEPEST = 20  # blocks within blocks; parsers call themselves for each
LONGEST = 1000  # characters of one value; Python reads no integer of more than 4,300 digits
# 010 is 8 in YAML 1.1, as PyYAML reads it, and 10 in YAML 1.2, as DVC does; 1:30 is 90 and a text.
AMBIGUOUS = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
NO_VALUE = (ValueError, LookupError, AttributeError, OverflowError)  # of 0b_ or 2001-13-45


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2's numbers, as DVC reads them: PyYAML alone takes 1e-3 for a text."""

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except NO_VALUE as error:
            kind, reason = node.tag.split(":")[-1], f"{type(error).__name__}: {error}"
            problem = f"{node.value!r} cannot be read as {kind} ({reason})"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read(path: str | Path) -> Any:
    """The file's values: dict, list, str, int, float, bool, None, or what else YAML knows.

    Raises UserError for what is missing, not YAML, too large, nested too deeply, or holds a key
    twice.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is not here; run this in the repository's own folder") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path} is too large; accepted: up to {MOST_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
        _check_extent(text)
        loader = _Loader(text)
        if (root := loader.get_single_node()) is None:
            return None
        _check_keys(root)
        return loader.construct_document(root)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {_in_a_line(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _check_extent(text: str) -> None:
    """Raise UserError for what would exhaust memory or the stack; reads one token after another."""
    sizes, names = [0], []  # values so far, and the anchor, of each block that is still open
    anchored: dict[str | None, int] = {}  # anchor -> number of values it stands for
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(0)
            names.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size = sizes.pop() + 1
            anchored[names.pop()] = size
            sizes[-1] += size
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            anchored[event.anchor] = 1
            _check_value(event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in names:
                raise UserError(f"line {_line(event)}: *{event.anchor} stands for what it is in")
            sizes[-1] += anchored.get(event.anchor, 1)
        if len(names) > DEEPEST:
            raise UserError(f"line {_line(event)} is nested too deeply; accepted: {DEEPEST} blocks")
        if sizes[-1] > MOST_VALUES:
            raise UserError(f"holds more than {MOST_VALUES:,} values, aliases (*) written out")


def _check_value(event: yaml.ScalarEvent) -> None:
    if len(event.value) > LONGEST:
        what, accepted = f"{event.value[:20]!r}... is too long", f"up to {LONGEST:,} characters"
    elif not event.style and AMBIGUOUS.fullmatch(event.value):
        what = f"{event.value} is not the same number to DVC as here"
        accepted = "a plain decimal number, or a text in quotes"
    else:
        return
    raise UserError(f"line {_line(event)}: {what}; accepted: {accepted}")


def _check_keys(node: yaml.Node) -> None:
    """Raise UserError for a key that a block holds twice, of which YAML would take the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_keys(child)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in lines:
            places = f"lines {lines[key.value]} and {_line(key)}"
            raise UserError(f"{key.value!r} is given twice, in {places}; accepted: once")
        if isinstance(key, yaml.ScalarNode):
            lines[key.value] = _line(key)
        _check_keys(value)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).replace('in "<unicode string>", ', "in ").split())


def _line(found: yaml.Event | yaml.Node) -> int:
    return found.start_mark.line + 1  # type: ignore[union-attr]
