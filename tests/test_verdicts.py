"""Sentences chosen by figures: each border is crossed, and the words must turn with it."""

import pytest

from stages.lib import data, verdicts, wording


def scores(**given) -> dict:
    """A run's metrics file, as far as the sentences read it; an interval is ± 0.02."""
    values = {
        "accuracy": 0.9,
        "balanced_accuracy": 0.9,
        "recall": 0.9,
        "specificity": 0.9,
        "auroc": 0.95,
        "silhouette": 0.3,
    } | {key: value for key, value in given.items() if isinstance(value, float)}
    ci95 = {key: [value - 0.02, value + 0.02] for key, value in values.items()}
    rest = {"data": "Films", "n": 624, "majority_accuracy": 0.625, "val_auroc": 0.95}
    return values | {"ci95": ci95} | rest | given


def question(difference: float, low: float, high: float, p: float, run="a", against="b") -> dict:
    entry = {"difference": difference, "ci95": [low, high], "p_holm": p}
    both = {"auroc": entry, "balanced_accuracy": entry}
    return {"run": run, "against": against, "n": 624, **both}


MORE = question(0.05, 0.01, 0.09, 0.01)
LESS = question(-0.05, -0.09, -0.01, 0.01)
HINT = question(0.05, 0.01, 0.09, 0.06)
NONE = question(0.01, -0.03, 0.05, 0.6)


# ------------------------------------------------------------------------------ figures as words


@pytest.mark.parametrize(
    ("value", "text", "with_sign"),
    [
        (0.25, "0.250", "+0.250"),
        (-0.25, "\N{MINUS SIGN}0.250", "\N{MINUS SIGN}0.250"),
        (-0.0001, "0.000", "0.000"),  # no sign that the digits shown cannot justify
        (0.0001, "0.000", "0.000"),
        (None, "not defined", "not defined"),
    ],
)
def test_a_figure_has_a_true_minus_and_a_rounded_zero_none(value, text, with_sign):
    assert wording.number(value) == text
    assert wording.signed(value) == with_sign


def test_runs_are_listed_as_in_speech():
    assert [wording.runs(names) for names in ("a", "ab", "abc")] == [
        "`a`",
        "`a` and `b`",
        "`a`, `b` and `c`",
    ]


# --------------------------------------------------------------------------------------- borders


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ([0.51, 0.6], 1),
        ([0.5, 0.6], 0),
        ([0.4, 0.5], 0),
        ([0.4, 0.49], -1),
        ([None, None], 0),
    ],
)
def test_an_interval_lies_beside_a_reference_only_as_a_whole(interval, expected):
    assert verdicts.side(interval, 0.5) == expected


def test_intervals_are_apart_only_where_they_do_not_touch():
    assert verdicts.apart([0.5, 0.6], [0.3, 0.4]) == 1
    assert verdicts.apart([0.3, 0.4], [0.5, 0.6]) == -1
    assert verdicts.apart([0.3, 0.5], [0.5, 0.6]) == 0
    assert verdicts.apart([None, None], [0.5, 0.6]) == 0


def test_a_difference_counts_by_its_corrected_p():
    found = [verdicts.finding(entry["auroc"]) for entry in (MORE, LESS, HINT, NONE)]
    assert found == ["more", "less", "hint", "none"]
    at_the_border = question(0.05, 0.01, 0.09, 0.05)
    assert verdicts.finding(at_the_border["auroc"]) == "hint"


def test_the_smallest_p_is_that_of_holms_first_step():
    assert verdicts.smallest_p(1000, 6) == pytest.approx(12 / 1001)
    assert verdicts.smallest_p(100, 60) == 1.0


# ------------------------------------------------------------------ the network, the data, classes


def test_captions_of_data_sets_are_told_apart_as_the_stages_write_them():
    classes = ("healthy", "pneumonia")
    phantom = data.About("PneumoniaMNIST", "phantom", classes).caption()
    genuine = data.About("PneumoniaMNIST", "films", classes).caption()
    own = data.About("My films", "films", classes).caption()
    captions = [phantom, genuine, own]
    assert [verdicts.is_phantom(c) for c in captions] == [True, False, False]
    assert [verdicts.is_published(c) for c in captions] == [False, True, False]


