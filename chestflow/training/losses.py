"""What training minimises, and what validation measures."""

import math

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.models.cnn import Classifier
from chestflow.models.inference import in_batches
from chestflow.training.batches import Samples


def class_weights(labels: Tensor) -> Tensor:
    """(2,) weights by inverse class frequency, n / (2 n_c): both classes weigh the same in sum."""
    return len(labels) / (2 * torch.bincount(labels, minlength=2).float())


def smoothed_loss(logits: Tensor, labels: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of (N, 2) logits, with the share `smoothing` of each label spread over
    both classes (Szegedy et al. 2016, sec. 7); weight: (2,), of each class."""
    # Torch's own `label_smoothing` weights the smoothed part by the class that receives it: the
    # rarer class would receive more, and decisions at .5 would favour it.
    logs, weights = logits.log_softmax(dim=1), weight[labels]
    uniform = -(weights * logs.mean(dim=1)).sum() / weights.sum()
    return (1 - smoothing) * F.nll_loss(logs, labels, weight) + smoothing * uniform


def validate(model: Classifier, val: Samples, loss: nn.Module) -> dict[str, float]:
    """Loss, AUROC and balanced accuracy on the validation images; the AUROC of diverged weights is
    NaN."""
    model.eval()
    logits = in_batches(model, val.images)
    labels = val.labels.cpu().numpy()
    positive = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return {
        "val_loss": loss(logits, val.labels).item(),
        "val_auroc": roc_auc_score(labels, positive) if np.isfinite(positive).all() else math.nan,
        "val_balanced_accuracy": balanced_accuracy_score(labels, positive > 0),
    }
