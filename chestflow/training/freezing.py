"""Frozen, unfrozen and head first: which parts of the network are trained, and at which rate."""

from torch import nn

from chestflow.models.cnn import Classifier

LearningRates = dict[str, float]  # of the parts of the network that a phase trains
LINEAR_PROBE: LearningRates = {"head": 0.0}  # fitted, so there is no rate: training.linear_probe


def phases(settings) -> list[LearningRates]:
    """The phases of a run's strategy, each as LearningRates.

    unfrozen: full fine-tuning, everything at once.
    frozen: linear probe, the head alone on the encoder as it came.
    headfirst: LP-FT (Kumar et al. 2022), a linear probe, then everything at `lr_factor` times the
    rate, times `layer_decay` for each part further from the head (Howard & Ruder 2018, sec. 3.2).

    settings: anything with the fields of `schema.Settings`.
    """
    if settings.strategy == "frozen":
        return [LINEAR_PROBE]
    parts = ["head", *(f"encoder.{i}" for i in reversed(range(settings.blocks)))]
    if settings.strategy == "headfirst":
        highest, decay = settings.lr * settings.lr_factor, settings.layer_decay
        return [LINEAR_PROBE, {part: highest * decay**k for k, part in enumerate(parts)}]
    return [dict.fromkeys(parts, settings.lr)]


def unfreeze(model: Classifier, parts: LearningRates) -> dict[str, nn.Module]:
    """Freeze everything but the named parts, and return these."""
    model.requires_grad_(False)
    return {name: model.get_submodule(name).requires_grad_(True) for name in parts}


def trainable_parameters(model: Classifier, phases: list[LearningRates]) -> int:
    """How many parameters the phases train together."""
    parts = {name for rates in phases for name in rates}
    return sum(p.numel() for name in parts for p in model.get_submodule(name).parameters())


def set_mode(model: Classifier, trained: dict[str, nn.Module]) -> None:
    """Training mode for the trained parts alone: in a frozen part, batch norm would otherwise keep
    averaging over the new images."""
    model.eval()
    model.dropout.train()
    for part in trained.values():
        part.train()
