"""A few attempts of each campaign of `make torture`, so that it still runs when it is needed."""

import re
from pathlib import Path

import pytest

from benchmarks.torture import __main__ as torture
from benchmarks.torture import attempts, ground

MADE = {
    "parameters": ("params.yaml: out of range", "params.yaml: valid", "chestflow check"),
    "files": ("archive: broken bytes", "picture: strange DICOM"),
    "servers": ("body cut off", "garbage"),
    "environments": ("path: two words",),
    "kills": ("chestflow repro, group", "dvc repro, runner alone"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("torture")


def planned(name: str) -> list[attempts.Attempt]:
    return [a for a in torture.planned(name, quick=True, seed=0) if a.kind in MADE[name]]


@pytest.mark.parametrize("name", MADE)
def test_a_campaign_makes_its_attempts(root, name):
    ended = torture.campaign(name, planned(name), root, quick=True)
    assert {attempt.kind for attempt in ended} == set(MADE[name])
    assert [attempt.failed for attempt in ended] == [""] * len(ended)


def test_as_many_attempts_as_promised():
    numbers = {name: len(torture.planned(name, False, 0)) for name in torture.CAMPAIGNS}
    rwlock = attempts.module("kills").KINDS["rwlock cut off"].planned
    assert numbers["kills"] - rwlock >= 200 and numbers["parameters"] >= 500
    assert numbers["files"] >= 200 and numbers["servers"] >= 60


def test_an_attempt_that_hangs_is_a_failure_and_is_kept(tmp_path):
    made = planned("parameters")
    ended = list(attempts.carry_out(made, attempts.Limits(seconds=0), tmp_path))
    assert [attempt.failed for attempt in ended] == ["no end within 0 s"] * len(made)
    for attempt in ended:
        assert f"--attempt {attempt.name}" in (tmp_path / attempt.name / "failure.txt").read_text()


@pytest.mark.parametrize("said", ["", "a\nb", "a\x1b[2J", "x" * 5000])
def test_what_is_not_one_line_is_a_failure(said):
    attempts.one_line("scratch: a line\n")
    with pytest.raises(attempts.Failed):
        attempts.one_line(said)


def test_whatever_differs_from_the_reference_is_a_failure(root):
    ground.build(root, quick=True)
    place = ground.copied(root, root / "changed")
    assert not place.differences()
    output = place.folder / place.outs("scratch")[0] / "model.safetensors"
    output.write_bytes(b"half a file")
    output.with_name("left.part").touch()
    (place.folder / "params.new").touch()
    found = set(place.differences())
    assert found == {
        "models/scratch/left.part differs",
        "models/scratch/model.safetensors differs",
        "git: ?? params.new",
    }
    with pytest.raises(attempts.Failed, match="after recovery: "):
        place.recover()


def test_the_page_keeps_its_words_and_the_other_campaigns(tmp_path):
    page = tmp_path / "torture.md"
    page.write_text(torture.PAGE.read_text())
    torture.write_page(page, "kills", ["| k |"], "*yesterday*")
    for table in (["| a |"], ["| b |"]):
        torture.write_page(page, "servers", table, "*today*")
    text, committed = page.read_text(), torture.PAGE.read_text()
    assert "| b |\n*today*\n" in text and "| a |" not in text and "| k |\n*yesterday*\n" in text
    assert text.startswith(committed.partition("<!--")[0])
    assert re.findall(r"<!-- (\w+): begin -->", committed) == list(torture.CAMPAIGNS)


def test_the_table_counts_attempts_failures_and_what_was_skipped():
    ended = [attempts.Attempt("servers", "garbage", number, 0) for number in range(3)]
    ended[0].failed, ended[1].skipped = "so", "why"
    assert torture.rows(ended) == [
        ["servers", "garbage", "2", "1", "1 (why)"],
        ["**servers**", "**all**", "**2**", "**1**", "**1 (why)**"],
    ]
