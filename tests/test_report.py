"""The report: do its words follow from its figures? Its page: test_page.py."""

import copy
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jinja2
import numpy as np
import pytest
import samples
from samples import SUBJECT

from chestflow import files
from chestflow.formatting import MINUS
from chestflow.models import cnn
from chestflow.report import context, published, rendering, verdicts
from stages import train

ROOT = Path(__file__).parents[1]
HIGHER, LOWER, UNKNOWN = verdicts.HIGHER, verdicts.LOWER, verdicts.UNKNOWN
TINY = 1e-6


# --------------------------------------------------------------------------------- the three words


def around(value: float | None, low: float | None, high: float | None) -> verdicts.Estimate:
    return verdicts.Estimate(value, low, high, n=624, trainings=3)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.5 + TINY, 0.6, HIGHER),
        (0.5, 0.6, UNKNOWN),
        (0.4, 0.5, UNKNOWN),
        (0.4, 0.5 - TINY, LOWER),
        (0.5, 0.5, UNKNOWN),
        (None, None, UNKNOWN),
    ],
)
def test_an_estimate_is_beside_a_figure_only_with_its_whole_interval(low, high, word):
    assert verdicts.beside(around(0.5, low, high), 0.5) == word


def test_beside_what_is_not_defined_nothing_is_known():
    assert verdicts.beside(around(0.9, 0.8, 1.0), None) == UNKNOWN
    assert verdicts.beside(around(None, 0.8, 1.0), 0.5) == UNKNOWN


@pytest.mark.parametrize(("lead", "word"), [(0.05 + TINY, HIGHER), (0.05 - TINY, UNKNOWN)])
def test_independent_errors_add_up_as_the_sides_of_a_triangle(lead, word):
    """Of 0.03 and 0.04: intervals that overlap may differ. The sides that face away are ignored."""
    a, b = around(0.8, 0.77, 1.0), around(0.8 - lead, 0.0, 0.84 - lead)
    assert b.high > a.low
    assert verdicts.unpaired(a, b) == word
    assert verdicts.unpaired(b, a) == {HIGHER: LOWER}.get(word, word)


def test_estimates_without_an_interval_or_without_a_lead_are_not_told_apart():
    a = around(0.8, 0.8, 0.8)
    assert verdicts.unpaired(a, a) == UNKNOWN
    for gap in ({"value": None}, {"low": None}, {"high": None}):
        for pair in ((a, replace(a, **gap)), (replace(a, **gap), a)):
            assert verdicts.unpaired(*pair) == UNKNOWN


@pytest.mark.parametrize(
    ("difference", "p", "word"),
    [
        (0.01, 0.05 - TINY, HIGHER),
        (0.01, 0.05, UNKNOWN),
        (-0.01, 0.05 - TINY, LOWER),
        (-0.01, 0.05, UNKNOWN),
        (0.3, 1.0, UNKNOWN),
        (None, None, UNKNOWN),
    ],
)
def test_a_pair_is_judged_by_its_corrected_p_alone(difference, p, word):
    entry = {"difference": difference, "ci95": [0.001, 0.02], "p": 0.0001, "p_holm": p}
    assert verdicts.paired(entry) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (TINY, 1.0, HIGHER),
        (0.0, 1.0, UNKNOWN),
        (-1.0, 0.0, UNKNOWN),
        (-1.0, -TINY, LOWER),
        (None, None, UNKNOWN),
    ],
)
def test_a_difference_is_beside_zero_only_with_its_whole_interval(low, high, word):
    assert verdicts.beside_zero({"difference": 0.1, "ci95": [low, high]}) == word


def test_every_word_has_its_sentence_and_none_is_equal():
    assert set(verdicts.THAN) == {HIGHER, LOWER, UNKNOWN}
    assert verdicts.THAN[UNKNOWN] == "not distinguishable from"