def split(healthy: int, positive: int) -> dict:
    n = healthy + positive
    return {"n": n, "healthy": healthy, "positive": positive, "prevalence": positive / n}


def test_class_weights_let_both_classes_weigh_the_same():
    healthy, positive = verdicts.class_weights(split(1215, 3493))
    assert healthy * 1215 == pytest.approx(positive * 3493) == pytest.approx(4708 / 2)


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        (split(100, 290), "2.9 flu films for every healthy one"),
        (split(290, 100), "2.9 healthy films for every flu one"),
        (split(100, 110), "Hardly: 52.4 % of the training films show flu"),
    ],
)
def test_imbalance_names_the_larger_class(given, begins):
    assert verdicts.imbalance(given, "flu").startswith(begins)


def test_another_share_in_test_is_warned_of():
    assert "not the same everywhere" in verdicts.shift(split(30, 70), split(40, 60), "flu")
    assert "about the same" in verdicts.shift(split(30, 70), split(33, 67), "flu")


# ------------------------------------------------------------------------------------ the scores


def test_guessing_follows_the_larger_class():
    ill, well = verdicts.guessing(0.625), verdicts.guessing(0.3)
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
    assert verdicts.against_majority(report) == f"{words} the majority class (0.625)"
    assert ("`a`" in verdicts.not_above_majority({"a": report})) == (words != "above")


def test_how_good_counts_both_kinds_of_error():
    told = verdicts.how_good(scores(), [[216, 18], [36, 354]], "pneumonia")
    assert "misses 36 of 390 pneumonia films and raises 18 false alarms on 234 healthy" in told


@pytest.mark.parametrize(
    ("recall", "words"),
    [(0.9, "about equally well"), (0.95, "better at diseased"), (0.8, "better at healthy")],
)
def test_even_handedness_turns_where_the_intervals_part(recall, words):
    assert words in verdicts.even_handed(scores(recall=recall))


def test_published_figures_are_higher_lower_or_not_told_apart():
    rows = verdicts.published(scores(auroc=0.965, accuracy=0.87))
    told = {row["name"]: (row["auroc_here"], row["accuracy_here"]) for row in rows}
    assert told["ResNet-18"] == ("higher", "not told apart")
    assert told["Google AutoML Vision"] == ("lower", "lower")
    assert "AUROC is higher than 3, not told apart from 1, lower than 1" in (
        verdicts.beside_published(scores(auroc=0.9675))
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
    assert all(word in verdicts.is_accuracy_enough(report) for word in words)


def test_the_most_deceptive_run_is_the_most_one_sided():
    reports = {"even": scores(), "odd": scores(recall=0.3, specificity=0.95)}
    assert "`odd`" in verdicts.most_deceptive(reports)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([0.03, 0.02, 0.04], "more honest"),
        ([0.08, 0.05, 0.11], "no difference that 624 films could show"),
        ([0.3, 0.25, 0.35], "made the probabilities worse"),
        (None, "The calibration error is 0.100 [0.080, 0.120]."),
    ],
)
def test_calibration_is_judged_before_and_after_scaling(after, words):
    further = {"calibration_error": [0.1, 0.08, 0.12]}
    further |= {"calibrated_calibration_error": after} if after else {}
    assert words in verdicts.calibration(scores(further=further))


# ------------------------------------------------------------------------------------- the maps


def explained(low: float, high: float, rho: tuple = (0.0, -0.1, 0.1), random=0.05) -> dict:
    return {
        "pointing_hits": (low + high) / 2,
        "chance": 0.1,
        "random_weights": {"pointing_hits": [random]},
        "rank_correlation": rho[0],
        "ci95": {"pointing_hits": [low, high], "rank_correlation": list(rho[1:])},
    }


