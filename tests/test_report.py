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

from chestflow import files, formatting
from chestflow.formatting import MINUS
from chestflow.models import cnn
from chestflow.report import context, published, rendering, verdicts
from stages import train

ROOT = Path(__file__).parents[1]
HIGHER, LOWER, UNKNOWN = verdicts.HIGHER, verdicts.LOWER, verdicts.UNKNOWN
EQUAL = verdicts.EQUAL
TINY = 1e-6


# ---------------------------------------------------------------------------------- the four words


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
def test_a_pair_is_judged_by_the_interval_that_is_printed(low, high, word):
    entry = {"difference": 0.1, "ci95": [0.2, 0.3], "p_holm": 0.5, "ci95_holm": [low, high]}
    assert verdicts.paired(entry) == word
    assert verdicts.paired({"difference": 0.1, "ci95": [low, high]}) == word
    if low is not None:
        assert formatting.interval([low, high], write=formatting.signed) in formatting.change(entry)


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


def comparisons(values: dict) -> list[list[str]]:
    """The rows of question 12, cell by cell."""
    section = rendering.rendered(values).split("### 12. ")[1].split("### 13. ")[0]
    rows = re.findall(rf"(?m)^\| (`\w+` {MINUS} `\w+` \|.*) \|$", section)
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
    assert onward == {n: [str(n + 1)] for n in range(1, 14)} | {14: []}
    answers = re.findall(r"(?m)^> (.+)$", report)
    assert all(f"| {answer} |" in report for answer in answers[-14:])
    images = [name in report for name in ("gradcam.png", "reconstructions.png")]
    assert images == [pictures] * 2, "no image of a patient in what is published"


def test_the_text_says_how_often_a_run_is_trained(read):
    once, thrice = (text(read[k, "phantom"]) for k in (1, 3))
    assert "Each run is trained once" in once and "(DeLong et al. 1988)" in once
    assert "80 × 1 |" in once and "and 1 training cannot" in once
    for word in ("Obuchowski", "over trainings", " ± ", "1 trainings"):
        assert word not in once, word
    assert "Each run is trained 3 times" in thrice and "80 × 3 |" in thrice
    assert "Obuchowski" in thrice and " ± " in thrice and "DeLong" not in thrice


def test_phantoms_are_named_first_and_their_truth_is_used(values, of_images):
    phantoms, real = text(values), text(of_images)
    assert phantoms.index("PHANTOM: synthetic images, no patients") < 100
    assert "Results on synthetic images say nothing about patients." in sections(values)[14]
    assert "LayerCAM maps point to the finding more often" in sections(values)[4]
    assert "LayerCAM maps mark what the network uses" in sections(of_images)[4]
    assert "Nobody outlined the findings" in sections(of_images)[4]
    for word in ("PHANTOM", "synthetic", "hits", "outline is"):
        assert word not in real.split("6. Which configuration is best?")[0], word


@pytest.mark.parametrize(
    ("zoomed", "ring", "verdict", "words"),
    [
        (
            3.0,
            [0.62, 0.51, 0.7],
            verdicts.USED,
            "and it uses that as a shortcut. Zooming the healthy",
        ),
        (-3.0, [0.62, 0.51, 0.7], verdicts.USED, "as a shortcut. Zooming the diseased test images"),
        (
            3.0,
            [0.62, 0.5, 0.7],
            verdicts.REACTS,
            "no shortcut was found: the outermost pixels do not",
        ),
        (0.0, [0.5, 0.44, 0.58], verdicts.NO_SIGN, "how the image is framed. Zooming"),
        (
            0.0,
            [0.62, 0.51, 0.7],
            verdicts.NO_SIGN,
            ", although the outermost pixels give the class",
        ),
    ],
)
def test_a_shortcut_is_a_cue_that_is_there_and_that_the_run_follows(
    values, zoomed, ring, verdict, words
):
    """Whichever class is mistaken for the other when it is zoomed."""
    audit = samples.audit(1.5, 3, seed=0, zoomed=zoomed)
    audit["ring"]["val"] = ring
    assert verdicts.framing(audit) == verdict
    values["framing"][SUBJECT] |= files.rounded(audit)
    section = sections(values)[5]
    assert words in section and re.search(rf"\| `{SUBJECT}` \|[^`]*\| {verdict} \|", section)


def test_what_zooming_costs_both_classes_is_no_shortcut():
    lower = {"difference": -0.05, "ci95": [-0.08, -0.02]}
    test = {"difference": dict.fromkeys(("all", "healthy", "diseased"), lower)}
    test["asymmetry"] = {"difference": 0.01, "ci95": [-0.01, 0.03]}
    ring = {"val": [0.62, 0.51, 0.7]}
    assert verdicts.framing({"test": test, "ring": ring}) == verdicts.NO_SIGN


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


