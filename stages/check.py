"""Check the parameters before DVC starts: it would call an unknown start of a run a missing file,
and a key that nothing depends on would go unnoticed."""

from stages.lib import command
from stages.lib.parameters import Params


def check(params: Params) -> None:
    for run in params.runs:
        params.settings_of(run)


if __name__ == "__main__":
    command.run(check)
