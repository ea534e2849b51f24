"""The report's page: does it open on a phone as on a desktop, and does its slider count?"""

import base64
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import browser
import numpy as np
import pytest
import samples
from PIL import Image
from samples import SUBJECT

from chestflow import files
from chestflow.config import reading
from chestflow.report import page
from stages import report

PHONE, DESKTOP = 390, 1280


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder of the page that stage `report` writes, with pictures as wide as real ones."""
    folder = samples.build(tmp_path_factory.mktemp("page"), pictures=(1100, 550))
    params = reading.params(folder / "params.yaml")
    names = ["data/settings/all.json", "metrics", "models", "data", "sweep/sweep.json"]
    names += ["sweep/sweep.png", "plots", "report/index.md", "report/index.html"]
    places = (folder / name for name in names)
    report.report(*places, comparison=params.comparison, gradcam=params.gradcam)
    return folder / "report"


def test_the_page_is_one_file_with_an_outline_whose_links_arrive(written):
    html = (written / "index.html").read_text()
    loaded = re.findall(r'<(?:img|script|iframe|source)[^>]* src="([^"]+)', html)
    loaded += re.findall(r'<link[^>]* href="([^"]+)', html)
    assert len(loaded) == 13 and all(source.startswith("data:") for source in loaded)
    assert all(len(alt) > 20 for alt in re.findall(r'<img[^>]* alt="([^"]*)"', html))
    assert html.count("<figure><img") == html.count("<figcaption>") == 12
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids, inner = (re.findall(rf'{name}"([^"]+)"', html) for name in (" id=", ' href=(?="#)'))
    assert len(ids) == len(set(ids)) and inner and {link[1:] for link in inner} <= set(ids)


def test_the_markdown_finds_its_pictures_and_has_no_broken_tables(written):
    text = (written / "index.md").read_text()
    sources = re.findall(r"(?m)^!\[[^\]]+\]\((.+)\)$", text)
    assert len(sources) == 12 and all((written / source).is_file() for source in sources)
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    assert not re.search(r"(?m)^\|.*\n[^|\n]", text)  # or what follows would become a row


def test_a_line_breaks_within_no_interval(tmp_path):
    line = "# A\n\n0.913 [0.891, 0.934] of 624 × 3, 0.8 ± 0.1, 12.5 %, 0.1 (0.0 to 0.4)"
    html = page.html(line, tmp_path)
    for whole in ("[0.891, 0.934]", "624 × 3", "0.8 ± 0.1", "12.5 %", "(0.0 to 0.4)"):
        assert whole.replace(" ", "\N{NO-BREAK SPACE}") in html


def test_markup_below_a_figure_is_set_and_markup_in_words_is_shown(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = "# A <script>alert(1)</script>\n\n<b>no</b>\n\n![a picture](a.png)\n*Figure 1.* [b](c)"
    html = page.html(words, tmp_path, below={"a.png": "<hr>", "other.png": "<br>"})
    assert "<script>alert" not in html and "<b>" not in html and "&lt;b&gt;no" in html
    assert re.search(r'<a href="c">b</a></figcaption></figure>\s*<hr>', html)
    assert "<br>" not in html and "<title>A &lt;script" in html


def test_a_picture_keeps_every_pixel(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    Image.fromarray(values, "RGBA").save(tmp_path / "picture.png")
    uri, width, height = page.data_uri(tmp_path / "picture.png")
    kind, _, text = uri.partition(";base64,")
    assert (kind, width, height) == ("data:image/webp", 40, 30)
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) == values).all()


# ------------------------------------------------------------------------------ in a real browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> browser.Page:
    if not browser.PROGRAM:
        pytest.skip("no Chromium on this machine")
    with browser.chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=[PHONE, DESKTOP])
def at(request, chromium, written) -> browser.Page:
    """The page, opened anew at either width."""
    chromium.size(request.param)
    chromium.open(written / "index.html")
    return chromium


def shown(opened: browser.Page, selector: str) -> bool:
    """Whether an element takes up space within the window."""
    script = f"""(e => {{ const box = e.{browser.BOX}; return e.checkVisibility()
        && box.width * box.height > 0 && box.bottom > 0 && box.top < innerHeight }})
        (document.querySelector({json.dumps(selector)}))"""
    return opened.run(script)


def test_every_picture_appears_and_nothing_is_loaded_or_logged(at, written):
    decoded = """Promise.all([...document.images].map(async image => {
        await image.decode(); return image.naturalWidth}))"""
    assert at.run(decoded) == [1100] * 12
    requested = {event["request"]["url"] for event in at.sent("Network.requestWillBeSent")}
    outside = {url for url in requested if not url.startswith("data:")}
    assert outside == {(written / "index.html").as_uri()}
    assert not at.sent("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


@pytest.mark.parametrize("width", [320, DESKTOP])
def test_nothing_scrolls_sideways(chromium, written, width):
    """Neither the page nor, on a phone and on a desktop, any table within it."""
    chromium.size(width)
    chromium.open(written / "index.html")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    wider = """[...document.querySelectorAll("main *")].filter(e => e.scrollWidth > e.clientWidth
        && getComputedStyle(e).overflowX != "visible").map(e => e.innerText.slice(0, 80))"""
    assert chromium.run(wider) == []


def test_cells_have_the_name_of_their_column_on_a_phone(at):
    """The last column of the sweep's table, of eight, is in sight at either width."""
    find = """[...document.querySelectorAll("td[data-label='test accuracy']")].map(cell =>
        [cell.getBoundingClientRect().left, cell.getBoundingClientRect().right,
         getComputedStyle(cell, "::before").content])"""
    cells, width = at.run(find), at.run("innerWidth")
    assert len(cells) == 2 and all(0 <= left < right <= width for left, right, _ in cells)
    assert {name for *_, name in cells} == {'"test accuracy"' if width == PHONE else "none"}