def set_interval(values: dict, low: float | None, high: float | None) -> None:
    middle = None if low is None else (low + high) / 2
    for entry in values["compared"]["primary"]:
        entry |= {"difference": middle, "ci95_holm": [low, high]}


VERDICTS = [
    ((0.011, 0.051), HIGHER, "Yes", "Train everything rather than the head"),
    ((-0.051, -0.011), LOWER, "No, it harms", "Train the head rather than everything"),
    (
        (-0.002, 0.002),
        EQUAL,
        "No, it makes no difference",
        "Train everything or the head, it makes no",
    ),
    ((-0.011, 0.051), UNKNOWN, "It cannot be told", "Whether to train everything or the head"),
    ((None, None), UNKNOWN, "It cannot be told", "Whether to train everything or the head"),
]


@pytest.mark.parametrize(("interval", "word", "helps", "advice"), VERDICTS)
def test_verdicts_turn_with_the_interval(values, interval, word, helps, advice):
    set_interval(values, *interval)
    numbered = sections(values)
    assert f" > {helps}" in numbered[10]
    assert f"that is {word}" not in numbered[10]
    than = f"is {verdicts.THAN[word]} that of `lowdata`"
    assert f"with 300 labelled images, the AUROC of `lowdata_autoencoder` {than}" in numbered[10]
    assert f" > {advice}" in numbered[12] and f"Does transfer help? {helps}" in numbered[12]
    rows = comparisons(values)
    assert [row[-1] for row in rows] == [word] * 2 + ["not tested"] * 4


def set_bounds(entry: dict, low: float | None, high: float | None) -> None:
    entry |= {"difference": low, "ci95": [low, high]}


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "Better than"), (-0.2, -0.1, "Worse than"), (-0.1, 0.1, "Not distinguishable")],
)
def test_a_network_is_judged_beside_the_pixels(values, low, high, words):
    set_bounds(values["scores"][SUBJECT]["pixels"]["difference"]["auroc"], low, high)
    assert re.search(f"> {words}( from)? logistic regression on the pixels", sections(values)[3])


@pytest.mark.parametrize(
    ("random", "pixels", "words"),
    [
        ((0.1, 0.2), (0.1, 0.2), "so what it has learnt elsewhere is of use here"),
        ((0.1, 0.2), (-0.2, -0.1), "so it has learnt something of use here, but not more than"),
        ((-0.1, 0.1), (0.1, 0.2), "so nothing shows that it has learnt anything of use here"),
        ((-0.2, -0.1), (-0.2, -0.1), "so nothing shows that it has learnt anything of use here"),
    ],
)
def test_a_frozen_encoder_is_judged_beside_an_untrained_one_and_the_pixels(
    values, random, pixels, words
):
    """Above chance, as each of them is, says nothing about what it has learnt."""
    baselines = values["separation"]["frozen"]["baselines"]
    set_bounds(baselines["random"]["difference"], *random)
    set_bounds(baselines["pixels"]["difference"], *pixels)
    section = sections(values)[11]
    assert words in section and "chance" not in section.split(" *Freezing*")[0]


@pytest.mark.parametrize(("lead", "chosen"), [(0.0, "default"), (2.0, "wide"), (-0.6, "default")])
def test_the_default_is_the_choice_unless_another_is_shown_to_be_better(values, lead, chosen):
    values["sweep"] = samples.swept(samples.about_of("pneumoniamnist", "images"), lead)
    section = sections(values)[6]
    assert ("no other is shown to be better than `default`" in section) == (chosen == "default")
    assert ("`wide`, the best of 2, is better than `default`" in section) == (chosen == "wide")
    assert f"| **`{chosen}`** |" in section


def test_questions_whose_settings_differ_get_no_verdict(values):
    """Neither at a glance nor in its place, however far from 0 the interval."""
    set_interval(values, 0.2, 0.3)
    assert "differ only in their initial weights" in sections(values)[10]
    for kind in ("primary", "further"):
        for question in values["compared"][kind]:
            question["config_difference"] = {"lr": [0.005, 0.01], "steps": [160, 150]}
    numbered = sections(values)
    for number in (10, 12):
        answer = re.split(r" > | \*\*Frozen| \|", numbered[number])[1]
        assert "cannot be compared, since they also differ in lr, steps" in answer
        assert not re.search(r"higher than that|lower than that|distinguishable|Train|Yes", answer)
    rows = comparisons(values)
    wanted = ["not comparable: lr, steps"] * 2 + ["not tested; they differ in `lr`, `steps`"] * 4
    assert [row[-1] for row in rows] == wanted
    assert "differ only in their initial weights" not in numbered[10]


