"""The report: do its words follow from its numbers? Its page: test_page.py."""

import copy
import re
import subprocess
import sys
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
def test_an_estimate_is_beside_a_number_only_with_its_whole_interval(low, high, word):
    entry = {"difference": 0.1, "ci95": [low, high]}
    assert verdicts.of_difference(entry) == word
    assert verdicts.against({"ci95": {"auroc": [low, high]}}, "auroc", 0.0) == word
    assert verdicts.against({"ci95": {"auroc": [low, high]}}, "auroc", None) == UNKNOWN


@pytest.mark.parametrize(
    ("lead", "word"), [(0.05 + TINY, HIGHER), (0.05 - TINY, UNKNOWN), (0.0, UNKNOWN)]
)
def test_independent_errors_add_up_as_the_sides_of_a_triangle(lead, word):
    """Of 0.03 and 0.04: intervals that overlap may differ. The sides that face away are ignored."""
    report = {"a": 0.8, "b": 0.8 - lead}
    report["ci95"] = {"a": [0.77, 1.0], "b": [0.0, 0.84 - lead]}
    assert verdicts.between(report, "a", "b") == word
    assert verdicts.between(report, "b", "a") == {HIGHER: LOWER}.get(word, word)
    report["ci95"]["a"] = [None, None]
    assert verdicts.between(report, "a", "b") == UNKNOWN


@pytest.mark.parametrize(
    ("difference", "p", "word"),
    [
        (0.01, 0.05 - TINY, HIGHER),
        (0.01, 0.05, UNKNOWN),
        (-0.01, 0.05 - TINY, LOWER),
        (-0.01, 0.05, UNKNOWN),
        (None, None, UNKNOWN),
    ],
)
def test_a_pair_is_judged_by_its_corrected_p_alone(difference, p, word):
    entry = {"difference": difference, "ci95": [0.001, 0.02], "p": 0.0001, "p_holm": p}
    assert verdicts.paired(entry) == word


# ------------------------------------------------------------------------------ what the text says

