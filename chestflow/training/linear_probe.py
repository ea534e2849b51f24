"""The linear probe: a frozen encoder's head, fitted to convergence (Alain & Bengio 2016).

A frozen encoder gives the same embeddings each time, so they are computed once, and what is left is
logistic regression: a convex problem that takes seconds.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from chestflow.models.cnn import Classifier
from chestflow.models.inference import in_batches
from chestflow.training.augmentation import augment
from chestflow.training.batches import Samples

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C: smaller is stronger
COPIES = 4  # augmented copies of each training image


def fit(
    model: Classifier,
    train: Samples,
    val: Samples,
    steps: list[str],
    weight: Tensor,
    generator: torch.Generator,
) -> float:
    """Fit the head of a network whose encoder stays as it is; returns the loss on train.

    The head sees COPIES copies of each image, augmented by `steps`. Of PENALTIES, the one with the
    highest AUROC on the validation images is taken, of equal ones the strongest.
    weight: (2,), of each class in the loss.
    """
    model.eval()
    copies = COPIES if steps else 1
    parts = [_embedded(model, train.images, steps, generator) for _ in range(copies)]
    scaler = StandardScaler()
    known = scaler.fit_transform(np.concatenate(parts))
    labels = np.tile(train.labels.cpu().numpy(), copies)
    unseen = scaler.transform(_embedded(model, val.images, [], generator))
    importance = dict(enumerate(weight.tolist()))
    probes = [
        LogisticRegression(C=c, class_weight=importance, max_iter=1000).fit(known, labels)
        for c in PENALTIES
    ]
    actual = val.labels.cpu().numpy()
    best = max(probes, key=lambda probe: roc_auc_score(actual, probe.decision_function(unseen)))
    coefficients = best.coef_[0] / scaler.scale_
    _set_head(model, coefficients, best.intercept_[0] - coefficients @ scaler.mean_)
    return F.cross_entropy(in_batches(model, train.images), train.labels, weight).item()


def _embedded(
    model: Classifier, images: Tensor, steps: list[str], generator: torch.Generator
) -> np.ndarray:
    """(N, channels) embeddings of (N, H, W) uint8 images, after augmentation."""

    def embed(inputs: Tensor) -> Tensor:
        return model.embed(augment(inputs, steps, generator))

    return in_batches(embed, images).cpu().double().numpy()


@torch.no_grad()
def _set_head(model: Classifier, coefficients: np.ndarray, intercept: float) -> None:
    """The log odds of disease as the difference of the head's two outputs."""
    weight, bias = (torch.as_tensor(v / 2, dtype=torch.float32) for v in (coefficients, intercept))
    model.head.weight.copy_(torch.stack([-weight, weight]))
    model.head.bias.copy_(torch.stack([-bias, bias]))
