"""Types of single values: numbers within limits, and names, which become parts of paths, of shell
commands and of DVC's own names."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

RESERVED = ("scratch", "autoencoder")  # starts that are not runs; they are also folders in models/


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", value):
        accepted = "1 to 40 of the characters A-Z, a-z, 0-9, _ and -, a letter first"
        raise _mistake(f"{value!r} is not a name; accepted: {accepted}")
    return value


def _not_reserved(name: str) -> str:
    if name.lower() in RESERVED:
        raise _mistake(f"{name!r} is reserved; accepted: any name but {', '.join(RESERVED)}")
    return name


def _all_or_count(value: Any) -> int | str:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise _mistake("Input should be 'all' or an integer greater than or equal to 1")


def _mistake(message: str) -> PydanticCustomError:
    return PydanticCustomError("mistake", message)  # type: ignore[arg-type]


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(gt=0, le=1)]
Labels = Annotated[int | Literal["all"], PlainValidator(_all_or_count)]
MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, PlainValidator(_name)]
RunName = Annotated[Name, AfterValidator(_not_reserved)]
