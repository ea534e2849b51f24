"""The report: does it say what the figures say, and does its page open anywhere?"""

import base64
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import browser
import jinja2
import numpy as np
import pytest
from PIL import Image

from chestflow.core import tables
from chestflow.network import model
from chestflow.parameters import reading, schema
from chestflow.report import answers, page, rendering
from stages import report, train
from stages.configure import configure, settings_of

ROOT = Path(__file__).parents[1]
PARAMS = reading.params(ROOT / "params.yaml")
SUBJECT = "pneumonia"
RUNS = {run: settings_of(PARAMS, run, SUBJECT) for run in PARAMS.runs}
VOID = {"meta", "link", "img", "br", "hr"}
CHROMIUM = pytest.mark.skipif(not browser.PROGRAM, reason="no Chromium on this machine")


# ------------------------------------------------------------------------------------ the inputs


@dataclass(frozen=True)
class Inputs:
    """Copies of the last run's metrics and plots that a test may change, and the report of them."""

    folder: Path

    def edit(self, name: str, change: Callable[[dict], object]) -> None:
        path = self.folder / name
        values = tables.read_json(path)
        change(values)
        tables.write_json(path, values)

    def written(self, comparison: schema.Comparison = PARAMS.comparison) -> "Written":
        out = self.folder / "report"
        report.report(
            self.folder / "data/settings/all.json",
            self.folder / "metrics",
            self.folder / "models",
            self.folder / "data/results",
            self.folder / "sweep/sweep.json",
            self.folder / "sweep/sweep.png",
            self.folder / "plots",
            out / "index.md",
            out / "index.html",
            comparison=comparison,
            efficiency=PARAMS.efficiency,
            evaluation=PARAMS.evaluation,
            gradcam=PARAMS.gradcam,
        )
        return Written(out / "index.md", out / "index.html")


@dataclass(frozen=True)
class Written:
    markdown: Path
    html: Path

    @property
    def text(self) -> str:
        """The Markdown with its line breaks as spaces, as a reader sees it."""
        return " ".join(self.markdown.read_text().split())

    def section(self, number: int) -> str:
        """What stands below the heading of a question."""
        return re.search(rf"##+ {number}\. (.*?)(?= ##+ |$)", self.text)[1]


@pytest.fixture
def inputs(tmp_path) -> Inputs:
    """With pictures of one grey, which take no time: these tests read."""
    inputs = prepare(tmp_path)
    for picture in tmp_path.rglob("*.png"):
        Image.new("RGB", (8, 8), "grey").save(picture)
    return inputs


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Written:
    """The report of phantoms, to be looked at and not to be changed."""
    return prepare(tmp_path_factory.mktemp("report")).written()


def prepare(folder: Path) -> Inputs:
    """The committed results, all of them called phantoms; what is not in Git is made up."""
    for name in ("metrics", "plots"):
        shutil.copytree(ROOT / name, folder / name)
    configure(SUBJECT, ROOT / "params.yaml", ROOT / "datasets.yaml", folder / "data/settings")
    for run in PARAMS.runs:
        tables.write_csv(folder / f"models/{run}/history.csv", history(run))
    tables.write_csv(
        folder / "data/results" / SUBJECT / "predictions.csv", predictions(HITS, FALSE_ALARMS)
    )
    shape = schema.Training(**RUNS[SUBJECT]).architecture
    train.describe(model.Classifier(**shape), 28, folder / "models" / SUBJECT)
    tables.write_json(folder / "sweep/sweep.json", sweep())
    shutil.copy(ROOT / "plots/overview/scores.png", folder / "sweep/sweep.png")
    inputs = Inputs(folder)
    of_phantoms(inputs)
    return inputs


HITS, FALSE_ALARMS = (
    (7, 3),
    (2, 8),
)  # of diseased images: found, missed; of healthy ones: raised, not


def history(run: str) -> list[dict]:
    """Three epochs of each phase of a training, the last but one of which is the best."""
    phases = {"headfirst": 2, "gradual": 4}.get(RUNS[run]["strategy"], 1)
    aurocs, losses = (0.8, 0.95, 0.9), (0.5, 0.3, 0.4)
    return [
        {"phase": phase, "epoch": 3 * (phase - 1) + i, "val_loss": loss, "val_auroc": auroc}
        | {"improved": int(i < 3)}
        for phase in range(1, phases + 1)
        for i, (auroc, loss) in enumerate(zip(aurocs, losses), start=1)
    ]


