"""A stage as a command: its function's arguments become the command line's."""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.lib import parameters
from stages.lib.errors import UserError


def run(stage: Callable[..., None]) -> None:
    """Call a stage's function with what the command line gives.

    A `str` argument is a positional word, a `Path` a required option, and `params` is read from the
    file of the option --params and checked. What a user can mend ends in one line and exit code 1.
    """
    description = sys.modules[stage.__module__].__doc__
    with one_line(stage.__name__):
        stage(**_arguments(stage, description))


def _arguments(stage: Callable[..., None], description: str | None) -> dict:
    parser = argparse.ArgumentParser(prog=f"stages.{stage.__name__}", description=description)
    for name, argument in inspect.signature(stage).parameters.items():
        if argument.annotation is str:
            parser.add_argument(name)
        else:
            parser.add_argument(f"--{name}", type=Path, required=True)
    given = vars(parser.parse_args())
    if "params" in given:
        given["params"] = parameters.load(given["params"])
    return given


def at(pattern: Path, **names: str) -> Path:
    """The path that a pattern such as `metrics/{run}.json` stands for."""
    return Path(str(pattern).format(**names))


@contextmanager
def one_line(stage: str) -> Iterator[None]:
    """End the process with one line on stderr and exit code 1 for a user's mistake, a full disk
    or a missing file; any other exception is a defect of ours and keeps its traceback."""
    try:
        yield
    except UserError as error:
        sys.exit(f"{stage}: {error}")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"{stage}: {error.strerror or error}{where}")
    except KeyboardInterrupt:
        sys.exit(f"{stage}: interrupted; the same command starts it again")
