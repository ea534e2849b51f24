"""Latent spaces: projections to two dimensions, and how well classes separate in them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chestflow.measures import resampling
from chestflow.measures.scores import with_intervals


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


def separation(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    neighbours: int,
    counts: np.ndarray,
) -> dict:
    """How well the classes separate: scores of the test images, under `ci95` their intervals.

    train, test: (vectors (N, D), labels (N,)); counts: (B, N) from `resampling.counts`.
    silhouette: of the test vectors by true class, -1 to 1, 0 = no separation (Rousseeuw 1987);
    without an interval, for it is no mean of independent images: a bootstrap of the images' widths
    covered the truth in 58 % of simulations.
    knn_balanced_accuracy, probe_auroc: of a k-NN classifier and a logistic regression on the
    standardised vectors, both fitted on train and scored on test; chance is .5. The bootstrap
    intervals of these, which are fixed before the test, covered the truth in 93 to 96 %; of the
    AUROC only up to .98, and in 89 % at .99.
    """
    vectors, labels = test
    knn = fitted(KNeighborsClassifier(min(neighbours, len(train[0]))), *train).predict(vectors)
    probe = fitted(LogisticRegression(max_iter=1000), *train).decision_function(vectors)

    def voted(weights: np.ndarray) -> dict[str, np.ndarray]:
        return resampling.decisions(labels, knn, weights)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "knn_balanced_accuracy": voted(weights)["balanced_accuracy"],
            "probe_auroc": resampling.auroc(labels, probe, weights),
        }

    values, ci95 = with_intervals(measure, counts)
    return {"silhouette": float(silhouette_score(vectors, labels)), **values, "ci95": ci95}


def fitted(classifier, vectors: np.ndarray, labels: np.ndarray):
    return make_pipeline(StandardScaler(), classifier).fit(vectors, labels)