def test_maps_are_trusted_only_above_chance_and_above_random_weights():
    assert "as a tendency" in verdicts.maps_trusted(explained(0.11, 0.2))
    assert "no better than guessing" in verdicts.maps_trusted(explained(0.1, 0.2))
    assert "no better than guessing" in verdicts.maps_trusted(explained(0.11, 0.2, random=0.15))


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
    told = verdicts.maps_trusted(report)
    assert told.startswith("Where the findings lie is not known") and words in told


# ------------------------------------------------------------------------- the best configuration


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
    assert words in verdicts.best_configuration(sweep)


def test_a_configuration_without_rivals_on_seeds_is_not_praised(sweep):
    sweep["differences"] = []
    assert "no other was trained on as many seeds" in verdicts.best_configuration(sweep)


def test_configurations_within_min_delta_count_as_equal(sweep):
    assert verdicts.runner_up(sweep).startswith("2 of 2 configurations")
    assert "belongs to `plain`" in verdicts.runner_up(sweep)
    sweep["configurations"][1] |= {"val_auroc": 0.99, "auroc": 0.96}
    assert verdicts.runner_up(sweep).startswith("1 of 2 configurations")
    assert "highest test AUROC too" in verdicts.runner_up(sweep)


def test_a_run_with_other_settings_than_the_chosen_ones_is_told(sweep):
    assert verdicts.unlike_sweep(sweep, {"width": 16, "lr": 0.1}) == []
    assert verdicts.unlike_sweep(sweep, {"width": 8}) == ["width 8 instead of 16"]


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
def test_what_the_class_weights_change_is_told(bare, words):
    told = verdicts.without_weights(both_ways(0.9, bare))
    assert words in told and f"{bare:.3f}" in told


def test_without_a_training_without_weights_nothing_is_claimed(sweep):
    assert "not known" in verdicts.without_weights(sweep)


# --------------------------------------------------------------------------------- best weights


def history(aurocs: list[float], losses: list[float], improved: list[int], phase=1) -> dict:
    n = len(aurocs)
    columns = {"epoch": list(range(1, n + 1)), "phase": [1] * (n - 1) + [phase]}
    return columns | {"val_auroc": aurocs, "val_loss": losses, "improved": improved}


def test_the_kept_epoch_is_the_last_improvement_and_ties_are_explained():
    highest = history([0.90, 0.95, 0.93], [0.5, 0.4, 0.3], [1, 1, 0])
    best = {"keep": "best", "min_delta": 0.002}
    assert verdicts.kept(highest, best).endswith("epoch 2 of 3: AUROC 0.9500, the highest.")
    tie = history([0.90, 0.951, 0.950], [0.5, 0.4, 0.3], [1, 1, 1])
    told = verdicts.kept(tie, best)
    assert "epoch 3 of 3: AUROC 0.9500. Epoch 2 had 0.9510" in told and "loss is lower" in told


@pytest.mark.parametrize(
    ("keep", "words"), [("last", "those of the last epoch"), ("average", "the mean of those")]
)
def test_weights_that_validation_does_not_choose_are_called_so(keep, words):
    ran = history([0.95, 0.94], [0.4, 0.5], [1, 1])
    told = verdicts.kept(ran, {"keep": keep, "min_delta": 0.002})
    assert "Validation chooses none" in told and words in told and "0.9400" in told


def test_patience_or_the_number_of_epochs_ended_a_training():
    ran = history([0.9] * 10, [0.3] * 10, [1] * 10)
    assert "used all 10 epochs" in verdicts.stopped(ran, 10)
    assert "Patience ended the training after 10 of at most 20" in verdicts.stopped(ran, 20)
    two_phases = history([0.9] * 10, [0.3] * 10, [1] * 10, phase=2)
    assert "after 10 of at most 20" in verdicts.stopped(two_phases, 10)


@pytest.mark.parametrize(
    ("val", "words"), [(0.96, "holds"), (0.98, "validation flatters"), (0.9, "even higher")]
)
def test_a_validation_score_above_the_tests_interval_flatters(val, words):
    assert words in verdicts.flattering(scores(val_auroc=val))


