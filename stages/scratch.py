"""Stage: the empty start, so that a run from scratch has a start like any other run."""

from pathlib import Path

from safetensors.numpy import save

from chestflow.parameters import stage


def scratch(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(save({}))


if __name__ == "__main__":
    stage.run(scratch)
