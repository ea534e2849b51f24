"""Numbers as text: signs, zeros, lists. Names that a user chose, as they are."""

import argparse
import html
import re
from pathlib import Path

import pytest
import samples
from markdown_it import MarkdownIt

from chestflow import files, formatting
from chestflow.commands import summary, sweep

TITLES = (
    "a|b",
    "`a` | ``b",
    "a\\|b \\",
    "*a* **b** a*b",
    "_a_ __b__ _a b_",
    "<script>alert(1)</script> <b>c</b>",
    "![a](../../etc/passwd)",
    "[a](javascript:b) [c][d] <https://e.f>",
    "{{ a }} {% b %}",
    "# a #1",
    "$a$ and $",
    "&amp; &#42;",
    "~~a~~",
)


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
    assert formatting.number(value) == text
    assert formatting.signed(value) == with_sign


def test_runs_are_listed_with_commas_and_a_final_and():
    assert [formatting.runs(names) for names in ("a", "ab", "abc")] == [
        "`a`",
        "`a` and `b`",
        "`a`, `b` and `c`",
    ]


def test_a_range_is_no_interval_and_stands_in_parentheses():
    assert formatting.ranged([0.126, -0.01, 0.413]) == "0.126 (\N{MINUS SIGN}0.010 to 0.413)"
    assert formatting.ranged([None, None, None]) == "not defined"


def shown(markdown: str) -> list[list[str]]:
    """The cells of all tables, row by row, as a reader sees them; markup would be missing."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(c) for c in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_stands_in_a_table_as_it_was_written(title):
    assert shown(f"| {formatting.literal(title)} | b |\n|---|---|\n") == [[title, "b"]]


@pytest.mark.parametrize(
    "title", ["ChestMNIST (64 pixels) PHANTOM", "lowdata_autoencoder", "lr-0.1"]
)
def test_an_ordinary_title_is_left_alone(title):
    assert formatting.literal(title) == title


def test_line_breaks_and_control_characters_become_spaces():
    assert formatting.one_line("a\n\n# b\r\n| c\t\x1b[31m\u2028d\u202e ") == "a # b | c [31m d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return samples.build(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("title", TITLES)
def test_commands_print_a_title_as_it_was_written(title, folder, tmp_path, capsys):
    report = files.read_json(folder / "metrics/runs/pneumonia.json")
    found = files.read_json(folder / "sweep/sweep.json") | {"data": title}
    assert f"images of {formatting.literal(title)}; best" in sweep.markdown(found)
    files.write_json(tmp_path / "pneumonia.json", report | {"data": f"{title}\n\x1b"})
    summary.main(argparse.Namespace(metrics=tmp_path))
    assert capsys.readouterr().out.splitlines()[2].endswith(f"80 × 3, {title}")


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0009999, "< 0.001"),
        (0.001, "0.001"),
        (1.0, "1.000"),
        (None, "not defined"),
        (0.0, "< 0.001"),
    ],
)
def test_a_p_value_is_never_shown_as_zero(p, text):
    assert formatting.p_value(p) == text


def test_a_score_has_its_interval_or_else_its_spread_over_trainings():
    report = {"auroc": 0.9126, "auprc": 0.8, "sd": {"auroc": 0.02, "auprc": 0.0123}}
    report |= {"ci95": {"auroc": [0.891, 0.934]}}
    assert formatting.scored(report, "auroc") == "0.913 [0.891, 0.934]"
    assert formatting.scored(report, "auprc") == "0.800 ± 0.012"
    report["sd"]["auprc"] = None
    assert formatting.scored(report, "auprc") == "0.800", "one training has no spread"
    report |= {"auroc": None, "auprc": None}
    assert formatting.scored(report, "auroc") == formatting.scored(report, "auprc") == "not defined"


def test_differences_show_their_sign_on_all_three_figures():
    shown = f"+0.031 [{formatting.MINUS}0.006, +0.061]"
    assert formatting.change({"difference": 0.031, "ci95": [-0.006, 0.061]}) == shown
    assert formatting.value_of([0.031, -0.006, 0.061]) == shown
    assert formatting.value_of(None) == "not defined"


def test_one_training_is_no_plural():
    assert (formatting.counted(1), formatting.counted(3)) == ("1 training", "3 trainings")
