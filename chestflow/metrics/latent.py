"""Latent spaces: projections to two dimensions, and how well classes separate in them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chestflow.metrics import baselines, comparison, intervals
from chestflow.metrics.baselines import Known


def project(
    vectors: np.ndarray, perplexity: float, seed: int
) -> tuple[dict[str, list[float]], list[float]]:
    """(N, D) -> columns pca_1, pca_2, tsne_1 and tsne_2, of N each, and the shares of the variance
    that the two principal components hold. NaN where all vectors are equal, as a collapsed
    network's are: scikit-learn's t-SNE would crash."""
    if np.ptp(vectors, axis=0).max() == 0:
        nothing = np.full((len(vectors), 2), np.nan)
        components, embedded, explained = nothing, nothing, np.full(2, np.nan)
    else:
        components, explained = pca(vectors)
        embedded = tsne(vectors, perplexity, seed)
    points = np.hstack([components, embedded]).astype(float)
    names = ("pca_1", "pca_2", "tsne_1", "tsne_2")
    return dict(zip(names, points.T.tolist())), explained.tolist()


def pca(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) -> the first two principal components (N, 2) and their shares of the variance (2,)."""
    fitted = PCA(n_components=2, svd_solver="full").fit(vectors)
    return fitted.transform(vectors), fitted.explained_variance_ratio_


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
    return {
        "silhouette": silhouette(vectors, labels),
        "knn_balanced_accuracy": float(balanced_accuracy_score(labels, knn)),
    }


def probe(train: Known, val: Known, vectors: np.ndarray) -> np.ndarray:
    """(N,) probabilities of (N, D) vectors by a linear probe (Alain & Bengio 2016): a logistic
    regression fitted on train, its penalty chosen on val."""
    return baselines.probability(baselines.logistic(train, val), vectors)


def silhouette(vectors: np.ndarray, labels: np.ndarray) -> float:
    """NaN of two images, for which it is not defined."""
    return float(silhouette_score(vectors, labels)) if len(labels) > 2 else float("nan")


def compared(labels: np.ndarray, probed: dict[str, np.ndarray]) -> dict[str, dict]:
    """AUROC of each kind of probe with its interval, and each training's; for all kinds but `run`
    also the paired difference of `run` from it.

    labels: (N,); probed: the probes' (K, N) probabilities, by kind, `run` among them.
    """
    measured = {kind: intervals.auroc(labels, probability) for kind, probability in probed.items()}
    entries = {}
    for kind, one in measured.items():
        estimate = intervals.estimate(one)
        entries[kind] = {
            "probe_auroc": estimate["value"],
            "ci95": {"probe_auroc": estimate["ci95"]},
            "each": one.values.tolist(),
        }
        if kind != "run":
            entries[kind]["difference"] = comparison.paired_difference(measured["run"], one)
    return entries
