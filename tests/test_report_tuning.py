"""Sentences about configurations and epochs: each border is crossed, and the words must follow."""

import pytest
from samples import scores

from chestflow.report import tuning


@pytest.fixture
def sweep() -> dict:
    """Two configurations, and the chosen one's lead over the other by the seeds."""
    rows = [
        {"name": "wide", "changes": {"width": 16}, "val_auroc": 0.996, "auroc": 0.97},
        {"name": "plain", "changes": {}, "val_auroc": 0.995, "auroc": 0.98},
    ]
    lead = {"difference": 0.01, "ci95": [0.005, 0.015]}
    return {
        "chosen": "wide",
        "min_delta": 0.002,
        "configurations": rows,
        "differences": [{"run": "wide", "against": "plain", "auroc": lead}],
    }


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ([0.005, 0.015], "higher than that of `plain`"),
        ([-0.001, 0.015], "not told apart from that of `plain`"),
        ([-0.02, -0.01], "lower than that of `plain`"),
    ],
)
def test_the_best_configuration_leads_by_more_than_its_seeds_or_not(sweep, interval, words):
    sweep["differences"][0]["auroc"]["ci95"] = interval
    assert words in tuning.best_configuration(sweep)


def test_a_configuration_without_rivals_is_not_praised(sweep):
    sweep["differences"] = []
    assert "no other was trained on as many seeds" in tuning.best_configuration(sweep)


def test_configurations_within_min_delta_count_as_equal(sweep):
    assert tuning.runner_up(sweep).startswith("2 of 2 configurations")
    assert "belongs to `plain`" in tuning.runner_up(sweep)
    sweep["configurations"][1] |= {"val_auroc": 0.99, "auroc": 0.96}
    assert tuning.runner_up(sweep).startswith("1 of 2 configurations")
    assert "highest test AUROC too" in tuning.runner_up(sweep)


def test_settings_that_differ_from_the_chosen_configuration_are_listed(sweep):
    assert tuning.unlike_sweep(sweep, {"width": 16, "lr": 0.1}) == []
    assert tuning.unlike_sweep(sweep, {"width": 8}) == ["width 8 instead of 16"]


def both_ways(weighted: float, bare: float) -> dict:
    """A sweep with and without class weights, of these balanced accuracies +- .01."""
    rows = [
        {"changes": changes, **dict.fromkeys(keys, value)}
        | {"ci95": {key: [value - 0.01, value + 0.01] for key in keys}}
        for keys in [("recall", "specificity", "balanced_accuracy")]
        for changes, value in (({}, weighted), ({"class_weights": False}, bare))
    ]
    return {"data": "PneumoniaMNIST", "configurations": rows}


@pytest.mark.parametrize(
    ("bare", "words"), [(0.8, "The weights help."), (0.905, "not tell the two"), (0.95, "did harm")]
)
def test_the_effect_of_the_class_weights_is_stated(bare, words):
    told = tuning.without_weights(both_ways(0.9, bare))
    assert words in told and f"{bare:.3f}" in told


def test_without_a_training_without_weights_nothing_is_claimed(sweep):
    assert "not known" in tuning.without_weights(sweep)


def history(aurocs: list[float], losses: list[float], improved: list[int], phase=1) -> dict:
    n = len(aurocs)
    columns = {"epoch": list(range(1, n + 1)), "phase": [1] * (n - 1) + [phase]}
    return columns | {"val_auroc": aurocs, "val_loss": losses, "improved": improved}


def test_the_kept_epoch_is_the_last_improvement_and_ties_are_explained():
    highest = history([0.90, 0.95, 0.93], [0.5, 0.4, 0.3], [1, 1, 0])
    best = {"keep": "best", "min_delta": 0.002}
    assert tuning.kept(highest, best).endswith("epoch 2 of 3: AUROC 0.9500, the highest.")
    tie = history([0.90, 0.951, 0.950], [0.5, 0.4, 0.3], [1, 1, 1])
    told = tuning.kept(tie, best)
    assert "epoch 3 of 3: AUROC 0.9500. Epoch 2 had 0.9510" in told and "loss is lower" in told


@pytest.mark.parametrize(
    ("keep", "words"), [("last", "those of the last epoch"), ("average", "the mean of those")]
)
def test_weights_that_validation_does_not_choose_are_called_so(keep, words):
    ran = history([0.95, 0.94], [0.4, 0.5], [1, 1])
    told = tuning.kept(ran, {"keep": keep, "min_delta": 0.002})
    assert "Validation chooses none" in told and words in told and "0.9400" in told


def test_patience_or_the_number_of_epochs_ended_a_training():
    ran = history([0.9] * 10, [0.3] * 10, [1] * 10)
    assert "used all 10 epochs" in tuning.stopped(ran, 10)
    assert "Patience ended the training after 10 of at most 20" in tuning.stopped(ran, 20)
    two_phases = history([0.9] * 10, [0.3] * 10, [1] * 10, phase=2)
    assert "after 10 of at most 20" in tuning.stopped(two_phases, 10)


@pytest.mark.parametrize(
    ("val", "words"), [(0.96, "holds"), (0.98, "validation flatters"), (0.9, "even higher")]
)
def test_a_validation_score_above_the_tests_interval_flatters(val, words):
    assert words in tuning.flattering(scores(val_auroc=val))
