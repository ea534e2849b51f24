"""Projections against their definitions, and separation on clouds whose answer is known."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from chestflow.metrics import latent


def clouds(n: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normal clouds in 8 dimensions, this many standard deviations apart: vectors, labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    vectors = rng.normal(size=(n, 8))
    vectors[:, 0] += labels * distance
    return vectors, labels


def separation(train, test) -> dict:
    return latent.separation(train, test, neighbours=5)


def test_pca_equals_the_singular_value_decomposition():
    vectors = clouds(60, 2, seed=0)[0] @ np.diag(np.arange(1, 9))
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    components, explained = latent.pca(vectors)
    assert components.shape == (60, 2)
    assert np.abs(components) == pytest.approx(np.abs(left[:, :2] * values[:2]))
    assert explained == pytest.approx(values[:2] ** 2 / (values**2).sum())


def test_tsne_is_reproducible_and_keeps_clouds_apart():
    vectors, labels = clouds(60, 12, seed=0)
    one, two = (latent.tsne(vectors, perplexity=10.0, seed=0) for _ in range(2))
    assert one.shape == (60, 2) and np.array_equal(one, two)
    assert silhouette_score(one, labels) > 0.5


def test_tsne_of_few_images_lowers_its_perplexity():
    assert np.isfinite(latent.tsne(clouds(10, 2, seed=0)[0], perplexity=30.0, seed=0)).all()


def test_perfect_clusters_score_one():
    scores = separation(clouds(80, 200, seed=0), clouds(60, 200, seed=1))
    assert scores["knn_balanced_accuracy"] == scores["probe_auroc"] == 1.0
    assert scores["silhouette"] > 0.95


def test_shuffled_labels_score_at_chance_level():
    vectors, labels = clouds(400, 3, seed=0)
    shuffled = np.random.default_rng(1).permutation(labels)
    test, test_labels = clouds(400, 3, seed=2)
    scores = separation((vectors, shuffled), (test, test_labels))
    assert scores["knn_balanced_accuracy"] == pytest.approx(0.5, abs=0.15)
    test_shuffled = np.random.default_rng(3).permutation(test_labels)
    scores = separation((vectors, labels), (test, test_shuffled))
    assert scores["probe_auroc"] == pytest.approx(0.5, abs=0.1)
    assert scores["silhouette"] == pytest.approx(0, abs=0.02)


def test_scores_are_those_of_the_test_images_and_have_no_interval():
    """None that was tried covers the truth."""
    train, test = clouds(200, 2, seed=0), clouds(100, 2, seed=1)
    scores = separation(train, test)
    assert scores["silhouette"] == pytest.approx(silhouette_score(*test))
    assert set(scores) == {"silhouette", "knn_balanced_accuracy", "probe_auroc"}
    assert all(isinstance(value, float) for value in scores.values())


def test_rescaling_a_coordinate_changes_neither_neighbours_nor_probe():
    train, test = clouds(200, 2, seed=0), clouds(100, 2, seed=1)
    units = np.r_[1000.0, np.ones(7)]
    plain, scaled = (
        separation((train[0] * u, train[1]), (test[0] * u, test[1])) for u in (1, units)
    )
    for name in ("knn_balanced_accuracy", "probe_auroc"):
        assert scaled[name] == pytest.approx(plain[name], abs=0.01)


def test_more_neighbours_than_images_are_accepted():
    train, test = clouds(6, 50, seed=0), clouds(40, 50, seed=1)
    scores = latent.separation(train, test, neighbours=15)
    assert scores["probe_auroc"] > 0.9
