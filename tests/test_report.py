"""The report: do its words follow from its numbers? Its page: test_page.py."""

import copy
import re

import pytest
import samples
from samples import SUBJECT

from chestflow import files, formatting
from chestflow.formatting import MINUS
from chestflow.models import cnn
from chestflow.report import context, published, rendering, verdicts
from stages import train

HIGHER, LOWER, UNKNOWN = verdicts.HIGHER, verdicts.LOWER, verdicts.UNKNOWN
EQUAL = verdicts.EQUAL
TINY = 1e-6


# ---------------------------------------------------------------------------------- the four words


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (TINY, 0.5, HIGHER),
        (0.0, 0.5, UNKNOWN),
        (-0.5, -TINY, LOWER),
        (-0.01 + TINY, 0.01 - TINY, EQUAL),
        (0.002, 0.004, EQUAL),  # not 0, but too small to matter
        (-0.004, -0.002, EQUAL),
        (-0.01, 0.0, UNKNOWN),
        (0.001, 0.01, HIGHER),
        (None, None, UNKNOWN),
    ],
)
def test_a_pair_is_judged_by_its_corrected_interval(low, high, word):
    entry = {"difference": 0.1, "ci95": [0.2, 0.3], "p_holm": 0.5, "ci95_holm": [low, high]}
    assert verdicts.paired(entry) == word


GIVEN_AWAY, HIDDEN = [0.62, 0.51, 0.7], [0.62, 0.5, 0.7]  # AUROC of the border, on validation


@pytest.mark.parametrize(
    ("zoomed", "ring", "verdict"),
    [
        (3.0, GIVEN_AWAY, verdicts.USED),
        (-3.0, GIVEN_AWAY, verdicts.USED),  # whichever class is mistaken for the other
        (3.0, HIDDEN, verdicts.REACTS),
        (0.0, HIDDEN, verdicts.NO_SIGN),
        (0.0, GIVEN_AWAY, verdicts.NO_SIGN),
    ],
)
def test_a_shortcut_is_a_cue_that_is_there_and_that_the_run_follows(zoomed, ring, verdict):
    audit = samples.audit(1.5, 3, seed=0, zoomed=zoomed)
    audit["ring"]["val"] = ring
    assert verdicts.framing(audit) == verdict


def test_what_zooming_costs_both_classes_is_no_shortcut():
    lower = {"difference": -0.05, "ci95": [-0.08, -0.02]}
    test = {"difference": dict.fromkeys(("all", "healthy", "diseased"), lower)}
    test["asymmetry"] = {"difference": 0.01, "ci95": [-0.01, 0.03]}
    assert verdicts.framing({"test": test, "ring": {"val": GIVEN_AWAY}}) == verdicts.NO_SIGN


# ------------------------------------------------------------------------------ what the page says

KINDS = [(3, "phantom"), (1, "phantom"), (3, "images")]


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> dict[tuple[int, str], dict]:
    folders = {kind: samples.build(tmp_path_factory.mktemp(kind[1]), *kind) for kind in KINDS}
    return {kind: samples.values(folder) for kind, folder in folders.items()}


@pytest.fixture
def values(read) -> dict:
    """The results on phantoms with three trainings, for a test to change."""
    return copy.deepcopy(read[3, "phantom"])


@pytest.fixture
def of_images(read) -> dict:
    return copy.deepcopy(read[3, "images"])


def sections(values: dict) -> dict[int, str]:
    """What stands below the heading of each question."""
    text = rendering.rendered(values)
    return {int(n): body for n, body in re.findall(r"(?ms)^##+ (\d+)\. (.*?)(?=^##+ |\Z)", text)}


def answer(section: str) -> str:
    return re.findall(r"(?m)^> (.+)$", section)[0]


def verdict_cells(section: str) -> list[str]:
    """The last cells of its comparisons of runs."""
    return re.findall(rf"(?m)^\| `\w+` {MINUS} `\w+` \|.*\| (.+) \|$", section)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pictures", [True, False])
