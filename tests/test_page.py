"""The report's page: does it open on a phone as on a desktop, and does its slider count?"""

import base64
import io
import json
import re
import shutil
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import browser
import numpy as np
import pytest
import samples
import yaml
from dvc.cli.parser import get_main_parser
from PIL import Image
from samples import SUBJECT

from chestflow import files
from chestflow.config import reading as parameters
from chestflow.report import page, rendering, threshold
from stages import report

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
VOID = {"meta", "link", "img", "br", "hr", "input"}
CHROMIUM = pytest.mark.skipif(not browser.PROGRAM, reason="no Chromium on this machine")
PHONE, DESKTOP = 390, 1280


class Tags(HTMLParser):
    """All tags of a page with their attributes, and that each is closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found, self.opened, self.text = [], [], ""
        self.feed(html)
        assert not self.opened

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), list(self.opened)))
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, *names: str) -> list[dict]:
        return [attrs for tag, attrs, _ in self.found if tag in names]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder of the page that stage `report` writes, with pictures as wide as real ones."""
    folder = samples.build(tmp_path_factory.mktemp("page"), pictures=(1100, 550))
    shutil.copy(ROOT / "sweep/sweep.json", folder / "sweep/sweep.json")  # its rows are wider
    return write(folder)


def write(folder: Path) -> Path:
    params = parameters.params(folder / "params.yaml")
    names = ["data/settings/all.json", "metrics", "models", "data/results", "sweep/sweep.json"]
    names += ["sweep/sweep.png", "plots", "report/index.md", "report/index.html"]
    places = (folder / name for name in names)
    report.report(*places, comparison=params.comparison, gradcam=params.gradcam)
    return folder / "report"


def test_the_stage_writes_what_the_template_says_and_the_same_bytes_again(written):
    markdown = (written / "index.md").read_bytes()
    assert markdown.decode() == rendering.rendered(samples.figures(written.parent))
    html = (written / "index.html").read_bytes()
    write(written.parent)
    assert (written / "index.md").read_bytes() == markdown
    assert (written / "index.html").read_bytes() == html


@pytest.fixture(scope="module")
def tags(written) -> Tags:
    return Tags((written / "index.html").read_text())


def test_the_page_is_self_contained(tags):
    loaded = [a["src"] for a in tags.of("img", "script", "iframe", "source") if "src" in a]
    loaded += [a["href"] for a in tags.of("link")]
    assert loaded and all(source.startswith("data:") for source in loaded)
    assert tags.of("html")[0]["lang"] == "en"
    assert "width=device-width" in [a.get("content", "").split(",")[0] for a in tags.of("meta")]


def test_every_picture_is_described(tags):
    pictures = tags.of("img")
    assert len(pictures) == 11 and all(len(a["alt"]) > 20 for a in pictures)
    inside = [parents for tag, _, parents in tags.found if tag in ("img", "figcaption")]
    assert all("figure" in parents for parents in inside)


def test_headings_are_an_outline_and_every_link_arrives(tags):
    levels = [int(tag[1]) for tag, _, _ in tags.found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs, _ in tags.found if "id" in attrs]
    assert len(ids) == len(set(ids)) and all("id" in a for a in tags.of("h1", "h2", "h3", "h4"))
    inner = {a["href"][1:] for a in tags.of("a") if a["href"].startswith("#")}
    assert inner and inner <= set(ids)


def test_wide_tables_scroll_on_their_own(tags):
    tables_in = [parents for tag, _, parents in tags.found if tag == "table"]
    assert tables_in and all(parents[-1] == "div" for parents in tables_in)


def test_the_markdown_finds_its_pictures_and_has_no_broken_tables(written):
    text = (written / "index.md").read_text()
    sources = re.findall(r"(?m)^!\[[^\]]+\]\((.+)\)$", text)
    assert len(sources) == 11
    for source in sources:
        assert source.startswith("../") and (written / source).is_file()
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1, table
    assert not re.search(r"(?m)^\|.*\n[^|\n]", text)  # or what follows would become a row


def test_markup_in_a_title_is_escaped(tmp_path):
    html = page.html("# A <script>alert(1)</script>\n\n<b>no</b>", tmp_path)
    assert "<script>alert" not in html and "<b>" not in html and "&lt;b&gt;no" in html