def test_the_contents_are_at_hand_everywhere(at):
    """As a bar that opens on a phone, and beside the text on a desktop; with a choice, it goes."""
    width = at.run("innerWidth")
    at.run("window.scrollTo(0, 9000)")
    assert shown(at, ".menu summary") == (width == PHONE)
    assert shown(at, ".beside a[href^='#9-']") == (width == DESKTOP)
    assert not shown(at, ".menu a[href^='#9-']")
    if width == PHONE:
        at.click(".menu summary")
        assert shown(at, ".menu a[href^='#9-']")
    at.click(".menu a[href^='#9-']" if width == PHONE else ".beside a[href^='#9-']")
    heading = at.run(f"document.querySelector('h3[id^=\"9-\"]').{browser.BOX}.top")
    bar = at.run(f"document.querySelector('.menu').{browser.BOX}.bottom")
    assert bar <= heading < 150 and not shown(at, ".menu a[href^='#9-']")


def test_the_slider_moves_the_counts(at, written):
    table = files.read_csv(written.parent / f"data/results/{SUBJECT}/predictions.csv")
    scores = files.read_json(written.parent / f"data/results/{SUBJECT}/scores.json")
    one = np.array(table["training"]) == scores["representative"]
    labels, probability = np.array(table["actual"])[one], np.array(table["probability"])[one]

    def check(cut: float) -> dict[str, str]:
        said = at.run("""Object.fromEntries([...document.querySelectorAll("[data-shows]")]
            .map(e => [e.dataset.shows, e.textContent]))""")
        called, diseased = probability >= cut, labels == 1
        tp, fp = (called & diseased).sum(), (called & ~diseased).sum()
        assert said["threshold"] == f"{cut:.3f}"
        assert [said["tp"], said["fp"]] == [str(tp), str(fp)]
        assert said["recall"].endswith(f" ({tp} of {diseased.sum()})")
        return said

    said = check(0.5)
    for name in ("recall", "specificity", "precision", "accuracy"):
        reported = scores["each"][name][scores["representative"]]
        assert float(said[name].split()[0]) == pytest.approx(reported, abs=5.1e-4)
    at.click(".threshold button:last-child")
    check(scores["at_val_threshold"]["threshold"])
    at.click(".threshold button:first-child")
    at.run("document.querySelector('.threshold input').focus()")
    for _ in range(120):
        at.press("ArrowRight")
    check(0.62)
    at.press("Home")
    check(0)
    at.press("End")
    assert check(1)["precision"] == "not defined"
