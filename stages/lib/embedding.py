"""Latent spaces: projections to two dimensions, and how well classes separate in them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.lib import resampling


def pca(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) -> the first two principal components (N, 2) and their shares of the variance (2,)."""
    fitted = PCA(n_components=2, svd_solver="full").fit(vectors)
    return fitted.transform(vectors), fitted.explained_variance_ratio_


def tsne(vectors: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """(N, D) -> (N, 2) by t-SNE (van der Maaten & Hinton 2008), started from PCA.

    The perplexity is lowered where there are too few films for it.
    """
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)


def separation(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    neighbours: int,
    counts: np.ndarray,
) -> dict:
    """How well the classes separate: each score with its 95 % interval over the test films.

    train, test: (vectors (N, D), labels (N,)); counts: (B, N) from `resampling.counts`.
    silhouette: of the test vectors by true class, -1 to 1, 0 = no separation (Rousseeuw 1987).
    knn_balanced_accuracy, probe_auroc: of a k-NN classifier and a logistic regression on the
    standardised vectors, both fitted on train and scored on test; chance is .5.
    """
    vectors, labels = test
    width = silhouette_samples(vectors, labels)
    knn = fitted(KNeighborsClassifier(min(neighbours, len(train[0]))), *train).predict(vectors)
    probe = fitted(LogisticRegression(max_iter=1000), *train).decision_function(vectors)
    scored = {
        "silhouette": lambda w: w @ width / w.sum(axis=1),
        "knn_balanced_accuracy": lambda w: resampling.decisions(labels, knn, w)[
            "balanced_accuracy"
        ],
        "probe_auroc": lambda w: resampling.auroc(labels, probe, w),
    }
    once = np.ones((1, len(labels)))
    return {
        **{name: float(score(once)[0]) for name, score in scored.items()},
        "ci95": {name: resampling.interval(score(counts)) for name, score in scored.items()},
    }


def fitted(classifier, vectors: np.ndarray, labels: np.ndarray):
    return make_pipeline(StandardScaler(), classifier).fit(vectors, labels)