def predictions(diseased: tuple[int, int], healthy: tuple[int, int]) -> list[dict]:
    """Test images by what they are and what they are called."""
    counts = {(1, 1): diseased[0], (1, 0): diseased[1], (0, 1): healthy[0], (0, 0): healthy[1]}
    pairs = [pair for pair, n in counts.items() for _ in range(n)]
    return [
        {"image": i, "actual": actual, "predicted": said, "probability": 0.25 + said / 2}
        for i, (actual, said) in enumerate(pairs)
    ]


def sweep() -> dict:
    """A made-up sweep of two configurations; the chosen one leads."""
    rows = [
        {"name": name, "changes": changes, "parameters": 18218, "val_auroc": val, "val_loss": 0.08}
        | {"auroc": test, "accuracy": 0.9}
        | {"ci95": {"auroc": [test - 0.01, test + 0.01], "accuracy": [0.88, 0.92]}}
        for name, changes, val, test in (
            ("wide", {"width": 4321}, 0.996, 0.98),
            ("plain", {"schedule": "constant", "lr": 0.001}, 0.992, 0.96),
        )
    ]
    seeds = [
        {"name": row["name"], "seeds": [0, 1], "val_loss": [0.08, 0.09], "accuracy": [0.9, 0.91]}
        | {score: [row[score], row[score] + 0.001] for score in ("val_auroc", "auroc")}
        for row in rows
    ]
    lead = {"run": "wide", "against": "plain"}
    lead |= {"auroc": {"difference": 0.02, "ci95": [0.01, 0.03]}}
    return {
        "data": "PneumoniaMNIST",
        "min_delta": 0.002,
        "chosen": "wide",
        "configurations": rows,
        "seeds": seeds,
        "differences": [lead],
    }


def files(inputs: Inputs) -> list[str]:
    found = (inputs.folder / "metrics").rglob("*.json")
    return [str(path.relative_to(inputs.folder)) for path in found]


def of_phantoms(inputs: Inputs) -> None:
    located = {
        "n_masks": 390,
        "chance": 0.1,
        "pointing_hits": 0.6,
        "mass_inside": 0.3,
    }
    located["ci95"] = {"pointing_hits": [0.55, 0.65], "mass_inside": [0.28, 0.32]}
    random = {"pointing_hits": [0.05, 0.0, 0.25], "mass_inside": [0.09, 0.01, 0.17]}
    for name in files(inputs):
        inputs.edit(name, lambda v: v.update(data=f"{title(v)} PHANTOM"))
        if "/gradcam/" in name:
            inputs.edit(name, lambda v: v.update(located) or v["random_weights"].update(random))


def of_patients(inputs: Inputs) -> None:
    for name in files(inputs):
        inputs.edit(name, lambda v: v.update(data=title(v)))
        if "/gradcam/" in name:
            inputs.edit(name, lambda v: [v.pop(key) for key in ("pointing_hits", "mass_inside")])


def title(values: dict) -> str:
    return "PneumoniaMNIST" if "Pneumonia" in values["data"] else "ChestMNIST"


# ------------------------------------------------------------------------------ what the text says


def test_a_changed_figure_changes_the_text(inputs):
    before = inputs.written().section(3)
    inputs.edit(
        f"metrics/runs/{SUBJECT}.json", lambda v: v.update(f1=0.1234567, accuracy=0.7654321)
    )
    after = inputs.written().section(3)
    assert "| 0.123 [" in after and "Accuracy 0.765 [" in after
    assert "0.123 [" not in before and "0.765 [" not in before


def test_the_template_holds_no_result():
    """No figure is written by hand: what looks like one is a border, chance or a command."""
    words = re.sub(r"\{[{%#].*?[%#}]\}", "", rendering.TEMPLATE.read_text())
    assert set(re.findall(r"\d*\.\d+", words)) <= {"0.5", "0.05", "0.003"}


def test_the_verdict_on_the_autoencoder_turns_with_its_interval(inputs):
    def set_to(difference: float, low: float, high: float, p: float):
        entry = {"difference": difference, "ci95": [low, high], "p_holm": p}

        def change(values: dict) -> None:
            for question in values["questions"]:
                if answers.kind(RUNS, question) == "autoencoder":
                    question["auroc"] = entry

        return change

    told = []
    for figures in (
        (0.05, 0.01, 0.09, 0.01),
        (0.05, 0.01, 0.09, 0.06),
        (0.05, -0.01, 0.11, 0.3),
        (-0.05, -0.09, -0.01, 0.01),
    ):
        inputs.edit("metrics/comparison.json", set_to(*figures))
        written = inputs.written()
        told.append(written.section(9).split("> ")[1][:20])
        assert written.text.count(told[-1]) >= 2  # at a glance and in its place
    assert told == [
        "Yes: difference of A",
        "Not shown; there is ",
        "No difference that 1",
        "No, it did harm: dif",
    ]