# -------------------------------------------------------------------------------- the autoencoder


def rebuilt(mse: float, ssim: float = 0.9) -> dict:
    """An autoencoder with these scores beside fixed yardsticks; an interval is ± 2 %."""
    values = {
        "mse": {"autoencoder": mse, "mean_film": 0.02, "pca": 0.005},
        "psnr": {"autoencoder": 1 / mse, "mean_film": 1 / 0.02, "pca": 1 / 0.005},
        "ssim": {"autoencoder": ssim, "mean_film": 0.5, "pca": 0.8},
    }
    ci95 = {
        measure: {name: [0.98 * v, 1.02 * v] for name, v in by_method.items()}
        for measure, by_method in values.items()
    }
    return {"code": 10, "test": values | {"ci95": ci95}}


def test_the_autoencoder_works_if_it_beats_the_mean_film_in_every_measure():
    assert verdicts.reconstructs(rebuilt(0.004)).startswith("Yes: 10 numbers per film keep 80.0 %")
    assert "better than PCA" in verdicts.reconstructs(rebuilt(0.004))
    assert "worse than PCA" in verdicts.reconstructs(rebuilt(0.006, ssim=0.7))
    assert "not told apart from PCA" in verdicts.reconstructs(rebuilt(0.005, ssim=0.8))
    assert "better in some measures" in verdicts.reconstructs(rebuilt(0.004, ssim=0.7))
    assert verdicts.reconstructs(rebuilt(0.02, ssim=0.5)).startswith("No: ")


# ------------------------------------------------------------------------- differences, transfer


@pytest.mark.parametrize(
    ("entry", "short", "long"),
    [
        (MORE, "Yes:", "`a` has the higher AUROC than `b`"),
        (LESS, "No, it did harm:", "`a` has the lower AUROC than `b`"),
        (HINT, "Not shown; there is a hint that it helped:", "A hint, not a finding"),
        (NONE, "No difference that 624 films could show:", "No difference of `a` and `b`"),
    ],
)
def test_a_difference_is_worded_by_what_it_shows(entry, short, long):
    assert verdicts.did_it_help(entry).startswith(short)
    assert verdicts.difference(entry, "auroc", 6).startswith(long)


@pytest.mark.parametrize(
    ("auroc", "against", "words"),
    [
        (0.6, [LESS], "above chance (0.5) and below `b`"),
        (0.51, [NONE], "not told apart from chance (0.5) and not told apart from `b`"),
        (0.4, [], "below chance (0.5)."),
    ],
)
def test_a_frozen_encoder_is_set_beside_chance_and_scratch(auroc, against, words):
    assert words in verdicts.frozen_shows("a", {"a": scores(auroc=auroc)}, against)


def test_a_strategy_leads_unless_another_was_found_better():
    assert (
        verdicts.best_strategy([MORE]) == "`a` leads; `b` falls behind (AUROC \N{MINUS SIGN}0.050)."
    )
    assert verdicts.best_strategy([LESS]).startswith("`b` leads; `a` falls behind")
    assert verdicts.best_strategy([HINT]).startswith("No difference")
    third = question(0.0, -0.1, 0.1, 1.0, run="c", against="a")
    assert verdicts.best_strategy([MORE, third]).startswith("`a` and `c` are not told apart; `b`")


def test_no_transfer_beats_scratch_unless_one_was_found_to():
    assert verdicts.beats_scratch([LESS, NONE]).endswith("No transfer beats it.")
    assert "No transfer" not in verdicts.beats_scratch([LESS, MORE])


