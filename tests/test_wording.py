"""Numbers as text: signs, zeros, lists."""

import pytest

from chestflow import wording


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
def test_numbers_have_a_real_minus_sign_and_a_rounded_zero_has_none(value, text, with_sign):
    assert wording.number(value) == text
    assert wording.signed(value) == with_sign


def test_runs_are_listed_with_commas_and_a_final_and():
    assert [wording.runs(names) for names in ("a", "ab", "abc")] == [
        "`a`",
        "`a` and `b`",
        "`a`, `b` and `c`",
    ]