# ------------------------------------------------------------------------------ what the text says


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[tuple[int, str], Path]:
    kinds = [(3, "phantom"), (1, "phantom"), (3, "images")]
    name = "trainings_{}_{}".format
    return {kind: samples.build(tmp_path_factory.mktemp(name(*kind)), *kind) for kind in kinds}


@pytest.fixture(scope="module")
def read(folders) -> dict[tuple[int, str], dict]:
    return {kind: samples.figures(folder) for kind, folder in folders.items()}


@pytest.fixture
def given(read) -> dict:
    """The figures of phantoms and three trainings, for a test to change."""
    return copy.deepcopy(read[3, "phantom"])


@pytest.fixture
def of_images(read) -> dict:
    return copy.deepcopy(read[3, "images"])


def text(given: dict) -> str:
    """The report with its line breaks as spaces, as a reader sees it."""
    return " ".join(rendering.rendered(given).split())


def sections(given: dict) -> dict[int, str]:
    """What stands below the heading of each question."""
    return {int(n): told for n, told in re.findall(r"##+ (\d+)\. (.*?)(?= ##+ |$)", text(given))}


def section(given: dict, number: int) -> str:
    return sections(given)[number]


def pairs(told: str) -> list[list[str]]:
    """The rows of question 11, cell by cell."""
    rows = re.findall(rf"\| (`\w+` {MINUS} `\w+` \|.*?\|) (?=\||!)", told)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