class Declared:
    def __init__(self, strategy: str, init: str = "chest") -> None:
        self.strategy, self.init = strategy, init


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (MORE, "do not suffice"),
        (LESS, "spoils"),
        (NONE, "suffice: to train them further shows no gain"),
        (HINT, "do not decide"),
    ],
)
def test_a_frozen_encoders_defeat_is_read_the_same_from_either_side(entry, words):
    """entry: what training everything gains over training the head."""
    runs = {"a": Declared("unfrozen"), "b": Declared("frozen")}
    assert words in verdicts.why([entry], runs)
    other_way = {"more": LESS, "less": MORE, "none": NONE, "hint": HINT}
    turned = other_way[verdicts.finding(entry["auroc"])]
    assert words in verdicts.why([turned], {"a": runs["b"], "b": runs["a"]})


# ---------------------------------------------------------------------- curves over the labels


def point(start: str, labels: int, low: float, high: float, seeds: int = 3) -> dict:
    middle = {"auroc": (low + high) / 2, "lowest": low, "highest": high}
    return {"start": start, "labels": labels, "seeds": seeds, **middle}


def test_a_start_leads_where_no_seed_of_scratch_reaches_it():
    scratch = point("scratch, unfrozen", 50, 0.6, 0.7)
    above, overlapping = (point("chest, frozen", 50, low, 0.9) for low in (0.71, 0.7))
    assert verdicts.curve([scratch, above])[0].endswith("every seed of it lies above.")
    assert verdicts.curve([scratch, overlapping])[0].endswith("the seeds overlap.")
    below = point("chest, frozen", 50, 0.5, 0.6)
    assert "no start is higher than training from scratch" in verdicts.curve([scratch, below])[0]
    once = [scratch | {"seeds": 1}, above | {"seeds": 1}]
    assert "with one seed, nothing says" in verdicts.curve(once)[0]


def test_curves_are_told_by_ascending_number_of_labels():
    rows = [point("scratch, unfrozen", labels, 0.6, 0.7) for labels in (4708, 50)]
    few, many = verdicts.curve(rows)
    assert few.startswith("with 50 labels, ") and many.startswith("with 4,708 labels, ")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.71, 0.8, "every seed lies above"), (0.5, 0.59, "below"), (0.5, 0.6, "overlap")],
)
def test_the_seeds_say_again_whether_a_start_helped(low, high, words):
    rows = [
        point("scratch, unfrozen", 300, 0.6, 0.7),
        point("autoencoder, unfrozen", 300, low, high),
    ]
    assert words in verdicts.repeated(rows, 300, "autoencoder")
    assert verdicts.repeated(rows, 50, "autoencoder") == ""


def test_luck_is_counted():
    assert verdicts.by_luck(3) == "1 in 20"


# -------------------------------------------------------------------------------- latent spaces


def test_the_space_that_separates_most_is_named_with_its_equals():
    reports = {
        "a": scores(silhouette=0.3),
        "b": scores(silhouette=0.28),
        "c": scores(silhouette=0.1),
    }
    told = verdicts.separates_best(reports, list("abc"))
    assert "most in `a`" in told and "not told apart from `b`" in told and "less in `c`" in told
    reports["c"]["silhouette"] = None
    assert "not defined" in verdicts.separates_best(reports, list("abc"))


@pytest.mark.parametrize(
    ("cka", "words"),
    [(1.0, "the same"), (0.95, "nearly the same"), (0.6, "alike in part"), (0.2, "hardly alike")],
)
def test_similarity_in_words(cka, words):
    assert verdicts.alike(cka) == words


def test_only_a_runs_own_start_says_how_far_it_moved():
    pairs = [
        {"a": "chest", "b": "a", "cka": 0.9},
        {"a": "chest", "b": "b", "cka": 0.5},
        {"a": "chest", "b": "c", "cka": 0.1},  # which started elsewhere
    ]
    runs = {
        "a": Declared("frozen"),
        "b": Declared("unfrozen"),
        "c": Declared("unfrozen", "scratch"),
    }
    assert verdicts.moved(pairs, runs).endswith(
        "`b` 0.500 (from `chest`), `a` 0.900 (from `chest`)."
    )


def test_phantoms_never_speak_of_patients():
    assert verdicts.limits(scores(data="Films PHANTOM")).startswith("Phantoms say nothing")
    assert "hantom" not in verdicts.limits(scores())
