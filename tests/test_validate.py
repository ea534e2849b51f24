"""A labelled folder as a validation: its numbers, its page, and what users may hand it."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from small_run import save

from chestflow import cli, files, formatting
from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.metrics import intervals
from chestflow.own_images import validate

LABELS = ("NORMAL", "PNEUMONIA")


@pytest.fixture
def run(workspace, monkeypatch, capsys, tmp_path):
    """The command in this process: its exit code, report, page, stdout and stderr."""

    def validated(*words: object) -> SimpleNamespace:
        monkeypatch.chdir(workspace)
        given = map(str, ["--run", "pneumonia", "--out", tmp_path / "out", *words])
        code = validate.main(cli.parse(["validate", *given]))
        stdout, stderr = capsys.readouterr()
        path = tmp_path / "out/pneumonia" / validate.PAGE
        report = files.read_json(path.with_name(validate.DATA))
        return SimpleNamespace(
            code=code, report=report, path=path, html=path.read_text(), out=stdout, err=stderr
        )

    return validated


def laid_out(folder: Path, split: arrays.Split, n: int | None = None) -> Path:
    """FOLDER/{NORMAL,PNEUMONIA}: three images of each patient."""
    for i, (image, label) in enumerate(zip(split.images[:n], split.labels)):
        save(folder / LABELS[label] / f"p{i // 3:02}_{i:03}.png", image)
    return folder


# -------------------------------------------------------------------------------------- the numbers


def test_the_numbers_are_those_of_scikit_learn_on_page_and_terminal(run, splits, tmp_path):
    ended = run(laid_out(tmp_path / "in", splits["test"]))
    labels, raw, calibrated = (
        np.array([row[key] for row in ended.report["images"]], float)
        for key in ("diseased", "raw_probability", "probability")
    )
    wrong = (raw >= ended.report["raw_threshold"]) != labels
    scores = ended.report["scores"]
    assert scores["auroc"] == pytest.approx(metrics.roc_auc_score(labels, raw), abs=1e-6)
    assert scores["auprc"] == pytest.approx(metrics.average_precision_score(labels, raw), abs=1e-6)
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(labels, calibrated), abs=1e-6)
    rates = {"accuracy": labels >= 0, "recall": labels == 1, "specificity": labels == 0}
    for name, counted in rates.items():
        share, low, high = scores["at_val_threshold"][name]
        assert low < share < high and share == pytest.approx(1 - wrong[counted].mean(), abs=1e-6)
    assert ended.code == 0 and ended.err == "" and ended.report["n"] == 200
    text = " ".join(re.sub(r"<[^>]+>", "", ended.html).split())
    own = formatting.scored(files.read_json(Path("data/results/pneumonia/scores.json")), "auroc")
    assert f"{formatting.scored(scores, 'auroc')} 0.500 {own}" in text
    assert f"| AUROC | {formatting.scored(scores, 'auroc')} | 0.500 | {own} |" in ended.out
    assert "PHANTOM" in ended.out and "not for diagnosis" in ended.out
    assert "Patients unknown (see --groups)" in ended.out and "![" not in ended.out
    assert ended.html.count("<figure>") == 2 and "](" not in ended.html
    assert ended.out.splitlines()[-1] == f"page: {ended.path}"
    names = np.array([row["file"] for row in ended.report["images"]])
    of_truth = np.where(labels == 1, calibrated, 1 - calibrated)
    worst = names[wrong][np.argsort(of_truth[wrong], kind="stable")][:12]
    assert re.findall(r"\| (\w+/\w+\.png) \|", ended.out) == worst.tolist() != []


# --------------------------------------------------- intervals; benchmarks/clusters.py: coverage


def test_with_few_patients_intervals_widen_by_what_carries_their_variance():
    """Equal parts: Student's t with G - 1 degrees of freedom; one part alone: about 2."""
    for influence, df in ((np.ones((1, 12)), 11), (np.eye(12)[:1], 2 * 12 / 11)):
        expected = stats.t.ppf(0.975, df) / stats.norm.ppf(0.975)
        assert intervals.stretch(influence) == pytest.approx(expected)
    assert intervals.stretch(np.ones((1, 5000))) == pytest.approx(1, abs=1e-3)


