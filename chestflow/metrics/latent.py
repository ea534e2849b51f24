"""Latent spaces: projections to two dimensions, and how well classes separate in them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chestflow.metrics import comparison, intervals
from chestflow.metrics.baselines import Known


def project(
    vectors: np.ndarray, perplexity: float, seed: int
) -> tuple[dict[str, list[float]], list[float]]:
    """(N, D) -> columns pca_1, pca_2, tsne_1 and tsne_2, of N each, and the shares of the variance
    that the two principal components hold. NaN where all vectors are equal, as a collapsed
    network's are: scikit-learn's t-SNE would crash."""
    names = ("pca_1", "pca_2", "tsne_1", "tsne_2")
    if np.ptp(vectors, axis=0).max() == 0:
        return dict.fromkeys(names, [np.nan] * len(vectors)), [np.nan, np.nan]
    pca = PCA(n_components=2, svd_solver="full").fit(vectors)
    points = np.hstack([pca.transform(vectors), tsne(vectors, perplexity, seed)]).astype(float)
    return dict(zip(names, points.T.tolist())), pca.explained_variance_ratio_.tolist()


def tsne(vectors: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """(N, D) -> (N, 2) by t-SNE (van der Maaten & Hinton 2008), started from PCA.

    The perplexity is lowered where there are too few images for it.
    """
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)


def separation(train: Known, test: Known, neighbours: int) -> dict[str, float]:
    """How well the classes separate: scores of the test images in one training's latent space.

    silhouette: of the test vectors by true class, -1 to 1, 0 = no separation (Rousseeuw 1987).
    knn_balanced_accuracy: of a k-NN classifier on the standardised vectors, fitted on train and
    scored on test; chance is .5.
    """
    vectors, labels = test
    classifier = KNeighborsClassifier(min(neighbours, len(train[0])))
    knn = make_pipeline(StandardScaler(), classifier).fit(*train).predict(vectors)
    defined = len(labels) > 2
    return {
        "silhouette": float(silhouette_score(vectors, labels)) if defined else float("nan"),
        "knn_balanced_accuracy": float(balanced_accuracy_score(labels, knn)),
    }


def report(
    labels: np.ndarray, separations: list[dict[str, float]], probed: dict[str, np.ndarray]
) -> dict:
    """The record of a latent space: the scores of `separation` and the AUROC of linear probes
    (logistic regressions, Alain & Bengio 2016), as means over the trainings with their sd; the
    probe's 95 % interval; and under `baselines` the probes of other vectors, with the paired
    difference of the run's own probe.

    labels: (N,); separations: of each training; probed: the probes' (K, N) probabilities, by kind
    of vectors, `run` among them.
    """
    measured = {kind: intervals.auroc(labels, probability) for kind, probability in probed.items()}
    own = measured.pop("run")
    each = {name: [one[name] for one in separations] for name in separations[0]}
    each["probe_auroc"] = own.values.tolist()
    summary = {name: intervals.mean_sd(values) for name, values in each.items()}
    return {
        **{name: one["value"] for name, one in summary.items()},
        "sd": {name: one["sd"] for name, one in summary.items()},
        "ci95": _probe(own)["ci95"],
        "baselines": {
            kind: _probe(one) | {"difference": comparison.paired_difference(own, one)}
            for kind, one in measured.items()
        },
    }


def _probe(measured: intervals.Measured) -> dict:
    estimate = intervals.estimate(measured)
    return {"probe_auroc": estimate["value"], "ci95": {"probe_auroc": estimate["ci95"]}}
