"""Sentences about the classifier: each border is crossed, and the words must turn with it."""

import pytest
from samples import scores

from chestflow.images import captions
from chestflow.report import borders, classifier


def test_phantom_and_published_data_are_recognised_by_their_captions():
    phantom = captions.marked("PneumoniaMNIST", "phantom")
    genuine = captions.marked("PneumoniaMNIST", "images")
    own = captions.marked("My images", "images")
    written = [phantom, genuine, own]
    assert [borders.is_phantom(c) for c in written] == [True, False, False]
    assert [classifier.is_published(c) for c in written] == [False, True, False]


def split(healthy: int, positive: int) -> dict:
    n = healthy + positive
    return {"n": n, "healthy": healthy, "positive": positive, "prevalence": positive / n}


def test_class_weights_let_both_classes_weigh_the_same():
    healthy, positive = classifier.class_weights(split(1215, 3493))
    assert healthy * 1215 == pytest.approx(positive * 3493) == pytest.approx(4708 / 2)


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        (split(100, 290), "2.9 flu images for every healthy one"),
        (split(290, 100), "2.9 healthy images for every flu one"),
        (split(100, 110), "Hardly: 52.4 % of the training images show flu"),
    ],
)
def test_imbalance_names_the_larger_class(given, begins):
    assert classifier.imbalance(given, "flu").startswith(begins)


def test_a_different_class_share_in_test_is_pointed_out():
    assert "not the same everywhere" in classifier.shift(split(30, 70), split(40, 60), "flu")
    assert "about the same" in classifier.shift(split(30, 70), split(33, 67), "flu")


def test_guessing_follows_the_larger_class():
    ill, well = classifier.guessing(0.625), classifier.guessing(0.3)
    assert ill["accuracy"][1] == 0.625 and well["accuracy"][1] == 0.7
    assert (ill["recall"][1], ill["specificity"][1]) == (1.0, 0.0)
    assert (well["recall"][1], well["specificity"][1]) == (0.0, 1.0)
    assert well["precision"][1] is None  # nothing is called positive
    assert ill["f1"][1] == pytest.approx(2 * 0.625 / 1.625)


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [(0.7, "above"), (0.63, "not told apart from"), (0.5, "below")],
)
def test_accuracy_is_set_beside_the_majority_class(accuracy, words):
    report = scores(accuracy=accuracy)
    assert classifier.against_majority(report) == f"{words} the majority class (0.625)"
    assert ("`a`" in classifier.not_above_majority({"a": report})) == (words != "above")


def test_how_good_counts_both_kinds_of_error():
    told = classifier.how_good(scores(), [[216, 18], [36, 354]], "pneumonia")
    assert "misses 36 of 390 pneumonia images and raises 18 false alarms on 234 healthy" in told


@pytest.mark.parametrize(
    ("recall", "words"),
    [(0.9, "about equally well"), (0.95, "better at diseased"), (0.8, "better at healthy")],
)
def test_even_handedness_turns_where_the_intervals_part(recall, words):
    assert words in classifier.even_handed(scores(recall=recall))


def test_published_figures_are_higher_lower_or_not_told_apart():
    rows = classifier.published(scores(auroc=0.965, accuracy=0.87))
    told = {row["name"]: (row["auroc_here"], row["accuracy_here"]) for row in rows}
    assert told["ResNet-18"] == ("higher", "not told apart")
    assert told["Google AutoML Vision"] == ("lower", "lower")
    assert "AUROC is higher than 3, not told apart from 1, lower than 1" in (
        classifier.beside_published(scores(auroc=0.9675))
    )


@pytest.mark.parametrize(
    ("majority", "balanced", "words"),
    [
        (0.625, 0.9, ("Not alone", "agree")),
        (0.625, 0.8, ("Not alone", "differ")),
        (0.52, 0.9, ("Nearly", "agree")),
    ],
)
def test_accuracy_is_enough_only_where_classes_are_equal(majority, balanced, words):
    report = scores(majority_accuracy=majority, balanced_accuracy=balanced)
    assert all(word in classifier.is_accuracy_enough(report) for word in words)


def test_the_most_deceptive_run_is_the_most_one_sided():
    reports = {"even": scores(), "odd": scores(recall=0.3, specificity=0.95)}
    assert "`odd`" in classifier.most_deceptive(reports)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([0.03, 0.02, 0.04], "more honest"),
        ([0.08, 0.05, 0.11], "no difference that 624 images could show"),
        ([0.3, 0.25, 0.35], "made the probabilities worse"),
        (None, "The calibration error is 0.100 [0.080, 0.120]."),
    ],
)
def test_calibration_is_judged_before_and_after_scaling(after, words):
    further = {"calibration_error": [0.1, 0.08, 0.12]}
    further |= {"calibrated_calibration_error": after} if after else {}
    assert words in classifier.calibration(scores(further=further))


def explained(low: float, high: float, rho: tuple = (0.0, -0.1, 0.1), random=0.05) -> dict:
    return {
        "pointing_hits": (low + high) / 2,
        "chance": 0.1,
        "random_weights": {"pointing_hits": [random]},
        "rank_correlation": rho[0],
        "ci95": {"pointing_hits": [low, high], "rank_correlation": list(rho[1:])},
    }


def test_maps_are_trusted_only_above_chance_and_above_random_weights():
    assert "as a tendency" in classifier.maps_trusted(explained(0.11, 0.2))
    assert "no better than guessing" in classifier.maps_trusted(explained(0.1, 0.2))
    assert "no better than guessing" in classifier.maps_trusted(explained(0.11, 0.2, random=0.15))


@pytest.mark.parametrize(
    ("rho", "words"),
    [
        ((0.0, -0.1, 0.1), "the maps depend on what was learnt ("),
        ((-0.35, -0.4, -0.3), "only in part"),
        ((0.6, 0.5, 0.7), "without any learning"),
        ((None, None, None), "not defined"),
    ],
)
def test_without_a_known_truth_maps_are_judged_by_random_weights(rho, words):
    report = explained(0.5, 0.6, rho)
    del report["pointing_hits"]
    told = classifier.maps_trusted(report)
    assert told.startswith("Where the findings lie is not known") and words in told


def test_a_phantom_says_nothing_about_patients():
    assert classifier.limits(scores(data="Images PHANTOM")).startswith("Phantoms say nothing")
    assert "hantom" not in classifier.limits(scores())
