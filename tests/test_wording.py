"""Numbers as text: signs, zeros, lists. Names that a user chose, as they are."""

import argparse
import html
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from chestflow import wording
from chestflow.commands import seeds, summary, sweep
from chestflow.core import tables

ROOT = Path(__file__).parents[1]
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
    assert wording.number(value) == text
    assert wording.signed(value) == with_sign


def test_runs_are_listed_with_commas_and_a_final_and():
    assert [wording.runs(names) for names in ("a", "ab", "abc")] == [
        "`a`",
        "`a` and `b`",
        "`a`, `b` and `c`",
    ]


def test_a_range_is_no_interval_and_stands_in_parentheses():
    assert wording.ranged([0.126, -0.01, 0.413]) == "0.126 (\N{MINUS SIGN}0.010 to 0.413)"
    assert wording.ranged([None, None, None]) == "not defined"


def shown(markdown: str) -> list[list[str]]:
    """The cells of all tables, row by row, as a reader sees them; markup would be missing."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(c) for c in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_stands_in_a_table_as_it_was_written(title):
    assert shown(f"| {wording.literal(title)} | b |\n|---|---|\n") == [[title, "b"]]


@pytest.mark.parametrize(
    "title", ["ChestMNIST (64 pixels) PHANTOM", "lowdata_autoencoder", "lr-0.1"]
)
def test_an_ordinary_title_is_left_alone(title):
    assert wording.literal(title) == title


def test_line_breaks_and_control_characters_become_spaces():
    assert wording.one_line("a\n\n# b\r\n| c\t\x1b[31m\u2028d\u202e ") == "a # b | c [31m d"


@pytest.mark.parametrize("title", TITLES)
def test_commands_print_a_title_as_it_was_written(title, tmp_path, capsys):
    report = tables.read_json(ROOT / "metrics/runs/pneumonia.json") | {"data": title}
    header = "| a |" + " b |" * 6 + "\n" + "|---" * 7 + "|\n"
    (_, row) = shown(header + seeds.row("pneumonia", [report]))
    assert row[1] == f"{report['n']} of {title}"
    found = tables.read_json(ROOT / "sweep/sweep.json") | {"data": title}
    assert f"images of {wording.literal(title)}; best" in sweep.markdown(found)
    tables.write_json(tmp_path / "pneumonia.json", report | {"data": f"{title}\n\x1b"})
    summary.main(argparse.Namespace(metrics=tmp_path))
    assert capsys.readouterr().out.splitlines()[2].endswith(f"{report['n']} of {title}")