NASTY = r"""a|b `c` *d* _e_ **f <script>alert(1)</script> ![g](../plots/secret.png) [h](i)
{{ j }} {% k %} # $l$ &amp; \m \| ~~n~~ www"""


def called(given, title: str, positive: str):
    """The same figures of data sets with this title and this positive class."""
    if isinstance(given, dict):
        new = {"data": f"{title} PHANTOM", "classes": ["healthy", positive]}
        return {k: new.get(k) or called(v, title, positive) for k, v in given.items()}
    return [called(v, title, positive) for v in given] if isinstance(given, list) else given


def test_a_title_is_shown_as_it_was_written(written):
    """Whatever datasets.yaml calls a data set and its positive class is text: no markup, no link,
    no other table, and no picture that the report has not chosen."""
    Image.new("RGB", (8, 8)).save(written.parent / "plots/secret.png")
    nasty = called(samples.figures(written.parent), NASTY, NASTY)
    nasty["sweep"]["data"] = NASTY
    markdown = rendering.rendered(nasty)
    found, literal = Tags(page.html(markdown, written)), " ".join(NASTY.split())
    body = found.text[found.text.index("Part 1: Healthy or a|b") :]
    assert body.startswith(f"Part 1: Healthy or {literal}?")  # in the contents, and below
    assert found.text.count(literal) == found.text.count("alert(1)") > 20
    assert any(literal in attrs["alt"] for attrs in found.of("img"))
    assert len(found.of("img")) == 11 and not found.of("del", "s")
    assert len(found.of("script")) == 1, "that of the menu"
    assert all(attrs["src"].startswith("data:image/webp") for attrs in found.of("img"))
    links = {attrs["href"].split("/")[1] for attrs in found.of("a") if attrs["href"][0] != "#"}
    assert links == {"sweep", "docs", "metrics", "plots"}
    for table in re.findall(r"(?m)(?:^\|.*\n)+", markdown):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


# ------------------------------------------------------- where a figure comes from, and the counts


def covered(path: str, by: list) -> bool:
    """Whether a path is, or lies in, an entry of a stage's `deps` or `outs`."""
    names = (entry if isinstance(entry, str) else next(iter(entry)) for entry in by)
    return any(path == name or path.startswith(f"{name}/") for name in names)


def test_every_figure_names_its_data_and_the_command_that_draws_it(written):
    """The stage of the command has the picture among its outputs and the data among its inputs."""
    text = (written / "index.md").read_text()
    found = re.findall(
        r"(?m)^!\[[^\]]+\]\(\.\./(.+)\)\n\*Figure.*\*\nData: (.*?)\. To draw it again: `(.+)`\.$",
        text,
    )
    assert len(found) == 11
    for picture, data, command in found:
        paths = re.findall(r"`([^`]+)`", data)
        assert re.search(r"\]\(\.\./", data), "a link to what is in Git"
        for path in paths:
            assert path.startswith(("data/", "models/")) or (ROOT / path).exists(), path
        if command == "make sweep SOURCE=medmnist":
            assert picture == "sweep/sweep.png" and paths == ["sweep/sweep.json"]
            continue
        options = get_main_parser().parse_args(command.split()[1:])
        assert options.single_item and options.force
        stage, _, key = options.targets[0].partition("@")
        declared = json.loads(
            json.dumps(STAGES[stage].get("do", STAGES[stage])).replace("${key}", key)
        )
        assert covered(picture, declared["outs"]), command
        assert any(covered(path, declared["deps"]) for path in paths), command


def test_images_are_counted_at_every_threshold_as_by_their_probabilities():
    rng = np.random.default_rng(0)
    probability = np.r_[rng.random(500).round(6), 0, 1, 0.5, 0.499999, 0.349524, 0.349523, 0.35]
    actual = rng.integers(0, 2, len(probability))
    columns = {"actual": actual.tolist(), "probability": probability.tolist()}
    counts = threshold.counted(columns, 0.349524)
    assert len(counts["thresholds"]) == 1002 and {0, 0.5, 0.349524, 1} <= set(counts["thresholds"])
    for i, cut in enumerate(counts["thresholds"]):
        for label, name in enumerate(("healthy", "diseased")):
            assert sum(counts[name][i:]) == ((probability >= cut) & (actual == label)).sum(), cut
    assert len(threshold.counted(columns, 0.5)["thresholds"]) == 1001


