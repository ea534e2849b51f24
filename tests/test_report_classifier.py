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


def scaled(low: float, high: float, used: bool = True) -> dict:
    scaling = {"used": used, "val_log_loss": [0.3, 0.2 if used else 0.31]}
    scaling |= {"brier_difference": [(low + high) / 2, low, high]}
    return scores(calibration=[0.9, 0.7], scaling=scaling)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (
            -0.03,
            -0.01,
            "squared calibration error is lower with it: paired difference \u22120.0200",
        ),
        (-0.01, 0.03, "is not distinguishable with it: paired difference +0.0100 [\u22120.0100, "),
        (0.01, 0.03, "is higher with it: paired difference +0.0200 [+0.0100, +0.0300]"),
    ],
)
def test_scaling_is_judged_by_the_paired_difference_on_test(low, high, words):
    told = classifier.calibration(scaled(low, high), split(30, 70), split(30, 70), "flu")
    assert words in told and "lowered the log loss" in told and "in test it is" not in told


def test_shares_of_a_class_that_scaling_carries_over_wrongly_are_named():
    told = classifier.calibration(scaled(0.01, 0.03), split(26, 74), split(40, 60), "flu")
    assert "share of flu in validation, 74.0 %, but in test it is 60.0 %" in told


def test_scaling_that_did_not_help_on_validation_is_not_used():
    told = classifier.calibration(scaled(0.0, 0.0, used=False), split(26, 74), split(4, 6), "flu")
    assert told.startswith("It is not used here") and "(0.300 without, 0.310 with it)" in told
    assert "test" not in told


def explained(hits: float, random=(0.05, 0.0, 0.19), rho=-0.3, among=(0.0, -0.2, 0.1)) -> dict:
    return {
        "pointing_hits": hits,
        "chance": 0.1,
        "random_weights": {
            "pointing_hits": list(random),
            "rank_correlation": [rho, -0.5, 0.5],
            "among_themselves": list(among),
        },
        "random_networks": {"rank_correlation": [rho] * 23},
        "ci95": {"pointing_hits": [hits - 0.05, hits + 0.05]},
    }


@pytest.mark.parametrize(
    ("hits", "random", "shown"),
    [
        (0.2, (0.05, 0.0, 0.19), True),
        (0.2, (0.05, 0.0, 0.21), False),  # one of the random networks hits as often
        (0.14, (0.05, 0.0, 0.08), False),  # above all of them, but not above chance
        (0.2, (None, None, None), False),
    ],
)
def test_maps_are_trusted_only_above_chance_and_every_random_network(hits, random, shown):
    told = classifier.maps_trusted(explained(hits, random))
    assert ("as a tendency" in told) == shown == ("not shown" not in told)
    if random[0]:
        assert (
            f"23 networks with random weights: mean 5.0 %, 0.0 % to {100 * random[2]:.1f} %" in told
        )


@pytest.mark.parametrize(
    ("rho", "among", "words"),
    [
        (-0.21, (0.0, -0.2, 0.1), "the maps depend on what was learnt ("),
        (-0.19, (0.0, -0.2, 0.1), "does not show that the maps depend on what was learnt"),
        (0.05, (0.0, -0.2, 0.1), "does not show"),
        (0.11, (0.0, -0.2, 0.1), "without any learning"),
        (None, (0.0, -0.2, 0.1), "not defined"),
        (0.05, (None, None, None), "not defined"),
    ],
)
def test_without_a_known_truth_maps_are_judged_by_random_networks(rho, among, words):
    report = explained(0.5, rho=rho, among=among)
    del report["pointing_hits"]
    told = classifier.maps_trusted(report)
    assert told.startswith("Where the findings lie is not known") and words in told


def test_a_phantom_says_nothing_about_patients():
    assert classifier.limits(scores(data="Images PHANTOM")).startswith("Phantoms say nothing")
    assert "hantom" not in classifier.limits(scores())