def test_published_figures_stand_beside_genuine_images_only(inputs):
    phantom = inputs.written()
    assert "ResNet-18" not in phantom.section(3) and "not set side by side" in phantom.section(3)
    assert "| ResNet-18 | 0.944 | higher |" in phantom.section(5)  # the sweep's are genuine
    inputs.edit("sweep/sweep.json", lambda v: v.update(data="PneumoniaMNIST PHANTOM"))
    assert "ResNet-18" not in inputs.written().text
    assert phantom.text.index("PHANTOM: synthetic images, no patients") < 100
    of_patients(inputs)
    inputs.edit("sweep/sweep.json", lambda v: v.update(data="PneumoniaMNIST"))
    genuine = inputs.written()
    assert "| ResNet-18 | 0.944 |" in genuine.section(3) and "ResNet" not in genuine.section(5)
    assert "not set side by side" not in genuine.text and "hantom" not in genuine.text.lower()
    inputs.edit(f"metrics/runs/{SUBJECT}.json", lambda v: v.update(data="My images"))
    inputs.edit("sweep/sweep.json", lambda v: v.update(data="My images"))
    own = inputs.written()
    assert "ResNet-18" not in own.text and "These images are My images" in own.section(3)


def test_maps_are_compared_with_the_truth_only_where_it_is_known(inputs):
    assert "of the maps have their maximum on it" in inputs.written().section(4)
    of_patients(inputs)
    told = inputs.written().section(4)
    assert "Where the findings lie is not known" in told and "Against the truth" not in told


def test_a_sweep_on_other_images_is_marked_as_such(inputs):
    assert "These are not the images of the run above" in inputs.written().section(5)
    inputs.edit("sweep/sweep.json", lambda v: v.update(data="PneumoniaMNIST PHANTOM"))
    told = inputs.written().section(5)
    assert "not the images" not in told
    assert f"width {PARAMS.width} instead of 4321" in told


def test_runs_that_are_not_declared_do_not_appear(inputs):
    """What the parameters no longer ask for leaves the page, and the rest stays."""
    keep = {SUBJECT: RUNS[SUBJECT]}
    inputs.edit("data/settings/all.json", lambda v: v.update(runs=keep, curves={}))
    inputs.edit("metrics/comparison.json", lambda v: v.update(questions=[], cka=[]))
    inputs.edit("metrics/efficiency.json", lambda v: v.update(curves=[]))
    written = inputs.written(schema.Comparison(questions=[], spaces={}))
    for run in PARAMS.runs.keys() - {SUBJECT}:
        assert f"`{run}`" not in written.text
    for question in (9, 10, 11, 12):
        assert answers.UNASKED in written.section(question)
    assert "18,218" in written.section(1)


def test_the_confusion_matrix_counts_the_predictions(inputs):
    told = inputs.written().section(3)
    assert "It misses 3 of 10 pneumonia images and raises 2 false alarms on 10 healthy ones" in told
    assert "| **is healthy** | 8 | 2 | 10 |" in told and "| **is pneumonia** | 3 | 7 | 10 |" in told


def test_the_epoch_kept_is_the_last_that_improved(inputs):
    text = inputs.written().text
    for run, settings in RUNS.items():
        row = re.search(rf"\| `{run}` \|[^\n]*?\| (\d+ of \d+) \|", text)
        assert row[1] == ("5 of 6" if settings["strategy"] == "headfirst" else "2 of 3")


def test_figures_that_are_not_defined_leave_the_page_standing(inputs):
    """Empty maps, one seed, no calibration: what small runs leave undefined."""
    inputs.edit(
        f"metrics/gradcam/{SUBJECT}.json",
        lambda v: v["random_weights"].update(rank_correlation=[None, None, None]),
    )
    inputs.edit(f"metrics/runs/{SUBJECT}.json", lambda v: v["further"].pop("mcc"))
    inputs.edit(
        "metrics/efficiency.json", lambda v: [r.update(sd=None, seeds=1) for r in v["curves"]]
    )
    inputs.edit("sweep/sweep.json", lambda v: v.update(differences=[]))
    assert "not defined" in inputs.written().section(4)


