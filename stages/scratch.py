"""Stage: the empty start, so that a run from scratch has a start like any other run."""

from pathlib import Path

from safetensors.numpy import save_file

from chestflow.parameters import stage


def scratch(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_file({}, out / "model.safetensors")


if __name__ == "__main__":
    stage.run(scratch)
