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


def measured(signal: float, seed: int = 0):
    return selection.stress_auroc(**stress(signal, seed=seed))


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


def test_the_reference_stays_unless_a_rival_is_significantly_better():
    """A lead within the error does not count, however many rivals have one; nor does a deficit."""
    rivals = {f"equal-{k}": measured(0.8, seed=10 * k) for k in range(1, 6)}
    rivals["worse"] = measured(0.1)
    fair = {"reference": measured(0.8)} | rivals
    chosen, tests = selection.choose("reference", fair)
    assert chosen == "reference" and tests.keys() == rivals.keys()
    assert tests["worse"]["p_holm"] < 0.05 and tests["worse"]["difference"] < 0
    further = fair | {"better": measured(1.3), "best": measured(1.6)}
    assert selection.choose("reference", further)[0] == "best"
    assert selection.choose("reference", {"reference": measured(0.8)}) == ("reference", {})


def test_test_scores_choose_nothing():
    """Of a rival that is equal on the stress set, and far better on test."""
    swept = samples.swept(samples.about_of("pneumoniamnist", "images"))
    ahead = samples.predicted_by(0.8, 3)._replace(probability=np.stack([LABELS * 0.9 + 0.05] * 3))
    predicted = {"default": samples.predicted_by(0.8, 3), "wide": ahead}
    report = selection.summarise(swept["configurations"], [], predicted, "default")
    assert report["chosen"] == "default" and report["rivals"]["wide"]["auroc"]["difference"] > 0.1
    assert "p_holm" not in report["rivals"]["wide"]["auroc"]