def test_every_gap_is_filled_and_every_question_is_answered(read, kind, pictures):
    given = read[kind] | {"pictures": pictures}
    report = rendering.rendered(given)
    assert not re.search(r"\{\{|\{%|\}\}|%\}|\bNone\b|\bnan\b|Undefined|\b1 trainings", report)
    prose = re.sub(r"`[^`]*`|\([^)]*doi[^)]*\)", "", report)  # settings are as the user wrote them
    assert not re.findall(r"\d\.\d{5,}", prose)
    assert not re.search(r" [,.]( |$)|\n\n\n", report)
    answers = {n: answer(section) for n, section in sections(given).items()}
    assert list(answers) == list(range(1, 15))
    assert all(f"| {one} |" in report for one in answers.values()), "at a glance as well"
    assert ("PHANTOM" in report.split("\n## ")[0]) == (kind[1] == "phantom")
    images = [name in report for name in ("gradcam.png", "reconstructions.png")]
    assert images == [pictures] * 2, "no image of a patient in what is published"
    assert (" ± " in report) == (kind[0] > 1)


def test_the_summary_names_the_lowest_of_the_four_framings(values):
    audit = values["framing"][SUBJECT]["test"]
    audit["auroc"]["diseased"], audit["ci95"]["diseased"] = 0.612, [0.601, 0.623]
    summary = rendering.rendered(values).split("\n## ")[0]
    assert formatting.scored(values["scores"][SUBJECT], "auroc") in summary
    assert "0.612 [0.601, 0.623]" in summary


def test_a_truth_that_is_not_known_is_not_used(values, of_images):
    assert "hits" in sections(values)[4] and "hits" not in sections(of_images)[4]


@pytest.mark.parametrize(("layercam", "gradcam"), [(1, -1), (1, 1), (-1, 1), (-1, -1)])
def test_maps_are_said_to_show_the_finding_only_if_they_beat_the_pixel(values, layercam, gradcam):
    found = values["maps"][SUBJECT]["hits"]["methods"]
    for name, sign in {"layercam": layercam, "gradcam": gradcam}.items():
        found[name]["difference"]["ci95"] = [sign * TINY, 0.2]
    claim = answer(sections(values)[4]).split(".")[0]
    assert claim.startswith("Neither") == (layercam == gradcam == -1)
    if not claim.startswith("Neither"):
        assert [name in claim for name in ("LayerCAM", "GradCAM")] == [layercam > 0, gradcam > 0]


def test_published_scores_stand_beside_the_published_images_only(of_images):
    assert "ResNet" not in sections(of_images)[3]
    of_images["counts"]["pneumoniamnist"]["md5"] = published.MD5
    of_images["scores"][SUBJECT]["ci95"] |= {"auroc": [0.945, 0.985], "accuracy": [0.84, 0.87]}
    section = sections(of_images)[3]
    assert published.SOURCE in section
    assert f"| ResNet-18 | 0.944 | {HIGHER} | 0.854 | {UNKNOWN} |" in section
    assert f"| Google AutoML Vision | 0.991 | {LOWER} | 0.946 | {LOWER} |" in section


def set_interval(values: dict, low: float | None, high: float | None) -> None:
    middle = None if low is None else (low + high) / 2
    for entry in values["compared"]["primary"]:
        entry |= {"difference": middle, "ci95_holm": [low, high]}


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.011, 0.051, HIGHER),
        (-0.051, -0.011, LOWER),
        (-0.002, 0.002, EQUAL),
        (-0.011, 0.051, UNKNOWN),
    ],
)
def test_verdicts_turn_with_the_interval(values, low, high, word):
    set_interval(values, low, high)
    numbered = sections(values)
    pretraining, transfer = (answer(numbered[n]) for n in (10, 12))
    assert pretraining.startswith(verdicts.HELPS[word]) and verdicts.HELPS[word] in transfer
    assert all(verdicts.THAN[word] in one for one in (pretraining, transfer))
    assert ("docs/experiments.md#does-an-autoencoder" in pretraining) == (word != HIGHER)
    assert transfer.startswith("Train everything rather") == (word == HIGHER)
    assert transfer.startswith("Train the head rather") == (word == LOWER)
    assert verdict_cells(numbered[12]) == [word] * 2 + ["not tested"] * 4


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)])
def test_a_frozen_encoder_is_judged_beside_an_untrained_one_and_the_pixels(values, low, high):
    """Above chance, as each of them is, says nothing about what it has learnt."""
    for baseline in values["separation"]["frozen"]["baselines"].values():
        baseline["difference"] |= {"ci95": [low, high]}
    said = answer(sections(values)[11])
    assert said.count(verdicts.THAN[verdicts.by_interval([low, high])]) >= 2
    assert ("Nothing shows" in said) == (low < 0)


