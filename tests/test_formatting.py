"""Numbers as text: signs, zeros, intervals. Words that a user chose, as they are."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from chestflow import formatting

MINUS = formatting.MINUS
TITLES = (
    "a|b",
    "`a` | ``b",
    "a\\|b \\",
    "*a* **b** a*b",
    "_a_ __b__ _a b_",
    "<script>alert(1)</script> <b>c</b>",
    "[a](javascript:b) [c][d] <https://e.f>",
    "# a #1",
    "&amp; &#42;",
    "~~a~~",
)


@pytest.mark.parametrize(
    ("value", "text", "with_sign"),
    [
        (0.25, "0.250", "+0.250"),
        (-0.25, f"{MINUS}0.250", f"{MINUS}0.250"),
        (-0.0001, "0.000", "0.000"),  # no sign that the digits shown cannot justify
        (0.0001, "0.000", "0.000"),
        (None, "not defined", "not defined"),
    ],
)
def test_numbers_have_a_real_minus_sign_and_a_rounded_zero_has_none(value, text, with_sign):
    assert formatting.number(value) == text
    assert formatting.signed(value) == with_sign


@pytest.mark.parametrize("title", TITLES)
def test_a_name_stands_in_a_table_as_it_was_written(title):
    table = f"| {formatting.literal(title)} | b |\n|---|---|\n"
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(table)
    cells = re.findall(r"<th>(.*?)</th>", page)  # markup would be missing
    assert [html.unescape(cell) for cell in cells] == [title, "b"]


@pytest.mark.parametrize("title", ["ChestMNIST (64 pixels) PHANTOM", "lowdata_autoencoder"])
def test_an_ordinary_name_is_left_alone(title):
    assert formatting.literal(title) == title


def test_line_breaks_and_control_characters_become_spaces():
    assert formatting.one_line("a\n\n# b\r\n| c\t\x1b[31m\u2028d\u202e ") == "a # b | c [31m d"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0009999, "< 0.001"), (0.001, "0.001"), (0.0, "< 0.001"), (1.0, "1.000")]
)
def test_a_p_value_is_never_shown_as_zero(p, text):
    assert formatting.p_value(p) == text


def test_a_score_has_its_interval_or_else_its_sd_over_trainings():
    report = {"auroc": 0.9126, "auprc": 0.8, "sd": {"auroc": 0.02, "auprc": 0.0123}}
    report |= {"ci95": {"auroc": [0.891, 0.934]}}
    assert formatting.scored(report, "auroc") == "0.913 [0.891, 0.934]"
    assert formatting.scored(report, "auprc") == "0.800 ± 0.012"
    report["sd"]["auprc"] = None
    assert formatting.scored(report, "auprc") == "0.800", "one training has no sd"
    report |= {"auroc": None, "auprc": None}
    assert formatting.scored(report, "auroc") == formatting.scored(report, "auprc") == "not defined"


def test_differences_show_their_sign_on_all_three_numbers_and_the_corrected_interval():
    entry = {"difference": 0.031, "ci95": [-0.006, 0.061]}
    assert formatting.change(entry) == f"+0.031 [{MINUS}0.006, +0.061]"
    entry["ci95_holm"] = [-0.016, 0.071]
    assert formatting.change(entry) == f"+0.031 [{MINUS}0.016, +0.071]"