KINDS = [(3, "phantom"), (1, "phantom"), (3, "images")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[tuple[int, str], Path]:
    return {kind: samples.build(tmp_path_factory.mktemp(kind[1]), *kind) for kind in KINDS}


@pytest.fixture(scope="module")
def read(folders) -> dict[tuple[int, str], dict]:
    return {kind: samples.values(folder) for kind, folder in folders.items()}


@pytest.fixture
def values(read) -> dict:
    """The results on phantoms with three trainings, for a test to change."""
    return copy.deepcopy(read[3, "phantom"])


@pytest.fixture
def of_images(read) -> dict:
    return copy.deepcopy(read[3, "images"])


def text(values: dict) -> str:
    """The report with its line breaks as spaces, as a reader sees it."""
    return " ".join(rendering.rendered(values).split())


def sections(values: dict) -> dict[int, str]:
    """What stands below the heading of each question."""
    return {int(n): body for n, body in re.findall(r"##+ (\d+)\. (.*?)(?= ##+ |$)", text(values))}


def comparisons(section: str) -> list[list[str]]:
    """The rows of question 11, cell by cell."""
    rows = re.findall(rf"\| (`\w+` {MINUS} `\w+` \|.*?\|) (?=\||!)", section)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pictures", [True, False])
def test_every_gap_is_filled_and_every_question_is_answered(read, kind, pictures):
    given = read[kind] | {"pictures": pictures}
    report = rendering.rendered(given)
    assert not re.search(r"\{\{|\{%|\}\}|%\}|\bNone\b|\bnan\b|Undefined", report)
    prose = re.sub(r"`[^`]*`|\([^)]*doi[^)]*\)", "", report)  # settings are as the user wrote them
    assert not re.findall(r"\d\.\d{5,}", prose)
    assert " ," not in report and " ." not in report and "\n\n\n" not in report
    onward = {n: re.findall(r"\[Next question: (\d+)\.", s) for n, s in sections(given).items()}
    assert onward == {n: [str(n + 1)] for n in range(1, 13)} | {13: []}
    answers = re.findall(r"(?m)^> (.+)$", report)
    assert all(f"| {answer} |" in report for answer in answers[-13:])
    images = [name in report for name in ("gradcam.png", "reconstructions.png")]
    assert images == [pictures] * 2, "no image of a patient in what is published"


def test_the_text_says_how_often_a_run_is_trained(read):
    once, thrice = (text(read[k, "phantom"]) for k in (1, 3))
    assert "Each run is trained once" in once and "(DeLong et al. 1988)" in once
    assert "80 × 1 |" in once and "1 training cannot" in once
    for word in ("Obuchowski", "over trainings", " ± ", "1 trainings"):
        assert word not in once, word
    assert "Each run is trained 3 times" in thrice and "80 × 3 |" in thrice
    assert "Obuchowski" in thrice and " ± " in thrice and "DeLong" not in thrice


def test_phantoms_are_named_first_and_their_truth_is_used(values, of_images):
    phantoms, real = text(values), text(of_images)
    assert phantoms.index("PHANTOM: synthetic images, no patients") < 100
    assert "Results on synthetic images say nothing about patients." in sections(values)[13]
    assert "LayerCAM maps point to the finding more often" in sections(values)[4]
    assert "LayerCAM maps mark what the network uses" in sections(of_images)[4]
    assert "Nobody outlined the findings" in sections(of_images)[4]
    for word in ("PHANTOM", "synthetic", "hits", "outline is"):
        assert word not in real.split("5. Which configuration is best?")[0], word


@pytest.mark.parametrize(
    ("layercam", "gradcam", "words"),
    [
        (TINY, -TINY, "LayerCAM maps"),
        (TINY, TINY, "LayerCAM maps and GradCAM maps"),
        (0.0, TINY, "GradCAM maps"),
        (0.0, -TINY, "Neither LayerCAM nor GradCAM maps"),
    ],
)
def test_maps_show_the_finding_only_if_they_beat_the_pixel(values, layercam, gradcam, words):
    found = values["maps"][SUBJECT]["hits"]["methods"]
    for name, low in {"layercam": layercam, "gradcam": gradcam}.items():
        found[name]["difference"]["ci95"] = [low, 0.2]
    assert re.search(f"> {words} point to the finding more often than", sections(values)[4])


def test_published_scores_stand_beside_the_published_images_only(of_images):
    assert "ResNet" not in sections(of_images)[3]
    of_images["counts"]["pneumoniamnist"]["md5"] = published.MD5
    of_images["scores"][SUBJECT] |= {"auroc": 0.965, "accuracy": 0.854}
    of_images["scores"][SUBJECT]["ci95"] |= {"auroc": [0.945, 0.985], "accuracy": [0.84, 0.87]}
    section = sections(of_images)[3]
    assert published.SOURCE in section
    assert "| ResNet-18 | 0.944 | higher | 0.854 | not distinguishable |" in section
    assert "| Google AutoML Vision | 0.991 | lower | 0.946 | lower |" in section


def set_p(values: dict, difference: float | None, p: float | None) -> None:
    entries = [
        q[key] for q in values["compared"]["questions"] for key in ("auroc", "balanced_accuracy")
    ]
    for entry in entries + [d["auroc"] for d in values["sweep"]["differences"]]:
        entry |= {"difference": difference, "p_holm": p}


@pytest.mark.parametrize(
    ("difference", "p", "word"),
    [(0.031, 0.0499, HIGHER), (-0.031, 0.0499, LOWER), (0.031, 0.05, UNKNOWN), (0, None, UNKNOWN)],
)
def test_verdicts_turn_with_the_corrected_p(values, difference, p, word):
    set_p(values, difference, p)
    numbered = sections(values)
    for number in (9, 11):
        assert re.match(rf".*? > In AUROC, `\w+` vs. `\w+`: {word} \(", numbered[number])
    rows = comparisons(numbered[11])
    assert [[cell for cell in row if cell in verdicts.THAN] for row in rows] == [[word] * 2] * 6
    assert f"In test AUROC it is {verdicts.THAN[word]} `width-16`" in numbered[5]
    assert ("chosen on validation is not the best on test" in numbered[5]) == (word == LOWER)


def test_questions_whose_settings_differ_get_no_verdict(values):
    """Neither at a glance nor in its place, however small the p-value."""
    set_p(values, 0.2, 0.0001)
    assert "differ only in their initial weights" in sections(values)[9]
    for question in values["compared"]["questions"]:
        question["config_difference"] = {"lr": [0.005, 0.01], "epochs": [16, 15]}
    numbered = sections(values)
    for number in (9, 11):
        answer = re.split(r" > | \*\*Frozen| \|", numbered[number])[1]
        assert "not comparable, since they also differ in lr, epochs" in answer
        assert not re.search(r"higher|lower|distinguishable", answer)
    rows = comparisons(numbered[11])
    assert [row.count("not comparable: lr, epochs") for row in rows] == [2] * 6
    assert not any(cell in verdicts.THAN for row in rows for cell in row)
    assert "differ only in their initial weights" not in numbered[9]


def test_the_template_holds_no_result():
    """No number is written by hand: what looks like one is chance, or a constant of the method."""
    words = re.sub(r"\{[{%#].*?[%#}]\}", "", rendering.TEMPLATE.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"\d*\.\d+", words)) <= {"0.5"}


