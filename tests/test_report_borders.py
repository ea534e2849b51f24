"""Where a difference begins: each border is crossed."""

import pytest
from samples import HINT, LESS, MORE, NONE, question

from chestflow.report import borders


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
def test_an_interval_lies_above_or_below_a_reference_only_as_a_whole(interval, expected):
    assert borders.side(interval, 0.5) == expected


def test_intervals_are_apart_only_where_they_do_not_touch():
    assert borders.apart([0.5, 0.6], [0.3, 0.4]) == 1
    assert borders.apart([0.3, 0.4], [0.5, 0.6]) == -1
    assert borders.apart([0.3, 0.5], [0.5, 0.6]) == 0
    assert borders.apart([None, None], [0.5, 0.6]) == 0


def test_a_difference_counts_by_its_corrected_p():
    found = [borders.finding(entry["auroc"]) for entry in (MORE, LESS, HINT, NONE)]
    assert found == ["more", "less", "hint", "none"]
    at_the_border = question(0.05, 0.01, 0.09, 0.05)
    assert borders.finding(at_the_border["auroc"]) == "hint"


def test_the_smallest_p_is_that_of_holms_first_step():
    assert borders.smallest_p(1000, 6) == pytest.approx(12 / 1001)
    assert borders.smallest_p(100, 60) == 1.0


def test_the_odds_of_a_lucky_lead_are_counted():
    assert borders.by_luck(3) == "1 in 20"
