"""Does a network use how the chest is framed, instead of what the chest shows?

An image is zoomed: its outer part is cropped off and the rest enlarged, so no pixel is invented.
Zooming one class only changes how framing and class belong together, and nothing else. A network
that looks at the lungs should not mind; one that has learnt that the diseased fill more of the
frame calls the zoomed healthy diseased. Such a cue is a shortcut (Geirhos et al. 2020,
doi:10.1038/s42256-020-00257-z).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chestflow.data.arrays import Split
from chestflow.metrics import baselines, intervals
from chestflow.metrics.comparison import paired_difference

# How much wider the centre square of a healthy radiograph is than that of one with pneumonia, as
# shares of the whole width (.82 and .68, docs/experiments.md): zoomed healthy images are framed as
# the others are.
FACTOR = 1.2


def zoom(images: Tensor, factor: float = FACTOR) -> Tensor:
    """Crop the centre of each image to 1 / factor of its sides and enlarge it to the former size.

    (N, H, W) uint8 -> the same, interpolated bilinearly; factor: at least 1, so that all pixels
    come from within the image.
    """
    centre = torch.tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]], device=images.device)
    inputs = images.unsqueeze(1).float()
    grid = F.affine_grid(centre.expand(len(images), 2, 3), list(inputs.shape), align_corners=False)
    enlarged = F.grid_sample(inputs, grid, align_corners=False)
    return enlarged.squeeze(1).round_().to(torch.uint8)


def audit(labels: np.ndarray, as_is: np.ndarray, zoomed: np.ndarray) -> dict:
    """AUROC where none, all, or one class of the images are zoomed (four cells), and what zooming
    does to the decisions at a threshold of .5.

    labels: (N,) of 0 and 1, both present; as_is, zoomed: (K, N) probabilities of disease, by
    training, of the images as they are and zoomed. Returns n; by cell the `auroc` and its `ci95`;
    the `difference` of each cell's AUROC from that of `none`; `asymmetry`, the difference of
    `diseased` from `healthy`; of `specificity` and `recall` the difference that zooming makes.
    """
    cells = {  # which images are zoomed
        "none": as_is,
        "all": zoomed,
        "healthy": np.where(labels == 0, zoomed, as_is),
        "diseased": np.where(labels == 1, zoomed, as_is),
    }
    measured = {cell: intervals.auroc(labels, each) for cell, each in cells.items()}
    estimates = {cell: intervals.estimate(one) for cell, one in measured.items()}
    before, after = (intervals.decisions(labels, each >= 0.5) for each in (as_is, zoomed))
    none = measured.pop("none")
    return {
        "n": len(labels),
        "auroc": {cell: one["value"] for cell, one in estimates.items()},
        "ci95": {cell: one["ci95"] for cell, one in estimates.items()},
        "difference": {cell: paired_difference(one, none) for cell, one in measured.items()},
        "asymmetry": paired_difference(measured["diseased"], measured["healthy"]),
        **{
            score: {"difference": paired_difference(after[score], before[score])}
            for score in ("specificity", "recall")
        },
    }


def ring(images: np.ndarray) -> np.ndarray:
    """The outermost pixels (N, 2 H + 2 W - 4) of (N, H, W) images, with hardly any lung in them."""
    mask = np.ones(images.shape[1:], bool)
    mask[1:-1, 1:-1] = False
    return images[:, mask]


def ring_baseline(train: Split, val: Split, test: Split) -> dict[str, list[float]]:
    """AUROC of a logistic regression on the `ring` alone, a baseline that knows of no lung.

    It is fitted on all training images, its penalty chosen on validation. Returns the AUROC and its
    95 % interval over images, of `val` (a little too high, because of that choice) and `test`.
    """
    known = [(ring(split.images), split.labels) for split in (train, val)]
    fitted = baselines.logistic(*known)
    scores = {}
    for name, split in (("val", val), ("test", test)):
        probability = baselines.probability(fitted, ring(split.images))
        estimate = intervals.estimate(intervals.auroc(split.labels, probability[None]))
        scores[name] = [estimate["value"], *estimate["ci95"]]
    return scores