def test_the_slider_shows_class_names_as_they_were_written(written):
    scores = files.read_json(written.parent / f"metrics/runs/{SUBJECT}.json")
    scores["classes"] = ["healthy", NASTY]
    predicted = files.read_csv(written.parent / f"data/results/{SUBJECT}/predictions.csv")
    found = Tags(threshold.panel(SUBJECT, scores, predicted))
    assert found.text.count(NASTY) == 3
    assert len(found.of("script")) == 2 and not found.of("a", "img")


@pytest.mark.parametrize("trainings", [1, 3])
def test_the_slider_says_which_training_it_counts(written, trainings):
    scores = files.read_json(written.parent / f"metrics/runs/{SUBJECT}.json")
    predicted = files.read_csv(written.parent / f"data/results/{SUBJECT}/predictions.csv")
    found = Tags(threshold.panel(SUBJECT, scores | {"trainings": trainings}, predicted)).text
    named = f"training {scores['shown'] + 1} of 3, the one with the median validation loss"
    assert (named in found) == (trainings == 3) and "n = 80 test images" in found


@pytest.mark.parametrize("source", ["../../secret.png", "a/../../../secret.png", "/etc/x.png"])
def test_no_picture_from_elsewhere_gets_into_the_page(tmp_path, source):
    report = tmp_path / "results/report"
    report.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    with pytest.raises(ValueError, match="is not in"):
        page.html(f"![a secret]({source})", report)


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
def chromium(tmp_path_factory, written) -> browser.Page:
    if not browser.PROGRAM:
        pytest.skip("no Chromium on this machine")
    with browser.chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.size(PHONE)
        opened.open(written / "index.html")
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


@CHROMIUM
def test_every_picture_appears(chromium):
    decoded = """Promise.all([...document.images].map(async image => {
        await image.decode(); return image.naturalWidth}))"""
    widths = chromium.run(decoded)
    assert len(widths) == 11 and all(width > 0 for width in widths)


@CHROMIUM
def test_nothing_is_loaded_from_the_network_and_no_error_is_logged(chromium, written):
    asked = {event["request"]["url"] for event in chromium.sent("Network.requestWillBeSent")}
    outside = {url for url in asked if not url.startswith("data:")}
    assert outside == {(written / "index.html").as_uri()}
    assert not chromium.sent(
        "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"
    )


@CHROMIUM
@pytest.mark.parametrize("width", [320, PHONE, 768, DESKTOP])
def test_nothing_scrolls_sideways(chromium, written, width):
    """Neither the page nor, on a phone and on a desktop, any table within it."""
    chromium.size(width)
    chromium.open(written / "index.html")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    wider = """[...document.querySelectorAll("main *")].filter(e => e.scrollWidth > e.clientWidth
        && getComputedStyle(e).overflowX != "visible").map(e => e.innerText.slice(0, 80))"""
    assert width == 768 or chromium.run(wider) == []


@CHROMIUM
def test_the_sweeps_table_shows_test_accuracy(at):
    find = """[...document.querySelectorAll("td[data-label='test accuracy']")]
        .map(cell => cell.getBoundingClientRect()).map(box => [box.left, box.right, innerWidth])"""
    cells = at.run(find)
    assert len(cells) == 2 and all(0 <= left < right <= width for left, right, width in cells)


@CHROMIUM
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


@CHROMIUM
def test_a_figure_fills_the_text_and_opens_at_its_full_size(at):
    width_of = "document.querySelector('#figure-3 img').width"
    text = at.run("document.querySelector('#figure-3').clientWidth")
    assert at.run(width_of) == min(text, 1100)
    for _ in range(2):
        at.click("#figure-3 img")
        assert at.run(width_of) == 1100 and shown(at, "#figure-3 .close")
        at.click("#figure-3 .close")
        assert at.run(width_of) == min(text, 1100) and not shown(at, "#figure-3 .close")
        assert shown(at, "#figure-3 img")


