"""The report's page: does it open on a phone as on a desktop, and does its slider count?"""

import base64
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import browser
import numpy as np
import pytest
import samples
import yaml
from PIL import Image
from samples import SUBJECT

from chestflow import files
from chestflow.config import reading
from chestflow.report import page, rendering, threshold
from stages import report

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
VOID = {"meta", "link", "img", "br", "hr", "input"}
PHONE, DESKTOP = 390, 1280


class Tags(HTMLParser):
    """All tags of a page with their attributes, and that each is closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.opened, self.text = [], [], ""
        self.feed(html)
        assert not self.opened

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), list(self.opened)))
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, *names: str) -> list[dict]:
        return [attrs for tag, attrs, _ in self.tags if tag in names]


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


@pytest.fixture(scope="module")
def tags(written) -> Tags:
    return Tags((written / "index.html").read_text())


def test_the_page_is_one_file_with_an_outline_whose_links_arrive(tags):
    loaded = [a["src"] for a in tags.of("img", "script", "iframe", "source") if "src" in a]
    loaded += [a["href"] for a in tags.of("link")]
    assert len(loaded) == 12 and all(source.startswith("data:") for source in loaded)
    assert all(len(a["alt"]) > 20 for a in tags.of("img"))
    inside = [parents for tag, _, parents in tags.tags if tag in ("img", "figcaption")]
    assert len(inside) == 22 and all("figure" in parents for parents in inside)
    levels = [int(tag[1]) for tag, _, _ in tags.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs, _ in tags.tags if "id" in attrs]
    inner = {a["href"][1:] for a in tags.of("a") if a["href"].startswith("#")}
    assert len(ids) == len(set(ids)) and inner and inner <= set(ids)


def test_the_markdown_finds_its_pictures_and_has_no_broken_tables(written):
    text = (written / "index.md").read_text()
    sources = re.findall(r"(?m)^!\[[^\]]+\]\((.+)\)$", text)
    assert len(sources) == 11 and all((written / source).is_file() for source in sources)
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    assert not re.search(r"(?m)^\|.*\n[^|\n]", text)  # or what follows would become a row


def test_a_line_breaks_within_no_interval(tmp_path):
    line = "0.913 [0.891, 0.934] of 624 × 3, 0.8 ± 0.1, 12.5 %, 0.1 (0.0 to 0.4)"
    text = Tags(page.html(line, tmp_path)).text
    for whole in ("[0.891, 0.934]", "624 × 3", "0.8 ± 0.1", "12.5 %", "(0.0 to 0.4)"):
        assert whole.replace(" ", "\N{NO-BREAK SPACE}") in text


def test_markup_below_a_figure_is_set_and_markup_in_words_is_shown(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = "# A <script>alert(1)</script>\n\n<b>no</b>\n\n![a picture](a.png)\n*Figure 1.* [b](c)"
    html = page.html(words, tmp_path, below={"a.png": "<hr>", "other.png": "<br>"})
    assert "<script>alert" not in html and "<b>" not in html and "&lt;b&gt;no" in html
    assert re.search(r'<a href="c">b</a></figcaption></figure>\s*<hr>', html)
    assert "<br>" not in html and "<title>A &lt;script" in html


NASTY = r"""a|b `c` *d* _e_ **f <script>alert(1)</script> ![g](../plots/secret.png) [h](i)
{{ j }} {% k %} # $l$ &amp; \m \| ~~n~~ www"""


def called(values, name: str):
    """The same results of data sets with this title and this positive class."""
    if isinstance(values, dict):
        new = {"data": f"{name} PHANTOM", "classes": ["healthy", name]}
        return {k: new.get(k) or called(v, name) for k, v in values.items()}
    return [called(v, name) for v in values] if isinstance(values, list) else values


def test_a_title_is_shown_as_it_was_written(written):
    """Whatever datasets.yaml calls a data set and its positive class is text: no markup, no link,
    no other table, and no picture that the report has not chosen."""
    markdown = rendering.rendered(called(samples.values(written.parent), NASTY))
    tags, literal = Tags(page.html(markdown, written)), " ".join(NASTY.split())
    assert tags.text.count(literal) == tags.text.count("alert(1)") > 20
    assert any(literal in attrs["alt"] for attrs in tags.of("img"))
    assert len(tags.of("img")) == 11 and len(tags.of("script")) == 1, "that of the page"
    links = {attrs["href"].split("/")[1] for attrs in tags.of("a") if attrs["href"][0] != "#"}
    assert links == {"sweep", "docs", "metrics", "plots", "benchmarks"}
    for table in re.findall(r"(?m)(?:^\|.*\n)+", markdown):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def covered(path: str, by: list) -> bool:
    """Whether a path is, or lies in, an entry of a stage's `deps` or `outs`."""
    names = (entry if isinstance(entry, str) else next(iter(entry)) for entry in by)
    return any(path == name or path.startswith(f"{name}/") for name in names)


