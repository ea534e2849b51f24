"""Does a network use how the chest is framed, instead of what the chest shows?

An image is zoomed: its outer part is cropped off and the rest enlarged, so no pixel is invented.
Zooming one class only changes how framing and class belong together, and nothing else. A network
that looks at the lungs should not mind; one that has learnt that the diseased fill more of the
frame calls the zoomed healthy diseased. Such a cue is a shortcut (Geirhos et al. 2020,
doi:10.1038/s42256-020-00257-z).
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from chestflow.data.arrays import Split
from chestflow.metrics import intervals
from chestflow.metrics.comparison import paired_difference

# How much wider the centre square of a healthy radiograph is than that of one with pneumonia, as
# shares of the whole width (.82 and .68, docs/experiments.md): zoomed healthy images are framed as
# the others are.
FACTOR = 1.2
CELLS = ("none", "all", "healthy", "diseased")  # which images are zoomed
PENALTIES = (0.001, 0.01, 0.1, 1.0)  # scikit-learn's C, to choose from on validation images


def zoom(images: Tensor, factor: float = FACTOR) -> Tensor:
    """Crop the centre of each image to 1 / factor of its sides and enlarge it to the former size.

    (N, H, W) uint8 -> the same, interpolated bilinearly; factor: at least 1, so that all pixels
    come from within the image. Raises ValueError for a smaller one.
    """
    if factor < 1:
        raise ValueError(f"a factor of {factor} would need pixels from outside the image")
    centre = torch.tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]], device=images.device)
    inputs = images.unsqueeze(1).float()
    grid = F.affine_grid(centre.expand(len(images), 2, 3), list(inputs.shape), align_corners=False)
    enlarged = F.grid_sample(inputs, grid, align_corners=False)
    return enlarged.squeeze(1).round_().to(torch.uint8)


def audit(labels: np.ndarray, as_is: np.ndarray, zoomed: np.ndarray) -> dict:
    """The scores of the four `CELLS`, and what zooming does to the decisions at a threshold of .5.

    labels: (N,) of 0 and 1, both present; as_is, zoomed: (K, N) probabilities of disease, by
    training, of the images as they are and zoomed. Returns n; by cell the `auroc`, its `ci95` and
    that of `each` training; the `difference` of each cell's AUROC from that of `none`; `asymmetry`,
    the difference of `diseased` from `healthy`; `specificity` and `recall`, each `as_is` and
    `zoomed` (value, low and high end of its 95 % interval), and their difference.
    """
    measured = {
        cell: intervals.auroc(labels, probability)
        for cell, probability in cells(labels, as_is, zoomed).items()
    }
    estimates = {cell: intervals.estimate(one) for cell, one in measured.items()}
    none, healthy, diseased = (measured[cell] for cell in ("none", "healthy", "diseased"))
    return {
        "n": len(labels),
        "auroc": {cell: one["value"] for cell, one in estimates.items()},
        "ci95": {cell: one["ci95"] for cell, one in estimates.items()},
        "each": {cell: one.values.tolist() for cell, one in measured.items()},
        "difference": {cell: paired_difference(measured[cell], none) for cell in CELLS[1:]},
        "asymmetry": paired_difference(diseased, healthy),
        **{score: _decided(score, labels, as_is, zoomed) for score in ("specificity", "recall")},
    }


def cells(labels: np.ndarray, as_is: np.ndarray, zoomed: np.ndarray) -> dict[str, np.ndarray]:
    """The probabilities (K, N) of each of the `CELLS`, from both kinds as in `audit`."""
    return {
        "none": as_is,
        "all": zoomed,
        "healthy": np.where(labels == 0, zoomed, as_is),
        "diseased": np.where(labels == 1, zoomed, as_is),
    }


def _decided(score: str, labels: np.ndarray, as_is: np.ndarray, zoomed: np.ndarray) -> dict:
    pair = [intervals.decisions(labels, each >= 0.5)[score] for each in (as_is, zoomed)]
    estimates = (intervals.estimate(one) for one in pair)
    both = {name: [e["value"], *e["ci95"]] for name, e in zip(("as_is", "zoomed"), estimates)}
    return both | {"difference": paired_difference(pair[1], pair[0])}


def ring(images: np.ndarray) -> np.ndarray:
    """The outermost pixels (N, 2 H + 2 W - 4) of (N, H, W) images, with hardly any lung in them."""
    mask = np.ones(images.shape[1:], bool)
    mask[1:-1, 1:-1] = False
    return images[:, mask]


def ring_baseline(train: Split, val: Split, test: Split) -> dict:
    """AUROC of a logistic regression on the `ring` alone, a baseline that knows of no lung.

    It is fitted on all training images; its penalty C is that of `PENALTIES` with the highest
    AUROC on validation. Returns C, and `val` and `test`: each the AUROC and its 95 % interval over
    images. That on validation is of the best of a few, and so a little too high.
    """
    fits = {penalty: _fit(train, penalty) for penalty in PENALTIES}
    on_val = {penalty: _auroc(model, val) for penalty, model in fits.items()}
    best = max(PENALTIES, key=lambda penalty: on_val[penalty][0])
    return {"C": best, "val": on_val[best], "test": _auroc(fits[best], test)}


def _fit(train: Split, penalty: float) -> Pipeline:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, solver="newton-cholesky"))
    return model.fit(ring(train.images), train.labels)


def _auroc(model: Pipeline, split: Split) -> list[float]:
    scores = model.decision_function(ring(split.images))
    estimate = intervals.estimate(intervals.auroc(split.labels, scores[None]))
    return [estimate["value"], *estimate["ci95"]]
