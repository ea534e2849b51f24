"""A stage as a command: its function's arguments become the command line's.

A stage's function says in its signature all that the stage reads, and a test compares it with
`dvc.yaml`: a `str` is a word of the command (a run, a data set), a `Path` an option (a file or
folder), and what follows the `*` a key of `params.yaml`.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chestflow.config import reading
from chestflow.errors import UserError, printable


def run(function: Callable[..., None]) -> None:
    """Call a stage's function with the arguments of the command line.

    A user's mistake ends in one line on stderr and exit code 1.
    """
    with one_line(function.__name__):
        function(**_arguments(function))


def _arguments(function: Callable[..., None]) -> dict[str, Any]:
    description = sys.modules[function.__module__].__doc__
    parser = argparse.ArgumentParser(prog=f"stages.{function.__name__}", description=description)
    keys = params_of(function)
    for name, argument in inspect.signature(function).parameters.items():
        if name in keys:
            continue
        if argument.annotation is str:
            parser.add_argument(name)
        else:
            parser.add_argument(f"--{name}", type=Path, required=True)
    if keys:
        parser.add_argument("--params", type=Path, required=True)
    given = vars(parser.parse_args())
    if keys:
        values = reading.params(given.pop("params"))
        given |= {name: getattr(values, name) for name in keys}
    return given


def params_of(function: Callable[..., None]) -> list[str]:
    """The keys of `params.yaml` that a stage's function reads."""
    arguments = inspect.signature(function).parameters.items()
    return [name for name, argument in arguments if argument.kind is argument.KEYWORD_ONLY]


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """End the process with one line on stderr and exit code 1 for a user's mistake, a full disk or
    a missing file; any other exception is a defect of ours and keeps its traceback."""
    try:
        yield
    except UserError as error:
        sys.exit(f"{name}: {printable(error)}")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"{name}: {error.strerror or error}{where}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; the same command starts it again")