def test_a_sweep_on_other_images_is_marked_as_such(values):
    warning = "**These are not the images of the run above.**"
    assert warning in sections(values)[5], "the sweep in the repository is on real images"
    values["sweep"] |= {"data": values["scores"][SUBJECT]["data"], "differences": []}
    section = sections(values)[5]
    assert warning not in section and "In test AUROC it is" not in section


def test_runs_that_are_not_declared_do_not_appear(values):
    """What the parameters no longer ask for leaves the page, and the rest stays."""
    for key in ("runs", "scores", "separation", "maps", "kept", "ran"):
        values[key] = {SUBJECT: values[key][SUBJECT]}
    values["compared"] |= {"questions": [], "cka": [], "tests": 0}
    values["points"] = [p for p in values["points"] if p["run"] == SUBJECT]
    values["spaces"] = {}
    numbered = sections(values)
    for run in ("chest", "lowdata", "lowdata_autoencoder", "frozen", "headfirst"):
        assert not any(f"`{run}`" in section for section in numbered.values())
    for number in (9, 11, 12):
        assert "> Not tested:" in numbered[number]
    assert list(numbered) == list(range(1, 14))


def test_the_frozen_run_trains_its_head_alone(values):
    assert "only the head is trained: 66 of 18,218 parameters." in sections(values)[10]
    assert re.search(r"\| `frozen` \|[^\n]*\| the head \| 66 \|", rendering.rendered(values))


def test_the_confusion_matrix_is_that_of_the_representative_training(values, folders):
    predictions = files.read_csv(folders[3, "phantom"] / f"data/results/{SUBJECT}/predictions.csv")
    counts = np.zeros((3, 2, 2), int)
    for k, actual, called in zip(*(predictions[c] for c in ("training", "actual", "predicted"))):
        counts[int(k), int(actual), int(called)] += 1
    assert len({str(matrix) for matrix in counts}) == 3, "or this shows nothing"
    for k in (0, 2):
        values["confusion"] = context.confusion(predictions, k)
        values["scores"][SUBJECT]["representative"] = k
        (tn, fp), (fn, tp) = counts[k]
        section = sections(values)[3]
        assert f"training {k + 1} of 3" in section
        assert f"| **is healthy** | {tn} | {fp} |" in section
        assert f"| **is pneumonia** | {fn} | {tp} |" in section


def test_numbers_that_are_not_defined_leave_the_page_standing(values):
    """Empty maps, no image called diseased, a collapsed network: what small runs leave."""
    maps = values["maps"][SUBJECT]
    del maps["insertion"]
    scores = values["scores"][SUBJECT]
    scores["precision"] = scores["sd"]["precision"] = None
    scores["ci95"] |= {"precision": [None, None], "recall": [None, None]}
    values["separation"]["frozen"] |= {"silhouette": None}
    values["autoencoder"]["test"]["difference"]["psnr"]["pca"]["ci95"] = [None, None]
    set_p(values, None, None)
    numbered = sections(values)
    assert "| precision |" in numbered[3] and "| not defined | 0.625 |" in numbered[3]
    assert numbered[4].count("not defined") == 2 and "`frozen` | not defined" in numbered[12]
    assert "is not distinguishable from specificity" in numbered[2]
    assert "is not distinguishable from PCA" in numbered[8]
    for one in values["maps"].values():
        del one["hits"]
    assert "No image was classified as pneumonia" in sections(values)[4]


def test_a_name_that_is_missing_is_an_error(values, tmp_path):
    template = tmp_path / "template"
    template.write_text("{{ reprot.auroc }}")
    assert rendering.rendered({"reprot": {"auroc": 0.9}}, template) == "0.9"
    with pytest.raises(jinja2.UndefinedError, match="reprot"):
        rendering.rendered({"report": {"auroc": 0.9}}, template)


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_the_table_of_parts_accounts_for_every_parameter(tmp_path, blocks):
    network = cnn.Classifier(5, blocks)
    train.describe(network, 28, 0, tmp_path)
    parts = context.parts(files.read_json(tmp_path / "architecture.json")["layers"])
    assert sum(part["parameters"] for part in parts) == cnn.n_parameters(network)
    assert [part["kind"] for part in parts].count("ConvBlock") == blocks


def test_the_stage_starts_without_the_heavy_libraries():
    heavy = "{'torch', 'sklearn', 'matplotlib', 'scipy'}"
    check = f"import stages.report, sys; print({heavy} & sys.modules.keys())"
    command = [sys.executable, "-c", check]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "set()\n"