def test_a_comparison_of_other_settings_stands_beside_how_weights_are_chosen(values):
    """Such as early stopping against averaged weights, with the same start and strategy."""
    question = values["compared"]["further"][0] | {"run": "lowdata", "against": "chest"}
    compared = {"primary": [], "further": [question | {"config_difference": {"keep": ["a", "b"]}}]}
    values["compared"] |= context.with_topics(compared, values["runs"])
    numbered = sections(values)
    assert f"| `lowdata` {MINUS} `chest` |" in numbered[8]
    assert "not tested; they differ in `keep` |" in numbered[8]
    assert f"`lowdata` {MINUS}" not in numbered[12]


def test_a_training_far_below_the_others_is_named_where_its_run_is_scored(values):
    assert "far below" not in text(values) and "Where trainings fail" not in text(values)
    scores = values["scores"][SUBJECT]
    scores["far_below"], scores["each"]["auroc"][2] = [2], 0.7321
    words = f"Training 3 of `{SUBJECT}` lies far below the others (AUROC 0.732)."
    assert words in sections(values)[3]
    assert f"{words} Where trainings fail now and then" in text(values)


def test_class_weights_are_judged_by_the_sweeps_configuration_without_them(values):
    default = values["sweep"]["configurations"][0]
    changes = {"name": "unweighted", "changes": {"class_weights": False}, "recall": 0.999}
    values["sweep"]["configurations"].append(default | changes)
    section = sections(values)[2]
    rows = {row["name"]: row for row in values["sweep"]["configurations"]}
    shown = [formatting.number(rows[name]["recall"]) for name in ("unweighted", "default")]
    assert "a network trained without them found more diseased images" in section
    assert f"(recall {shown[0]} instead of {shown[1]})" in section
    assert (
        re.search(r"\| `default` \| yes \| \d+ × 1 \|", section) and "one training each" in section
    )
    del rows["unweighted"]
    values["sweep"]["configurations"] = list(rows.values())
    section = sections(values)[2]
    assert "What that changes was not tried." in section and "instead of" not in section


def test_the_template_holds_no_result():
    """No number is written by hand: what looks like one is chance, or a constant of the method."""
    words = re.sub(r"\{[{%#].*?[%#}]\}", "", rendering.TEMPLATE.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"\d*\.\d+", words)) <= {"0.5"}


def test_a_sweep_on_other_images_is_marked_as_such(values):
    warning = "**These are not the images of the run above.**"
    assert warning in sections(values)[6], "the sweep in the repository is on real images"
    values["sweep"] |= {"data": values["scores"][SUBJECT]["data"], "rivals": {}}
    values["sweep"]["finalists"] = values["sweep"]["finalists"][:1]  # it is the best as well
    section = sections(values)[6]
    assert warning not in section and "On validation images that" not in section


def test_runs_that_are_not_declared_do_not_appear(values):
    """What the parameters no longer ask for leaves the page, and the rest stays."""
    for key in ("runs", "scores", "separation", "maps", "framing", "kept", "ran"):
        values[key] = {SUBJECT: values[key][SUBJECT]}
    values["compared"] |= {"primary": [], "further": [], "cka": []}
    values["points"] = [p for p in values["points"] if p["run"] == SUBJECT]
    values["spaces"] = {}
    numbered = sections(values)
    for run in ("chest", "lowdata", "lowdata_autoencoder", "frozen", "headfirst"):
        assert not any(f"`{run}`" in section for section in numbered.values())
    for number in (10, 12, 13):
        assert "> Not tested:" in numbered[number]
    assert list(numbered) == list(range(1, 15))


def test_the_frozen_run_trains_its_head_alone(values):
    assert "only the head is trained: 66 of 18,218 parameters." in sections(values)[11]
    row = r"\| `frozen` \|[^\n]*\| the head \| 66 \| fitted \|"
    assert re.search(row, rendering.rendered(values))


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
    scores["ci95"]["precision"] = [None, None]
    values["separation"]["frozen"] |= {"silhouette": None}
    values["autoencoder"]["test"]["difference"]["psnr"]["pca"]["ci95"] = [None, None]
    set_interval(values, None, None)
    numbered = sections(values)
    assert "| precision |" in numbered[3] and "| not defined | 0.625 |" in numbered[3]
    assert numbered[4].count("not defined") == 2 and "`frozen` | not defined" in numbered[13]
    assert "is not distinguishable from PCA" in numbered[9]
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
