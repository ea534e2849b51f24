"""Which configuration of a sweep is chosen."""

import numpy as np
import pytest
import samples

from chestflow.metrics import intervals, selection

LABELS = samples.labels_of("test")


def stress(signal: float, draws: int = 2, trainings: int = 3, seed: int = 0) -> dict:
    """Draws of a configuration's trainings; the images are as hard for all configurations."""
    each = [samples.probabilities(LABELS, signal, trainings, seed + d) for d in range(draws)]
    labels = np.stack([LABELS] * trainings)
    return {"labels": labels, "probability": np.stack(each, axis=1)}


def test_the_auroc_is_averaged_over_draws_and_draws_are_no_further_images():
    given = stress(0.8)
    draws = [intervals.auroc(LABELS, given["probability"][:, d]) for d in (0, 1)]
    auroc = selection.stress_auroc(**given)
    assert auroc.values == pytest.approx(np.mean([d.values for d in draws], axis=0))
    copies = given | {"probability": given["probability"][:, [0] * 9]}
    repeated, once = selection.score(**copies), intervals.estimate(draws[0])
    assert repeated["ci95"] == pytest.approx(once["ci95"]), "copies must not narrow the interval"
    assert (repeated["n"], repeated["draws"], len(repeated["each"])) == (80, 9, 3)


def test_each_training_is_scored_on_the_images_that_it_has_labels_of():
    given = stress(0.8)
    given["labels"][1] = 1 - given["labels"][1]
    given["probability"][1] = 1 - given["probability"][1]
    assert selection.score(**given)["each"] == pytest.approx(selection.score(**stress(0.8))["each"])


def finalists(**signals: float) -> dict:
    """Configurations of some signal on the stress set, and an equal one on test."""
    labels, probability = LABELS, samples.probabilities(LABELS, 0.8, 3)
    return {
        name: selection.measured(stress(signal, seed=10 * k), labels, probability)
        for k, (name, signal) in enumerate(signals.items())
    }


def test_the_reference_stays_unless_a_rival_is_significantly_better():
    """A lead within the error does not count, however many rivals have one; nor does a deficit."""
    fair = {"default": 0.8} | {f"equal{k}": 0.8 for k in range(5)} | {"worse": 0.1}
    report = selection.choose("default", finalists(**fair))
    tests = {name: rival["stress"] for name, rival in report["rivals"].items()}
    assert report["chosen"] == "default" and tests.keys() == fair.keys() - {"default"}
    assert tests["worse"]["p_holm"] < 0.05 and tests["worse"]["difference"] < 0
    further = finalists(**fair, better=1.3, best=1.6)
    assert selection.choose("default", further)["chosen"] == "best"
    assert selection.choose("default", finalists(default=0.8))["chosen"] == "default"


def test_test_scores_choose_nothing():
    """Of a rival that is equal on the stress set, and far better on test."""
    ahead = stress(0.8), LABELS, np.stack([LABELS * 0.9 + 0.05] * 3)
    rivals = finalists(default=0.8) | {"wide": selection.measured(*ahead)}
    report = selection.choose("default", rivals)
    assert report["chosen"] == "default" and report["rivals"]["wide"]["auroc"]["difference"] > 0.1
    assert "p_holm" not in report["rivals"]["wide"]["auroc"]