def predicted(written: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Labels and probabilities of the training that is shown, and the metrics of its run."""
    table = files.read_csv(written.parent / f"data/results/{SUBJECT}/predictions.csv")
    scores = files.read_json(written.parent / f"metrics/runs/{SUBJECT}.json")
    one = np.array(table["training"]) == scores["shown"]
    return np.array(table["actual"])[one], np.array(table["probability"])[one], scores


def counted(labels: np.ndarray, called: np.ndarray) -> dict:
    """What the slider is to show."""
    (tn, fp), (fn, tp) = (
        [int(((labels == actual) & (called == said)).sum()) for said in (0, 1)] for actual in (0, 1)
    )
    shares = {
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
        "accuracy": (tp + tn, len(labels)),
    }
    found = {"tn": str(tn), "fp": str(fp), "fn": str(fn), "tp": str(tp)}
    for name, (part, whole) in shares.items():
        third = Decimal(part / max(whole, 1)).quantize(Decimal("0.001"), ROUND_HALF_UP)
        found[name] = f"{third} ({part} of {whole})" if whole else "not defined"
    return found


def told(opened: browser.Page) -> dict[str, str]:
    """What the slider shows, by its names."""
    return opened.run("""Object.fromEntries([...document.querySelectorAll("[data-shows]")]
        .map(e => [e.dataset.shows, e.textContent]))""")


@CHROMIUM
def test_the_slider_moves_the_counts(at, written):
    labels, probability, scores = predicted(written)
    chosen = scores["at_val_threshold"]["threshold"]
    half, validation = ".threshold button:first-child", ".threshold button:last-child"
    assert told(at) == {"threshold": "0.500", **counted(labels, probability >= 0.5)}
    at.click(validation)
    assert told(at) == {"threshold": f"{chosen:.3f}", **counted(labels, probability >= chosen)}
    at.click(half)
    at.run("document.querySelector('.threshold input').focus()")
    for _ in range(120):
        at.press("ArrowRight")
    assert told(at) == {"threshold": "0.620", **counted(labels, probability >= 0.62)}
    at.press("Home")
    assert told(at) == {"threshold": "0.000", **counted(labels, probability >= 0)}
    at.press("End")
    assert told(at) == {"threshold": "1.000", **counted(labels, probability >= 1)}


@CHROMIUM
def test_the_slider_at_one_half_says_what_the_report_says(at, written):
    scores = predicted(written)[2]
    said = told(at)
    for name in ("recall", "specificity", "precision", "accuracy"):
        assert float(said[name].split()[0]) == pytest.approx(
            scores["each"][name][scores["shown"]], abs=5.1e-4
        )
    text = (written / "index.md").read_text()
    assert f"| **is healthy** | {said['tn']} | {said['fp']} |" in text
    assert f"| **is pneumonia** | {said['fn']} | {said['tp']} |" in text


@CHROMIUM
def test_without_scripts_there_is_no_slider_and_the_menu_still_opens(chromium, written):
    chromium.size(PHONE)
    chromium.scripts(False)
    chromium.open(written / "index.html")
    assert not shown(chromium, ".threshold")
    assert "Move the threshold" not in chromium.run("document.body.innerText")
    chromium.click(".menu summary")
    assert shown(chromium, ".menu a[href^='#9-']")
    chromium.scripts(True)
    chromium.open(written / "index.html")
    assert "Move the threshold" in chromium.run("document.body.innerText")


@CHROMIUM
def test_a_link_of_the_answers_at_a_glance_leads_to_its_question(chromium):
    chromium.size(DESKTOP)
    chromium.run("document.querySelector('td a[href^=\"#9-\"]').click()")
    place = "document.querySelector('h3[id^=\"9-\"]').getBoundingClientRect().top"
    assert 0 <= chromium.run(place) < 100


@CHROMIUM
def test_the_page_prints_on_more_than_one_sheet_and_loses_nothing_to_the_right(chromium):
    pages = re.findall(rb"/Type\s*/Page\b", chromium.pdf())
    assert 5 < len(pages) < 40
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.run("document.querySelector('.threshold').clientHeight") == 0
    chromium.size(680)  # pixels between the margins of A4
    overflow = chromium.run("document.documentElement.scrollWidth")
    chromium.call("Emulation.setEmulatedMedia", media="")
    assert overflow <= 680