def test_calibration_stands_before_and_after_scaling_side_by_side(inputs):
    measured = {"calibration_error": [0.0432, 0.0876], "brier": [0.0711, 0.0822]}
    measured |= {"brier_difference": [0.0111, 0.0051, 0.0171], "val_log_loss": [0.3, 0.2]}

    def change(values: dict, used: bool) -> None:
        values["scaling"] = measured | {"used": used}

    inputs.edit(f"metrics/runs/{SUBJECT}.json", lambda v: change(v, True))
    told = inputs.written().section(6)
    row = "| used | 0.043 | 0.088 | 0.071 | 0.082 | +0.0111 [+0.0051, +0.0171] |"
    assert f"| `{SUBJECT}` {row}" in told and "squared calibration error is higher" in told
    shares = [f"{100 * share:.1f} %" for share in (389 / 524, 390 / 624)]
    assert "share of pneumonia in validation, {}, but in test it is {}".format(*shares) in told
    inputs.edit(f"metrics/runs/{SUBJECT}.json", lambda v: change(v, False))
    told = inputs.written().section(6)
    assert "It is not used here" in told and f"| `{SUBJECT}` | not used |" in told


def test_the_baseline_of_the_maps_is_a_range_of_many_networks(inputs):
    told = inputs.written().section(4)
    assert "20 networks with random weights: mean 5.0 %, 0.0 % to 25.0 %" in told
    assert "| 0.600 [0.550, 0.650] | 0.050 (0.000 to 0.250) |" in told
    inputs.edit(
        f"metrics/gradcam/{SUBJECT}.json",
        lambda v: v["random_weights"].update(pointing_hits=[0.05, 0.0, 0.61]),
    )
    assert inputs.written().section(4).count("They are not shown to find the finding") == 1


def test_a_name_that_the_template_does_not_know_is_an_error(tmp_path):
    template = tmp_path / "template"
    template.write_text("{{ reprot.auroc }}")
    assert rendering.rendered({"reprot": {"auroc": 0.9}}, template) == "0.9"
    with pytest.raises(jinja2.UndefinedError, match="reprot"):
        rendering.rendered({"report": {"auroc": 0.9}}, template)


def test_the_same_figures_give_the_same_bytes(inputs):
    first = [path.read_bytes() for path in vars(inputs.written()).values()]
    assert first == [path.read_bytes() for path in vars(inputs.written()).values()]


