"""Types of single values: numbers within limits, and names that a user gives, which become parts of
paths, of shell commands and of DVC's own names."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

RESERVED = ("scratch", "autoencoder")  # the starts that are not runs, which lie in models/ as well
_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,39}"
_NAME_IN_WORDS = "1 to 40 of the characters A-Z, a-z, 0-9, _ and -, a letter first"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|(?<=[0-9])\.(?=[0-9])){0,39}"
_LABEL_IN_WORDS = (
    "1 to 40 of the characters A-Z, a-z, 0-9, _, - and . between digits; no _ or - first"
)


def _name(value: Any) -> str:
    return _matched(value, _NAME, _NAME_IN_WORDS)


def _run_name(value: Any) -> str:
    words = f"{_NAME_IN_WORDS}; reserved: {', '.join(RESERVED)}"
    found = _matched(value, _NAME, words)
    if found.lower() in RESERVED:
        raise _mistake(f"{shown(value)} is reserved; accepted: {words}")
    return found


def _label(value: Any) -> str:
    return _matched(value, _LABEL, _LABEL_IN_WORDS)


def _matched(value: Any, pattern: str, words: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _mistake(f"{shown(value)} is not a name; accepted: {words}")
    return value


def _shown_words(longest: int, taken: str = "") -> Any:
    """What figures and tables show beside numbers, as long as they have room for."""

    def checked(value: Any) -> str:
        is_line = isinstance(value, str) and value.isprintable() and value == value.strip()
        if not is_line or not 0 < len(value) <= longest or value == taken:
            accepted = f"1 to {longest} printable characters" + f", not {taken!r}" * bool(taken)
            raise PydanticCustomError("words", f"accepted: {accepted}")  # type: ignore[arg-type]
        return value

    return PlainValidator(checked)


def _distinct(entries: dict[str, Any]) -> dict[str, Any]:
    """Some file systems do not tell capitals apart."""
    known: dict[str, str] = {}
    for name in entries:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise _mistake(f"{other} and {name} differ in capitals alone; accepted: another name")
    return entries


def _mistake(message: str) -> PydanticCustomError:
    return PydanticCustomError("name", message)  # type: ignore[arg-type]


def _all_or_count(value: Any) -> int | str:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    accepted = "'all' or an integer greater than or equal to 1"
    raise PydanticCustomError("labels", f"Input should be {accepted}")  # type: ignore[arg-type]


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Trainings = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
Labels = Annotated[int | Literal["all"], PlainValidator(_all_or_count)]
MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, PlainValidator(_name)]
RunName = Annotated[str, PlainValidator(_run_name)]
Label = Annotated[str, PlainValidator(_label)]  # of a sweep's configuration, which names no file
Title = Annotated[str, _shown_words(40)]
ClassName = Annotated[str, _shown_words(20, taken="healthy")]  # of the other class
DISTINCT = AfterValidator(_distinct)  # of a dictionary's names
