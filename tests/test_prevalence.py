"""Probabilities where disease is more or less frequent than where they were fitted."""

import numpy as np
import pytest

from chestflow.errors import UserError
from chestflow.metrics import prevalence

PROBABILITY = np.array([0.0, 1e-9, 0.1, 0.5, 0.93, 1 - 1e-9, 1.0])


def test_the_same_share_changes_nothing_and_the_way_back_undoes_it():
    assert prevalence.shifted(PROBABILITY, 0.7, 0.7) == pytest.approx(PROBABILITY, abs=1e-15)
    there = prevalence.shifted(PROBABILITY, 0.742, 0.05)
    assert prevalence.shifted(there, 0.05, 0.742) == pytest.approx(PROBABILITY, abs=1e-7)


def test_odds_change_by_the_factor_of_the_prior_odds():
    assert prevalence.shifted(0.5, 0.5, 0.2) == pytest.approx(0.2)
    assert prevalence.shifted(0.8, 0.5, 0.2) == pytest.approx(0.5)  # odds 4, by a factor of 1/4
    assert prevalence.shifted(0.742, 0.742, 0.01) == pytest.approx(0.01), "of no evidence at all"


def test_ranks_ends_and_shapes_are_kept():
    for share in (0.001, 0.3, 0.999):
        moved = prevalence.shifted(PROBABILITY, 0.5, share)
        assert (np.diff(moved) > 0).all() and moved[0] == 0 and moved[-1] == 1
        assert ((moved > PROBABILITY)[1:-1] == (share > 0.5)).all()
    assert prevalence.shifted(np.full((2, 3), 0.4), 0.5, 0.3).shape == (2, 3)


def test_they_agree_with_counting_where_the_share_is_another():
    """One finding of three grades: its probabilities counted at one share and at another."""
    rng = np.random.default_rng(0)
    grades = {0: [0.6, 0.3, 0.1], 1: [0.2, 0.3, 0.5]}  # of the healthy, and of the diseased

    def counted(share: float) -> np.ndarray:
        diseased = rng.random(400_000) < share
        grade = np.where(diseased, *(rng.choice(3, 400_000, p=grades[c]) for c in (1, 0)))
        return np.array([diseased[grade == g].mean() for g in range(3)])

    moved = prevalence.shifted(counted(0.7), 0.7, 0.15)
    assert moved == pytest.approx(counted(0.15), abs=0.01)


@pytest.mark.parametrize("share", [0, 1, -0.1, 30, np.nan, np.inf])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match=r"share_to = .*; accepted: above 0 and below 1"):
        prevalence.shifted(0.5, 0.5, share)
    with pytest.raises(UserError, match="share_from = "):
        prevalence.shifted(0.5, share, 0.5)


def test_a_typed_share_is_read_or_shown_as_it_was_typed():
    assert prevalence.parsed("--share", "0.3") == 0.3
    for text in ("0", "1", "abc", "nan", "", "30 %", "a\nb\x1b"):
        with pytest.raises(UserError) as error:
            prevalence.parsed("--share", text)
        assert str(error.value).startswith(f"--share = {text!a}; accepted: above 0")
        assert str(error.value).isprintable()