KINDS = [(3, "phantom"), (1, "phantom"), (3, "images")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pictures", [True, False])
def test_every_gap_is_filled_and_no_figure_is_raw(read, kind, pictures):
    told = rendering.rendered(read[kind] | {"pictures": pictures})
    assert not re.search(r"\{\{|\{%|\}\}|%\}|\bNone\b|\bnan\b|Undefined", told)
    prose = re.sub(r"`[^`]*`|\([^)]*doi[^)]*\)", "", told)  # settings are as the user wrote them
    assert not re.findall(r"\d\.\d{5,}", prose) and "0000" not in re.sub(r"MD5 `\w+`", "", prose)
    assert " ," not in told and " ." not in told and "\n\n\n" not in told


def test_the_text_says_how_often_a_run_is_trained(read):
    once, thrice = (text(read[k, "phantom"]) for k in (1, 3))
    assert "Each run is trained once: the intervals are about the test images alone" in once
    assert "(DeLong et al. 1988)" in once and "80 × 1 |" in once and "1 training cannot" in once
    for word in ("Obuchowski", "over trainings", " ± ", "3 times", "1 trainings"):
        assert word not in once.replace("were then trained 1 times", ""), word
    assert "Each run is trained 3 times" in thrice and "80 × 3 |" in thrice
    assert "other trainings and other test images (Obuchowski & Rockette 1995" in thrice
    assert "sd from the images alone" in thrice and " ± " in thrice and "DeLong" not in thrice


def test_maps_are_compared_with_the_truth_only_where_it_is_known(given, of_images):
    told = section(given, 4)
    assert "of the maps peaks on the true finding (chance 0.100)" in told
    assert "**The truth.**" in told and "hits | hits of random networks |" in told
    unknown = section(of_images, 4)
    assert "Where nobody marked the findings, a map can only be tested" in unknown
    for word in ("**The truth.**", "hits", "chance", "outline"):
        assert word not in unknown


@pytest.mark.parametrize(
    ("hits", "words"),
    [(0.2501, "above the range"), (0.25, "within"), (0.0, "within"), (-0.01, "below the range")],
)
def test_maps_are_set_beside_the_range_of_random_networks(given, hits, words):
    maps = given["maps"][SUBJECT]
    maps["pointing_hits"], maps["random_weights"]["pointing_hits"] = hits, [0.1, 0.0, 0.25]
    told = section(given, 4)
    assert f"which is {words}" in told
    assert "of 20 networks with random weights, 0.100 (0.000 to 0.250)" in told


def test_phantoms_are_named_before_anything_else(given, of_images):
    told, real = text(given), text(of_images)
    assert told.index("PHANTOM: synthetic images, no patients") < 100
    assert "Phantoms say nothing about patients." in section(given, 13)
    for word in ("PHANTOM", "synthetic", "say nothing about patients"):
        assert word not in real


def test_without_pictures_no_image_of_a_patient_is_shown(of_images):
    drawn, kept_back = (
        rendering.rendered(of_images | {"pictures": shown}) for shown in (True, False)
    )
    for name in ("gradcam.png", "reconstructions.png"):
        assert name in drawn and name not in kept_back
    for told, n in ((drawn, 11), (kept_back, 9)):
        numbers = re.findall(r"(?m)^\*Figure (\d+)\.", told)
        assert numbers == [str(i) for i in range(1, n + 1)]
        assert len(re.findall(r"(?m)^!\[", told)) == n


def test_published_figures_stand_beside_the_published_images_only(of_images):
    other = section(of_images, 3)
    assert "ResNet" not in other and "these images are other ones" in other
    count = of_images["counts"]["pneumoniamnist"]
    count["md5"] = published.MD5
    same = section(of_images, 3)
    assert "other ones" not in same and published.SOURCE in same
    of_images["scores"][SUBJECT] |= {"auroc": 0.965, "accuracy": 0.854}
    of_images["scores"][SUBJECT]["ci95"] |= {"auroc": [0.945, 0.985], "accuracy": [0.84, 0.87]}
    beside = section(of_images, 3)
    assert "| ResNet-18 | 0.944 | higher | 0.854 | not distinguishable |" in beside
    assert "| Google AutoML Vision | 0.991 | lower | 0.946 | lower |" in beside


def set_p(given: dict, difference: float, p: float | None) -> None:
    for entry in given["compared"]["questions"]:
        for key in ("auroc", "balanced_accuracy"):
            entry[key] |= {"difference": difference, "p_holm": p}
    for entry in given["sweep"]["differences"]:
        entry["auroc"] |= {"difference": difference, "p_holm": p}


@pytest.mark.parametrize(
    ("difference", "p", "word"),
    [(0.031, 0.0499, HIGHER), (-0.031, 0.0499, LOWER), (0.031, 0.05, UNKNOWN), (0, None, UNKNOWN)],
)
def test_verdicts_turn_with_the_corrected_p(given, difference, p, word):
    set_p(given, difference, p)
    told = sections(given)
    for number in (9, 11):
        assert re.match(rf".*? > In AUROC, `\w+` beside `\w+`: {word} \(", told[number])
    rows = pairs(told[11])
    assert [[cell for cell in row if cell in verdicts.THAN] for row in rows] == [[word] * 2] * 6
    assert f"In test AUROC it is {verdicts.THAN[word]} `plain`." in told[5]


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_told_apart_is_never_called_equal(read, kind):
    given = copy.deepcopy(read[kind])
    set_p(given, 0.0001, 1.0)
    told = re.sub(r"[*_`>]", "", text(given)).lower()
    for fixed in ("does not mean equal", "not distinguishable is not equal", "count as equal"):
        assert fixed in told
        told = told.replace(fixed, "")
    told = told.replace("of equal epochs", "")
    for word in ("equal", "identical", "as good as", "no difference", "just as", "does not differ"):
        assert word not in told, word


def test_questions_whose_settings_differ_get_no_verdict(given):
    """Neither at a glance nor in its place, however small the p-value."""
    set_p(given, 0.2, 0.0001)
    alike = text(given)
    for q in given["compared"]["questions"]:
        q["unlike"] = {"lr": [0.005, 0.01], "epochs": [16, 15]}
    told = sections(given)
    for number in (9, 11):
        answer = re.split(r" > | \*\*Frozen| \|", told[number])[1]
        assert "not comparable: they also differ in lr, epochs" in answer
        assert not re.search(r"higher|lower|distinguishable", answer)
    rows = pairs(told[11])
    assert [row.count("not comparable: lr, epochs") for row in rows] == [2] * 6
    assert not any(cell in verdicts.THAN for row in rows for cell in row)
    assert "only their first weights differ" in alike and "not comparable" not in alike
    assert "only their first weights differ" not in told[9]
    assert "`lowdata_autoencoder` and `lowdata` also differ in lr, epochs" in told[9]


def test_a_changed_figure_changes_the_text(given):
    before = section(given, 3)
    given["scores"][SUBJECT] |= {"f1": 0.1234567, "accuracy": 0.7654321}
    after = section(given, 3)
    assert "| 0.123 [" in after and "accuracy 0.765 [" in after
    assert "0.123 [" not in before and "0.765 [" not in before


def test_the_answer_stands_above_all_else_and_each_question_leads_to_the_next(given):
    told = text(given)
    short = f"reaches AUROC {given['scores'][SUBJECT]['auroc']:.3f} ["
    assert told.index(short) < told.index("## Answers at a glance") < told.index("## How to read")
    onward = {n: re.findall(r"\[Next question: (\d+)\.", s) for n, s in sections(given).items()}
    assert onward == {n: [str(n + 1)] for n in range(1, 13)} | {13: []}


def test_the_template_holds_no_result():
    """No figure is written by hand: what looks like one is chance, or a share of the method."""
    words = re.sub(r"\{[{%#].*?[%#}]\}", "", rendering.TEMPLATE.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"\d*\.\d+", words)) <= {"0.5"}


