"""Which parts of the network are trained, in which order, at which rate."""

from torch import nn

from chestflow.network.model import Classifier

Phase = dict[str, float]  # part of the network that is trained -> its learning rate


def phases(strategy: str, blocks: int, lr: float, factor: float, decay: float) -> list[Phase]:
    """The phases of a strategy.

    unfrozen: full fine-tuning, everything at once.
    frozen: linear probe, the head alone on the encoder as it came.
    headfirst: LP-FT (Kumar et al. 2022), the head alone, then everything at `factor` times the
    rate, times `decay` for each part further from the head (Howard & Ruder 2018, sec. 3.2).
    gradual: the head, then one part more in each phase (ibid., sec. 3.3), at the same rates.
    """
    parts = ["head", *(f"encoder.{i}" for i in reversed(range(blocks)))]
    careful = {part: lr * factor * decay**depth for depth, part in enumerate(parts)}
    head = {"head": lr}
    return {
        "unfrozen": [dict.fromkeys(parts, lr)],
        "frozen": [head],
        "headfirst": [head, careful],
        "gradual": [head, *({p: careful[p] for p in parts[: k + 1]} for k in range(1, len(parts)))],
    }[strategy]


def freeze_all_but(model: Classifier, parts: Phase) -> dict[str, nn.Module]:
    """Let gradients into the named parts only, and return them."""
    model.requires_grad_(False)
    return {name: model.get_submodule(name).requires_grad_(True) for name in parts}


def set_mode(model: Classifier, trained: dict[str, nn.Module]) -> None:
    """Training mode for the trained parts alone: in a frozen part, batch norm would otherwise keep
    averaging over the new images."""
    model.eval()
    model.dropout.train()
    for part in trained.values():
        part.train()