@pytest.mark.parametrize(
    ("run", "against", "kind"),
    [
        ("lowdata_autoencoder", "lowdata", "autoencoder"),
        ("frozen", "pneumonia", "transfer"),
        ("unfrozen", "frozen", "strategy"),
        ("chest", "lowdata", "other"),
    ],
)
def test_the_kind_of_a_question_follows_from_where_its_runs_start(run, against, kind):
    assert answers.kind(RUNS, {"run": run, "against": against}) == kind


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_the_table_of_parts_accounts_for_every_parameter(tmp_path, blocks):
    network = model.Classifier(5, blocks)
    train.describe(network, 28, tmp_path)
    layers = tables.read_json(tmp_path / "architecture.json")["layers"]
    parts = answers.parts(layers)
    assert sum(part["parameters"] for part in parts) == model.n_parameters(network)
    assert [part["kind"] for part in parts].count("ConvBlock") == blocks
    assert answers.last_grid(layers) == [28 // 2 ** (blocks - 1)] * 2


def test_the_stage_starts_without_the_heavy_libraries():
    heavy = "{'torch', 'sklearn', 'matplotlib', 'scipy'}"
    check = f"import stages.report, sys; print({heavy} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout == "set()\n", said.stderr


# ----------------------------------------------------------------------------------- the page


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
def tags(written) -> Tags:
    return Tags(written.html.read_text())


def test_the_page_is_self_contained(tags):
    loaded = [a.get("src") for a in tags.of("img", "script", "iframe", "source")]
    loaded += [a["href"] for a in tags.of("link")]
    assert loaded and all(source.startswith("data:") for source in loaded)
    assert not tags.of("script")
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
    assert len(ids) == len(set(ids)) == len(levels)
    inner = {a["href"][1:] for a in tags.of("a") if a["href"].startswith("#")}
    assert inner and inner <= set(ids)


def test_wide_tables_scroll_on_their_own(tags):
    tables_in = [parents for tag, _, parents in tags.found if tag == "table"]
    assert tables_in and all(parents[-1] == "div" for parents in tables_in)


def test_the_page_is_light(written):
    assert written.html.stat().st_size < 2_000_000


def test_the_markdown_finds_its_pictures_and_has_no_broken_tables(written):
    text = written.markdown.read_text()
    sources = re.findall(r"(?m)^!\[[^\]]+\]\((.+)\)$", text)
    assert len(sources) == 11
    for source in sources:
        assert source.startswith("../") and (written.markdown.parent / source).is_file()
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1, table
    assert not re.search(r"(?m)^\|.*\n[^|\n]", text)  # or what follows would become a row


def test_markup_in_a_title_is_escaped(tmp_path):
    html = page.html("# A <script>alert(1)</script>\n\n<b>no</b>", tmp_path)
    assert "<script" not in html and "<b>" not in html and "&lt;b&gt;no" in html


NASTY = r"""a|b `c` *d* _e_ **f <script>alert(1)</script> ![g](../plots/secret.png) [h](i)
{{ j }} {% k %} # $l$ &amp; \m \| ~~n~~ www"""


def test_a_title_is_shown_as_it_was_written(inputs):
    """Whatever datasets.yaml calls a data set and its positive class is text: no markup, no link,
    no other table, and no picture that the report has not chosen."""
    shutil.copy(inputs.folder / "sweep/sweep.png", inputs.folder / "plots/secret.png")
    for name in files(inputs):
        inputs.edit(name, lambda v: v.update(data=f"{NASTY} PHANTOM", classes=["healthy", NASTY]))
    inputs.edit("sweep/sweep.json", lambda v: v.update(data=NASTY))
    written = inputs.written()
    found, literal = Tags(written.html.read_text()), " ".join(NASTY.split())
    body = found.text[found.text.index("Part 1: Healthy or a|b") :]
    assert body.startswith(f"Part 1: Healthy or {literal}?")  # in the contents, and below
    assert found.text.count(literal) == found.text.count("alert(1)") > 20
    assert any(literal in attrs["alt"] for attrs in found.of("img"))
    assert len(found.of("img")) == 11 and not found.of("script", "del", "s")
    assert all(attrs["src"].startswith("data:image/webp") for attrs in found.of("img"))
    assert all(attrs["href"].startswith(("#", "https://doi.org/")) for attrs in found.of("a"))
    for table in re.findall(r"(?m)(?:^\|.*\n)+", written.markdown.read_text()):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


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
        opened.size(375)
        opened.open(written.html)
        yield opened


@CHROMIUM
def test_every_picture_appears(chromium):
    decoded = """Promise.all([...document.images].map(async image => {
        await image.decode(); return image.naturalWidth}))"""
    widths = chromium.run(decoded)
    assert len(widths) == 11 and all(width > 0 for width in widths)


@CHROMIUM
def test_nothing_is_loaded_from_the_network_and_no_error_is_logged(chromium, written):
    asked = {event["request"]["url"] for event in chromium.sent("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {written.html.as_uri()}
    assert not chromium.sent(
        "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"
    )


@CHROMIUM
@pytest.mark.parametrize("width", [375, 768, 1280])
def test_the_page_is_as_wide_as_the_screen(chromium, width):
    chromium.size(width)
    assert chromium.run("document.documentElement.scrollWidth") <= width
    if width == 375:  # though tables are wider than that
        widest = "Math.max(...[...document.querySelectorAll('table')].map(t => t.scrollWidth))"
        assert chromium.run(widest) > width


@CHROMIUM
def test_a_link_of_the_answers_at_a_glance_leads_to_its_question(chromium):
    chromium.run("document.querySelector('td a[href^=\"#9-\"]').click()")
    place = "document.querySelector('h3[id^=\"9-\"]').getBoundingClientRect().top"
    assert 0 <= chromium.run(place) < 100


@CHROMIUM
def test_the_page_prints_on_more_than_one_sheet_and_loses_nothing_to_the_right(chromium):
    pages = re.findall(rb"/Type\s*/Page\b", chromium.pdf())
    assert 5 < len(pages) < 40
    chromium.call("Emulation.setEmulatedMedia", media="print")
    chromium.size(680)  # pixels between the margins of A4
    overflow = chromium.run("document.documentElement.scrollWidth")
    chromium.call("Emulation.setEmulatedMedia", media="")
    assert overflow <= 680
