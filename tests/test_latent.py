"""Projections beside their definitions, and separation of clouds whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, silhouette_score

from chestflow.metrics import baselines, comparison, intervals, latent
from chestflow.models import inference
from chestflow.models.cnn import Classifier
from stages import latent as stage

Cloud = tuple[np.ndarray, np.ndarray]


def clouds(n: int, distance: float, seed: int = 0) -> Cloud:
    """Two normal clouds in 8 dimensions, this many standard deviations apart: vectors, labels."""
    labels = np.arange(n) % 2
    vectors = np.random.default_rng(seed).normal(size=(n, 8))
    vectors[:, 0] += labels * distance
    return vectors, labels


def probe_auroc(train: Cloud, test: Cloud) -> float:
    return roc_auc_score(test[1], baselines.probability(baselines.logistic(train, train), test[0]))


def shuffled(cloud: Cloud) -> Cloud:
    return cloud[0], np.random.default_rng(1).permutation(cloud[1])


def test_tsne_is_reproducible_and_keeps_clouds_apart():
    vectors, labels = clouds(60, 12)
    one, two = (latent.tsne(vectors, perplexity=10.0, seed=0) for _ in range(2))
    assert one.shape == (60, 2) and np.array_equal(one, two)
    assert silhouette_score(one, labels) > 0.5


@pytest.mark.parametrize("constant", [False, True])
def test_few_vectors_are_projected_and_equal_ones_have_no_projection(constant):
    """A collapsed network's are all equal: scikit-learn's t-SNE crashes on them."""
    vectors = np.full((10, 8), 0.1) if constant else clouds(10, 2)[0]
    columns, explained = latent.project(vectors, perplexity=30.0, seed=0)
    assert list(columns) == ["pca_1", "pca_2", "tsne_1", "tsne_2"]
    assert (np.isnan([*columns.values()]) == constant).all() and len(columns["tsne_1"]) == 10
    assert (np.isnan(explained) == constant).all() and len(explained) == 2


def test_separate_clouds_score_one_and_shuffled_labels_at_chance_level():
    train, test = clouds(400, 200), clouds(400, 200, seed=2)
    perfect = latent.separation(train, test, neighbours=5)
    assert perfect["knn_balanced_accuracy"] == probe_auroc(train, test) == 1.0
    assert perfect["silhouette"] == silhouette_score(*test) > 0.95
    train, test = clouds(400, 3), clouds(400, 3, seed=2)
    learnt_nothing = latent.separation(shuffled(train), test, neighbours=5)
    assert learnt_nothing["knn_balanced_accuracy"] == pytest.approx(0.5, abs=0.15)
    unrelated = latent.separation(train, shuffled(test), neighbours=5)
    assert probe_auroc(train, shuffled(test)) == pytest.approx(0.5, abs=0.1)
    assert unrelated["silhouette"] == pytest.approx(0, abs=0.02)


def test_fewer_images_than_neighbours_and_two_test_images_are_enough():
    """Of two, a silhouette is not defined."""
    scores = latent.separation(clouds(6, 50), clouds(2, 50, seed=1), neighbours=15)
    assert np.isnan(scores["silhouette"])
    assert probe_auroc(clouds(6, 50), clouds(2, 50, seed=1)) == 1.0


def test_the_runs_own_probe_is_compared_with_each_baseline_on_the_same_images():
    labels, rng = np.arange(80) % 2, np.random.default_rng(0)
    signals = {"run": 1, "pixels": 0.2}
    probed = {kind: s * labels + rng.random((3, 80)) for kind, s in signals.items()}
    separations = [{"silhouette": s} for s in (0.1, 0.2, 0.6)]
    report = latent.report(labels, separations, probed)
    own, pixels = (intervals.auroc(labels, probability) for probability in probed.values())
    expected = comparison.paired_difference(own, pixels)
    assert report["baselines"].keys() == {"pixels"}
    assert report["baselines"]["pixels"]["difference"] == expected
    assert report["probe_auroc"] == pytest.approx(own.values.mean())
    assert report["silhouette"] == pytest.approx(0.3)


def test_an_untrained_encoder_is_fitted_to_nothing_but_the_statistics_of_the_images(splits):
    images = splits["train"].images
    one, same, other = (stage.random_encoder({"width": 4}, images, seed) for seed in (0, 0, 1))
    vectors = [inference.embeddings(m, images, torch.device("cpu")) for m in (one, same, other)]
    assert np.array_equal(vectors[0], vectors[1]) and not np.allclose(vectors[0], vectors[2])
    torch.manual_seed(0)
    fresh = dict(Classifier(width=4).named_parameters())
    assert all(torch.equal(weight, fresh[name]) for name, weight in one.named_parameters())
    norm, before = one.encoder[0].norm1, one.encoder[0].conv1
    with torch.no_grad():
        channels = before(inference.standardise(torch.from_numpy(images)))
    assert norm.running_mean.numpy() == pytest.approx(channels.mean((0, 2, 3)).numpy(), abs=1e-4)