def test_every_figure_names_its_data_and_the_command_that_plots_it(written):
    """The stage of the command has the picture among its outputs and the data among its inputs."""
    text = (written / "index.md").read_text()
    line = r"(?m)^!\[[^\]]+\]\(\.\./(.+)\)\n\*Figure.*\*\nData: (.*?)\. To plot it again: `(.+)`\.$"
    figures = re.findall(line, text)
    assert len(figures) == 11
    for picture, data, command in figures:
        paths = re.findall(r"`([^`]+)`", data)
        if command.startswith("make sweep"):
            assert picture == "sweep/sweep.png" and paths == ["sweep/sweep.json"]
            continue
        stage, _, key = command.removeprefix("dvc repro -s -f ").partition("@")
        declared = json.dumps(STAGES[stage].get("do", STAGES[stage])).replace("${key}", key)
        assert covered(picture, json.loads(declared)["outs"]), command
        assert any(covered(path, json.loads(declared)["deps"]) for path in paths), command


@pytest.mark.parametrize("trainings", [1, 3])
def test_the_slider_names_its_training_and_shows_class_names_as_they_are(written, trainings):
    scores = files.read_json(written.parent / f"data/results/{SUBJECT}/scores.json")
    scores |= {"classes": ["healthy", NASTY], "trainings": trainings}
    predictions = files.read_csv(written.parent / f"data/results/{SUBJECT}/predictions.csv")
    tags = Tags(threshold.panel(SUBJECT, scores, predictions))
    named = f"training {scores['representative'] + 1} of 3, the one with the median validation loss"
    assert (named in tags.text) == (trainings == 3) and "n = 80 test images" in tags.text
    assert tags.text.count(NASTY) == 3
    assert len(tags.of("script")) == 2 and not tags.of("a", "img")


def test_ids_are_those_of_github():
    assert page.slug("9. Does it help, or `not`?") == "9-does-it-help-or-not"


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_keeps_every_pixel(tmp_path, mode):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, len(mode)), dtype=np.uint8)
    Image.fromarray(values, mode).save(tmp_path / "picture.png")
    uri, width, height = page.data_uri(tmp_path / "picture.png")
    kind, _, text = uri.partition(";base64,")
    read = Image.open(io.BytesIO(base64.b64decode(text)))
    assert (kind, width, height) == ("data:image/webp", 40, 30)
    assert (np.asarray(read) == values).all()


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
    assert at.run(decoded) == [1100] * 11
    requested = {event["request"]["url"] for event in at.sent("Network.requestWillBeSent")}
    outside = {url for url in requested if not url.startswith("data:")}
    assert outside == {(written / "index.html").as_uri()}
    assert not at.sent("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


@pytest.mark.parametrize("width", [320, PHONE, 768, DESKTOP])
def test_nothing_scrolls_sideways(chromium, written, width):
    """Neither the page nor, on a phone and on a desktop, any table within it."""
    chromium.size(width)
    chromium.open(written / "index.html")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    wider = """[...document.querySelectorAll("main *")].filter(e => e.scrollWidth > e.clientWidth
        && getComputedStyle(e).overflowX != "visible").map(e => e.innerText.slice(0, 80))"""
    assert width == 768 or chromium.run(wider) == []


def test_cells_have_the_name_of_their_column_on_a_phone(at):
    """The last column of the sweep's table, of eight, is in sight at either width."""
    find = """[...document.querySelectorAll("td[data-label='test accuracy']")].map(cell =>
        [cell.getBoundingClientRect().left, cell.getBoundingClientRect().right,
         getComputedStyle(cell, "::before").content])"""
    cells, width = at.run(find), at.run("innerWidth")
    assert len(cells) == 4 and all(0 <= left < right <= width for left, right, _ in cells)
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


def test_without_scripts_there_is_no_slider_and_the_menu_still_opens(chromium, written):
    chromium.size(PHONE)
    chromium.scripts(False)
    chromium.open(written / "index.html")
    assert not shown(chromium, ".threshold")
    chromium.click(".menu summary")
    assert shown(chromium, ".menu a[href^='#9-']")
    assert chromium.run("document.documentElement.scrollWidth") <= PHONE, "tables scroll"
    chromium.scripts(True)


def test_the_page_prints_on_more_than_one_sheet_and_loses_nothing_to_the_right(at):
    pages = re.findall(rb"/Type\s*/Page\b", at.pdf())
    assert 5 < len(pages) < 40
    at.call("Emulation.setEmulatedMedia", media="print")
    assert at.run("document.querySelector('.threshold').clientHeight") == 0
    at.size(680)  # pixels between the margins of A4
    overflow = at.run("document.documentElement.scrollWidth")
    at.call("Emulation.setEmulatedMedia", media="")
    assert overflow <= 680
