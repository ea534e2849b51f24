"""Sentences about few labels and transfer: each border is crossed, and the words must follow."""

import pytest
from samples import HINT, LESS, MORE, NONE, question, scores

from chestflow.report import borders, transfer


def rebuilt(mse: float, ssim: float = 0.9) -> dict:
    """An autoencoder with these scores beside fixed baselines; an interval is ± 2 %."""
    values = {
        "mse": {"autoencoder": mse, "mean_image": 0.02, "pca": 0.005},
        "psnr": {"autoencoder": 1 / mse, "mean_image": 1 / 0.02, "pca": 1 / 0.005},
        "ssim": {"autoencoder": ssim, "mean_image": 0.5, "pca": 0.8},
    }
    ci95 = {
        measure: {name: [0.98 * v, 1.02 * v] for name, v in by_method.items()}
        for measure, by_method in values.items()
    }
    return {"code": 10, "test": values | {"ci95": ci95}}


def test_the_autoencoder_works_if_it_beats_the_mean_image_in_every_measure():
    assert transfer.reconstructs(rebuilt(0.004)).startswith("Yes: 10 numbers per image keep 80.0 %")
    assert "better than PCA" in transfer.reconstructs(rebuilt(0.004))
    assert "worse than PCA" in transfer.reconstructs(rebuilt(0.006, ssim=0.7))
    assert "not told apart from PCA" in transfer.reconstructs(rebuilt(0.005, ssim=0.8))
    assert "better in some measures" in transfer.reconstructs(rebuilt(0.004, ssim=0.7))
    assert transfer.reconstructs(rebuilt(0.02, ssim=0.5)).startswith("No: ")


@pytest.mark.parametrize(
    ("entry", "short", "long"),
    [
        (MORE, "Yes:", "`a` has the higher AUROC than `b`"),
        (LESS, "No, it did harm:", "`a` has the lower AUROC than `b`"),
        (HINT, "Not shown; there is a hint that it helped:", "A hint, not a finding"),
        (NONE, "No difference that 624 images could show:", "No difference of `a` and `b`"),
    ],
)
def test_a_difference_is_worded_by_what_it_shows(entry, short, long):
    assert transfer.did_it_help(entry).startswith(short)
    assert transfer.difference(entry, "auroc", 6).startswith(long)


@pytest.mark.parametrize(
    ("auroc", "against", "words"),
    [
        (0.6, [LESS], "above chance (0.5) and below `b`"),
        (0.51, [NONE], "not told apart from chance (0.5) and not told apart from `b`"),
        (0.4, [], "below chance (0.5)."),
    ],
)
def test_a_frozen_encoder_is_set_beside_chance_and_scratch(auroc, against, words):
    assert words in transfer.frozen_shows("a", {"a": scores(auroc=auroc)}, against)


def test_a_strategy_leads_unless_another_was_found_better():
    assert (
        transfer.best_strategy([MORE]) == "`a` leads; `b` falls behind (AUROC \N{MINUS SIGN}0.050)."
    )
    assert transfer.best_strategy([LESS]).startswith("`b` leads; `a` falls behind")
    assert transfer.best_strategy([HINT]).startswith("No difference")
    third = question(0.0, -0.1, 0.1, 1.0, run="c", against="a")
    assert transfer.best_strategy([MORE, third]).startswith("`a` and `c` are not told apart; `b`")


def test_no_transfer_beats_scratch_unless_one_was_found_to():
    assert transfer.beats_scratch([LESS, NONE]).endswith("No transfer beats it.")
    assert "No transfer" not in transfer.beats_scratch([LESS, MORE])


def declared(strategy: str, init: str = "chest") -> dict:
    return {"strategy": strategy, "init": init}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (MORE, "do not suffice"),
        (LESS, "spoils"),
        (NONE, "suffice: to train them further shows no gain"),
        (HINT, "do not decide"),
    ],
)
def test_a_frozen_encoder_is_judged_alike_whichever_run_is_named_first(entry, words):
    """entry: what training everything gains over training the head."""
    runs = {"a": declared("unfrozen"), "b": declared("frozen")}
    assert words in transfer.why([entry], runs)
    other_way = {"more": LESS, "less": MORE, "none": NONE, "hint": HINT}
    turned = other_way[borders.finding(entry["auroc"])]
    assert words in transfer.why([turned], {"a": runs["b"], "b": runs["a"]})


def point(start: str, labels: int, low: float, high: float, seeds: int = 3) -> dict:
    middle = {"auroc": (low + high) / 2, "lowest": low, "highest": high}
    return {"start": start, "labels": labels, "seeds": seeds, **middle}


def test_a_start_leads_where_no_seed_of_scratch_reaches_it():
    scratch = point("scratch, unfrozen", 50, 0.6, 0.7)
    above, overlapping = (point("chest, frozen", 50, low, 0.9) for low in (0.71, 0.7))
    assert transfer.curve([scratch, above])[0].endswith("every seed of it lies above.")
    assert transfer.curve([scratch, overlapping])[0].endswith("the seeds overlap.")
    below = point("chest, frozen", 50, 0.5, 0.6)
    assert "no start is higher than training from scratch" in transfer.curve([scratch, below])[0]
    once = [scratch | {"seeds": 1}, above | {"seeds": 1}]
    assert "with one seed, nothing says" in transfer.curve(once)[0]


def test_curves_are_described_by_ascending_number_of_labels():
    rows = [point("scratch, unfrozen", labels, 0.6, 0.7) for labels in (4708, 50)]
    few, many = transfer.curve(rows)
    assert few.startswith("with 50 labels, ") and many.startswith("with 4,708 labels, ")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.71, 0.8, "every seed lies above"), (0.5, 0.59, "below"), (0.5, 0.6, "overlap")],
)
def test_the_seeds_of_a_curve_confirm_whether_a_start_helped(low, high, words):
    rows = [
        point("scratch, unfrozen", 300, 0.6, 0.7),
        point("autoencoder, unfrozen", 300, low, high),
    ]
    assert words in transfer.repeated(rows, 300, "autoencoder")
    assert transfer.repeated(rows, 50, "autoencoder") == ""


def test_the_space_that_separates_most_is_named_with_its_equals():
    reports = {
        "a": scores(probe_auroc=0.9),
        "b": scores(probe_auroc=0.88),
        "c": scores(probe_auroc=0.8),
    }
    told = transfer.separates_best(reports, list("abc"))
    assert "most in `a`" in told and "not told apart from `b`" in told and "less in `c`" in told
    reports["c"]["probe_auroc"] = None
    assert "not defined" in transfer.separates_best(reports, list("abc"))


@pytest.mark.parametrize(
    ("cka", "words"),
    [(1.0, "the same"), (0.95, "nearly the same"), (0.6, "alike in part"), (0.2, "hardly alike")],
)
def test_similarity_in_words(cka, words):
    assert transfer.alike(cka) == words


def test_only_a_runs_own_start_says_how_far_it_moved():
    pairs = [
        {"a": "chest", "b": "a", "cka": 0.9},
        {"a": "chest", "b": "b", "cka": 0.5},
        {"a": "chest", "b": "c", "cka": 0.1},  # which started elsewhere
    ]
    runs = {
        "a": declared("frozen"),
        "b": declared("unfrozen"),
        "c": declared("unfrozen", "scratch"),
    }
    assert transfer.moved(pairs, runs).endswith(
        "`b` 0.500 (from `chest`), `a` 0.900 (from `chest`)."
    )