def test_the_variance_of_the_area_is_obuchowskis(monkeypatch):
    """Obuchowski (1997), eq. 7 and 8, by its sums over clusters: patients with one to five images
    of both classes, whose scores correlate. benchmarks/clusters.py: the other intervals."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(300), rng.integers(1, 6, 300))
    labels = (rng.random(len(patients)) < 0.4).astype(int)
    p = 2.4 * labels + rng.standard_normal(300)[patients] + rng.standard_normal(len(patients))
    below = (p[labels == 1][:, None] > p[labels == 0]).astype(float)
    m, n = below.shape
    area, groups = below.mean(), patients.max() + 1
    v10 = np.bincount(patients[labels == 1], below.mean(axis=1) - area, groups)
    v01 = np.bincount(patients[labels == 0], below.mean(axis=0) - area, groups)
    i10, i01 = (len(set(patients[labels == k])) for k in (1, 0))
    s10, s01 = (i10 / ((i10 - 1) * m)) * (v10**2).sum(), (i01 / ((i01 - 1) * n)) * (v01**2).sum()
    s11 = groups / (groups - 1) * (v10 * v01).sum()
    expected = s10 / m + s01 / n + 2 * s11 / (m * n)
    monkeypatch.setattr(intervals, "stretch", lambda influence: 1)
    influence = intervals.auroc(labels, p[None]).clustered(patients).influence
    assert (influence**2).sum() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("rate, ends", [(1, [0.025**0.1, 1]), (0, [0, 1 - 0.025**0.1])])
def test_at_a_bound_a_rate_has_the_interval_of_its_patients_and_other_scores_have_none(rate, ends):
    """Of either class ten patients with two images each, all right or all wrong."""
    labels, patients = np.repeat([0, 1], 20), np.repeat(np.arange(20), 2)
    record = validate.scored(labels, np.abs(1 - rate - labels) + 0.0, patients, 0.5)
    for name in ("recall", "specificity"):
        assert record["at_val_threshold"][name] == pytest.approx([rate, *ends])
    assert record["auroc"] == rate and not {"auroc", "brier"} & record["ci95"].keys()


# ------------------------------------------------------------------------- what the folder is like


def test_images_that_training_saw_are_left_out_unless_all_were(run, splits, tmp_path):
    laid_out(tmp_path / "in", splits["test"], 40)
    for i, (split, label) in enumerate((("train", 0), ("train", 1), ("val", 1))):
        image = splits[split].images[splits[split].labels == label][i]
        for folder in ("in", "seen"):
            save(tmp_path / folder / LABELS[label] / f"seen{i}.png", image)
    ended = run(tmp_path / "in")
    seen = {row["file"] for row in ended.report["images"] if row["overlap"]}
    assert {Path(name).stem for name in seen} == {"seen0", "seen1", "seen2"}
    assert (ended.report["n"], len(ended.report["images"])) == (40, 43)
    assert "3 of 43 images are among those that the network was trained" in ended.html
    ended = run(tmp_path / "seen")
    first = next(line for line in ended.out.splitlines()[3:] if line)
    assert first.startswith("**3 of 3 images are among") and "left out" not in first
    assert ended.report["n"] == 3


@pytest.mark.parametrize("label, kind", [(0, "healthy"), (1, "diseased")])
def test_one_class_alone_and_one_patient_alone_are_refused(label, kind, run, splits, tmp_path):
    laid_out(tmp_path / "in", splits["test"], 20)
    with pytest.raises(UserError, match=r"are of patient p; accepted: two patients"):
        run(tmp_path / "in", "--groups", "(p)")
    for path in (tmp_path / "in" / LABELS[1 - label]).iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f" are {kind}; accepted: some of both"):
        run(tmp_path / "in", *("--positive", "PNEUMONIA") * label)


def test_splits_are_taken_together_and_patients_counted(run, splits, tmp_path):
    for split, some in (("valid", np.arange(15)), ("test", np.arange(15, 30))):
        laid_out(tmp_path / "in" / split, splits["test"][some])
    ended = run(tmp_path / "in", "--groups", r"(p\d+)_")
    assert (ended.report["n"], ended.report["patients"]) == (30, 5)
    assert "The splits test, val are taken together." in ended.html
    assert ended.report["images"][0]["patient"] == "p00"


def test_names_can_neither_steer_a_terminal_nor_get_into_the_page(run, splits, tmp_path):
    """Of files that are worst errors or unreadable, and of classes."""
    hostile = '<img src=x onerror=alert(1)>|[a](b)`\x1b[2J\n"&.png'
    for i in np.flatnonzero(splits["test"].labels == 1)[:6]:
        save(tmp_path / "in/normal" / f"{i}{hostile}", splits["test"].images[i])
        save(tmp_path / "in/<b>ill|\x1b[31m" / f"{i}.png", splits["test"].images[i + 1])
    (tmp_path / f"in/normal/broken{hostile}").write_bytes(b"<script>")
    ended = run(tmp_path / "in")
    assert ended.code == 1 and "\x1b" not in ended.out + ended.err
    broken, counted = ended.err.splitlines()
    assert "normal/broken" in broken and "no picture" in broken
    assert counted == "validate: 1 of 13 files could not be read, see above"
    html = ended.html
    assert "1 of 13 files could not be read." in html
    assert "<img src=x" not in html and "<b>" not in html and "\x1b" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;|[a](b)`" in html and '<a href="b">' not in html