def test_template_page_and_words_stay_short():
    folder = rendering.TEMPLATE.parent
    files = [rendering.TEMPLATE, folder / "page.py", folder / "estimates.py"]
    assert sum(len(path.read_text().splitlines()) for path in files) <= 700


def test_a_sweep_on_other_images_is_marked_as_such(given):
    assert "not the images" not in section(given, 5)
    given["sweep"]["data"] = "PneumoniaMNIST"
    told = section(given, 5)
    assert "**These are not the images of the run above.**" in told
    assert "`width = 4321`" in told and "`lr = 0.001`" in told


@pytest.mark.parametrize("change, told", [(-0.03, True), (0.03, False)])
def test_a_choice_that_fails_on_test_is_told(given, change, told):
    for entry in given["sweep"]["differences"]:
        entry["auroc"] |= {"difference": change, "p_holm": 0.01}
    assert ("Validation's choice is not the best on test" in section(given, 5)) == told


def test_a_sweep_of_one_finalist_has_no_differences(given):
    given["sweep"]["finalists"], given["sweep"]["differences"] = given["sweep"]["finalists"][:1], []
    told = section(given, 5)
    assert "chosen on validation among 2. " in told and "In test AUROC it is" not in told


def test_runs_that_are_not_declared_do_not_appear(given):
    """What the parameters no longer ask for leaves the page, and the rest stays."""
    for key in ("runs", "scores", "separation", "maps", "kept", "ran"):
        given[key] = {SUBJECT: given[key][SUBJECT]}
    given["compared"] |= {"questions": [], "cka": [], "tests": 0}
    given["points"] = [p for p in given["points"] if p["run"] == SUBJECT]
    given["spaces"] = {}
    told = sections(given)
    for run in ("chest", "lowdata", "lowdata_autoencoder", "frozen", "headfirst"):
        assert not any(f"`{run}`" in section for section in told.values())
    for number in (9, 11, 12):
        assert "> No question of this run asks it." in told[number]
    assert "18,218" in told[1] and list(told) == list(range(1, 14))