@pytest.mark.parametrize(("lead", "chosen"), [(0.0, "default"), (2.0, "wide"), (-0.6, "default")])
def test_the_default_is_the_choice_unless_another_is_shown_to_be_better(values, lead, chosen):
    values["sweep"] = samples.swept(samples.about_of("pneumoniamnist", "images"), lead)
    section = sections(values)[6]
    assert f"| **`{chosen}`** |" in section and f"`{chosen}`" in answer(section)


def test_a_default_that_is_the_best_has_no_rivals(values):
    values["sweep"] |= {"rivals": {}, "finalists": values["sweep"]["finalists"][:1]}
    assert "`default`" in answer(sections(values)[6])


def test_questions_whose_settings_differ_get_no_verdict(values):
    """Neither at a glance nor in their place, however far from 0 the interval."""
    set_interval(values, 0.2, 0.3)
    for question in values["compared"]["primary"] + values["compared"]["further"]:
        question["config_difference"] = {"lr": [0.005, 0.01], "steps": [160, 150]}
    numbered = sections(values)
    for number in (10, 12):
        said = answer(numbered[number])
        assert "`lr`, `steps`" in said and verdicts.THAN[HIGHER] not in said
    assert all(cell.endswith(": `lr`, `steps`") for cell in verdict_cells(numbered[12])[:2])


def test_a_comparison_of_other_settings_stands_beside_how_weights_are_chosen(values):
    """Such as early stopping against averaged weights, with the same start and strategy."""
    runs = values["runs"]
    topics = {(q["run"], q["against"]): q["topic"] for q in values["compared"]["further"]}
    assert topics["early_stopping", "lowdata"] == "settings"
    assert context.topic({"run": "unfrozen", "against": "pneumonia"}, runs) == "transfer"
    assert verdict_cells(sections(values)[8]) == ["not tested; they differ in `keep`"]


def test_a_training_far_below_the_others_is_named(values):
    values["scores"][SUBJECT] |= {"far_below": [2]}
    values["scores"][SUBJECT]["each"]["auroc"][2] = 0.7321
    said = rendering.rendered(values)
    assert f"Training 3 of `{SUBJECT}`" in said and "0.732" in said


def test_class_weights_are_judged_by_the_sweeps_configuration_without_them(values):
    default = values["sweep"]["configurations"][0]
    changes = {"name": "unweighted", "changes": {"class_weights": False}, "recall": 0.999}
    assert "0.999" not in sections(values)[2]
    values["sweep"]["configurations"].append(default | changes)
    section = sections(values)[2]
    assert "0.999 instead of" in answer(section)
    assert all(
        f"| `{name}` | {use} |" in section
        for name, use in (("default", "yes"), ("unweighted", "no"))
    )


def test_runs_that_are_not_declared_do_not_appear(values):
    """What the parameters no longer ask for leaves the page, and the rest stays."""
    for key in ("runs", "scores", "separation", "maps", "framing", "kept", "ran"):
        values[key] = {SUBJECT: values[key][SUBJECT]}
    values["compared"] |= {"primary": [], "further": [], "cka": []}
    values["points"] = [p for p in values["points"] if p["run"] == SUBJECT]
    values["spaces"] = {}
    numbered = sections(values)
    assert list(numbered) == list(range(1, 15))
    for run in ("chest", "lowdata", "lowdata_autoencoder", "frozen", "headfirst"):
        assert not any(f"`{run}`" in section for section in numbered.values())


def test_numbers_that_are_not_defined_leave_the_page_standing(values):
    """Empty maps, no image called diseased, a collapsed network: what small runs leave."""
    del values["maps"][SUBJECT]["insertion"]
    scores = values["scores"][SUBJECT]
    scores["precision"] = scores["sd"]["precision"] = None
    scores["ci95"]["precision"] = [None, None]
    values["separation"]["frozen"] |= {"silhouette": None}
    values["autoencoder"]["test"]["difference"]["psnr"]["pca"]["ci95"] = [None, None]
    set_interval(values, None, None)
    numbered = sections(values)
    assert [numbered[n].count("not defined") for n in (3, 4, 13)] == [1, 2, 1]
    for one in values["maps"].values():
        del one["hits"]
    assert answer(sections(values)[4])


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_the_table_of_parts_accounts_for_every_parameter(tmp_path, blocks):
    network = cnn.Classifier(5, blocks)
    train.describe(network, 28, 0, tmp_path)
    parts = context.parts(files.read_json(tmp_path / "architecture.json")["layers"])
    assert sum(part["parameters"] for part in parts) == cnn.n_parameters(network)
    assert [part["kind"] for part in parts].count("ConvBlock") == blocks
