"""Stage: the empty start, so that a run from scratch has a start like any other run."""

from pathlib import Path

from safetensors.numpy import save_file

from stages.lib import command


def scratch(out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({}, out)


if __name__ == "__main__":
    command.run(scratch)