def test_the_confusion_matrix_is_that_of_the_training_that_is_shown(given, folders):
    predictions = files.read_csv(folders[3, "phantom"] / f"data/results/{SUBJECT}/predictions.csv")
    counts = np.zeros((3, 2, 2), int)
    for k, actual, said in zip(*(predictions[c] for c in ("training", "actual", "predicted"))):
        counts[int(k), int(actual), int(said)] += 1
    assert len({str(matrix) for matrix in counts}) == 3, "or this shows nothing"
    for shown in (0, 2):
        given["confusion"] = context.confusion(predictions, shown)
        given["scores"][SUBJECT]["shown"] = shown
        (tn, fp), (fn, tp) = counts[shown]
        told = section(given, 3)
        assert f"({shown + 1} of 3)" in told
        assert f"| **is healthy** | {tn} | {fp} |" in told
        assert f"| **is pneumonia** | {fn} | {tp} |" in told


def test_the_epoch_kept_is_the_last_that_improved_in_each_training(given):
    assert given["kept"]["headfirst"] == [5, 5, 5] and given["ran"]["headfirst"] == [6, 6, 6]
    assert "| `lowdata` | 2, 2, 2 | 3, 3, 3 | 16 | 0.900 |" in section(given, 7)


def test_figures_that_are_not_defined_leave_the_page_standing(given):
    """Empty maps, no image called diseased, no positive prediction: what small runs leave."""
    maps = given["maps"][SUBJECT]
    maps["random_weights"]["rank_correlation"] = [None] * 3
    maps["perturbation"] = {"n": 1, "draws": 5}
    scores = given["scores"][SUBJECT]
    scores["precision"] = scores["sd"]["precision"] = None
    scores["ci95"] |= {"precision": [None, None], "recall": [None, None]}
    psnr = given["autoencoder"]["test"]["difference"]["psnr"]
    psnr["pca"]["ci95"] = [None, None]
    set_p(given, None, None)
    told = sections(given)
    assert "not defined" in told[3] and "not defined" in told[4]
    assert "is not distinguishable from specificity" in told[2]
    assert "is not distinguishable from PCA's" in told[8]
    for name in ("pointing_hits", "mass_inside", "n_masks", "chance"):
        del maps[name]
    assert "No image was called pneumonia, so no map could be tested." in section(given, 4)


def test_calibration_stands_before_and_after_scaling_side_by_side(given):
    scaling = given["scores"][SUBJECT]["scaling"]
    scaling["brier"] = {"as_trained": 0.0711, "scaled": 0.0822, "at_test_share": 0.0633}
    scaling["share"] = {"before": 0.742, "test": 0.625}
    scaling["brier_difference"]["scaled"] |= {"difference": 0.0111, "ci95": [0.0051, 0.0171]}
    row = "| 2 of 3 | 0.071 | 0.082 | +0.011 [+0.005, +0.017] | 74.2 % | 62.5 % | 0.063 |"
    assert f"| `{SUBJECT}` {row}" in section(given, 6)


def test_a_name_that_the_template_does_not_know_is_an_error(tmp_path, given):
    template = tmp_path / "template"
    template.write_text("{{ reprot.auroc }}")
    assert rendering.rendered({"reprot": {"auroc": 0.9}, "spaces": {}}, template) == "0.9"
    with pytest.raises(jinja2.UndefinedError, match="reprot"):
        rendering.rendered({"report": {"auroc": 0.9}, "spaces": {}}, template)
    del given["scores"][SUBJECT]["auprc"]
    with pytest.raises(KeyError):
        rendering.rendered(given)


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_the_table_of_parts_accounts_for_every_parameter(tmp_path, blocks):
    network = cnn.Classifier(5, blocks)
    train.describe(network, 28, tmp_path)
    parts = context.parts(files.read_json(tmp_path / "architecture.json")["layers"])
    assert sum(part["parameters"] for part in parts) == cnn.n_parameters(network)
    assert [part["kind"] for part in parts].count("ConvBlock") == blocks


def test_the_stage_starts_without_the_heavy_libraries():
    heavy = "{'torch', 'sklearn', 'matplotlib', 'scipy'}"
    check = f"import stages.report, sys; print({heavy} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout == "set()\n", said.stderr
