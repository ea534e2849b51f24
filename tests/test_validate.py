"""A labelled folder as a validation: its numbers, its page, and what users may hand it."""

import csv
import itertools
import json
import re
from pathlib import Path

import browser
import numpy as np
import pytest
import small_run
from PIL import Image
from scipy import special, stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from chestflow import cli, files
from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.metrics import intervals
from chestflow.own_images import radiograph, validate, validation_page, validation_scores
from chestflow.own_images.radiograph import Radiograph

CHROMIUM = pytest.mark.skipif(not browser.PROGRAM, reason="no Chromium on this machine")
KERMANY = Path(__file__).parents[2] / "shared/kermany224"
LABELS = ("NORMAL", "PNEUMONIA")
HOSTILE = '<img src=x onerror=alert(1)>|[a](b)`\x1b[2J\n"&.png'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shrunken, splits) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    return small_run.build(folder, shrunken, splits)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, "PNG")
    return path


def laid_out(folder: Path, split: arrays.Split, n: int | None = None) -> Path:
    """FOLDER/{NORMAL,PNEUMONIA}: three images of each patient."""
    for i, (image, label) in enumerate(zip(split.images[:n], split.labels)):
        save(folder / LABELS[label] / f"p{i // 3:02}_{i:03}.png", image)
    return folder


@pytest.fixture
def ask(workspace, monkeypatch, capsys, tmp_path):
    """The command in this process: its exit code, JSON, and page."""

    def asked(*words: object) -> tuple[int, dict, str]:
        monkeypatch.chdir(workspace)
        given = ["--run", "pneumonia", "--out", tmp_path / "out", "--json", *words]
        code = validate.main(cli.parse(["validate", *map(str, given)]))
        return code, json.loads(capsys.readouterr().out), (tmp_path / "out/pneumonia").as_posix()

    return asked


def html(folder: str) -> str:
    return (Path(folder) / validation_page.PAGE).read_text()


def of(report: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, raw and calibrated probabilities of a report's images."""
    keys = ("diseased", "raw_probability", "probability")
    labels, raw, calibrated = ([row[key] for row in report["images"]] for key in keys)
    return np.array(labels, int), np.array(raw), np.array(calibrated)


# -------------------------------------------------------------------------------------- the numbers


def test_the_numbers_are_those_of_scikit_learn(ask, splits, tmp_path):
    code, report, folder = ask(laid_out(tmp_path / "in", splits["test"]))
    labels, raw, calibrated = of(report)
    found = report["scores"]
    assert code == 0 and report["n"] == len(labels) == 200
    assert found["auroc"]["value"] == pytest.approx(metrics.roc_auc_score(labels, raw), abs=1e-6)
    precision = metrics.average_precision_score(labels, raw)
    assert found["auprc"]["value"] == pytest.approx(precision, abs=1e-6)
    brier = metrics.brier_score_loss(labels, calibrated)
    assert found["brier"]["value"] == pytest.approx(brier, abs=1e-6)
    for key, threshold in (("at_half", 0.5), ("at_threshold", report["raw_threshold"])):
        said = raw >= threshold
        assert found[key]["accuracy"]["value"] == pytest.approx(np.mean(said == labels), abs=1e-6)
        for name, label in (("recall", 1), ("specificity", 0)):
            expected = metrics.recall_score(labels, said, pos_label=label)
            assert found[key][name]["value"] == pytest.approx(expected, abs=1e-6)
        assert report["confusion"][key] == metrics.confusion_matrix(labels, said).tolist()
    assert json.loads((Path(folder) / validation_page.DATA).read_text()) == report
    shown = " ".join(re.sub(r"<[^>]+>", "", html(folder)).split())
    for value in (found["auroc"], found["brier"], found["at_threshold"]["recall"]):
        low, high = value["ci95"]
        assert f"{value['value']:.3f} [{low:.3f}, {high:.3f}]" in shown


def test_on_the_runs_own_test_set_the_scores_are_its_own(ask, workspace, splits, tmp_path):
    """The network asked is one training of three; so are the numbers beside it."""
    _, report, _ = ask(laid_out(tmp_path / "in", splits["test"]))
    known = files.read_json(workspace / "metrics/runs/pneumonia.json")
    k = known["representative"]
    assert report["scores"]["auroc"]["value"] == pytest.approx(known["each"]["auroc"][k])
    accuracy = report["scores"]["at_half"]["accuracy"]["value"]
    assert accuracy == pytest.approx(known["each"]["accuracy"][k], abs=1e-6)
    assert report["own_test"]["scores"]["auroc"]["value"] == known["auroc"]
    recall = report["own_test"]["scores"]["at_threshold"]["recall"]
    assert [recall["value"], *recall["ci95"]] == known["at_val_threshold"]["recall"]


def test_the_text_on_the_terminal_is_that_of_the_page(workspace, splits, tmp_path):
    folder = laid_out(tmp_path / "in", splits["test"], 60)
    ended = small_run.call(workspace, "validate", folder, "--run", "pneumonia", "--out", tmp_path)
    assert ended.returncode == 0 and ended.stderr == ""
    report = files.read_json(tmp_path / "pneumonia/validation.json")
    value, (low, high) = (report["scores"]["auroc"][key] for key in ("value", "ci95"))
    assert f"| AUROC | {value:.3f} [{low:.3f}, {high:.3f}] | 0.500 |" in ended.stdout
    assert "PHANTOM" in ended.stdout and "not for diagnosis" in ended.stdout
    assert "Patients unknown (see --groups)" in ended.stdout and "![" not in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"page: {tmp_path}/pneumonia/index.html"
    names = {path.name for path in (tmp_path / "pneumonia").iterdir()}
    assert names == {validation_page.PAGE, validation_page.DATA}


def test_calibration_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 400)
    labels = (rng.random(400) < special.expit(0.6 * odds - 1)).astype(int)
    large, slope = validation_scores.recalibration(labels, special.expit(odds))
    peer = LogisticRegression(C=1e9, tol=1e-10).fit(odds[:, None], labels)
    assert slope.values[0] == pytest.approx(peer.coef_[0, 0], abs=1e-4)
    assert special.expit(odds + large.values[0]).mean() == pytest.approx(labels.mean())
    half = np.sqrt((slope.influence**2).sum())
    assert abs(slope.values[0] - 0.6) < 3 * half and abs(slope.values[0] - 1) > 3 * half


def test_classes_that_separate_have_no_slope():
    labels, odds = np.repeat([0, 1], 5), np.arange(10.0) - 4.5
    large, slope = validation_scores.recalibration(labels, special.expit(odds))
    assert abs(large.values[0]) < 1e-6 and np.isnan(slope.values[0])


# --------------------------------------------------------------------------------------- intervals


def sampled(rng, n: int, mixed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and patients: one to five images each, whose errors correlate by .5;
    mixed: images of one patient may be of both classes."""
    patients = np.repeat(np.arange(n), rng.integers(1, 6, n))
    labels = (rng.random(n) < 0.4).astype(int)[patients]
    if mixed:
        labels = (rng.random(len(patients)) < 0.4).astype(int)
    noise = rng.standard_normal(n)[patients] + rng.standard_normal(len(patients))
    score = 1.7 * labels + np.sqrt(0.5) * noise
    return labels, special.expit(special.logit(0.4) + 1.7 * score - 1.7**2 / 2), patients


def flat(found: dict, prefix: str = "") -> dict[str, dict]:
    pairs = ((prefix + key, value) for key, value in found.items())
    return {
        name: each
        for key, value in pairs
        for name, each in ({key: value} if "value" in value else flat(value, f"{key} ")).items()
    }


@pytest.mark.parametrize("mixed", [False, True])
def test_intervals_cover_where_images_of_a_patient_are_alike(mixed):
    """In 400 simulations of 60 patients, +- 3 standard errors of 95 %; as if every image were a
    patient of its own, those of the AUROC cover too seldom."""
    rng = np.random.default_rng(2)
    labels, p, _ = sampled(rng, 100_000, mixed)
    truth = {
        key: each["value"]
        for key, each in flat(
            validation_scores.report(labels, p, p, 0.3, np.arange(len(p)))
        ).items()
    }
    truth |= {"calibration_in_the_large": 0.0, "calibration_slope": 1.0}
    covered: dict[str, list[bool]] = {}
    alone = []
    for _ in range(400):
        labels, p, patients = sampled(rng, 60, mixed)
        for key, each in flat(validation_scores.report(labels, p, p, 0.3, patients)).items():
            if each["ci95"] is not None:
                low, high = each["ci95"]
                covered.setdefault(key, []).append(low <= truth[key] <= high)
        low, high = intervals.estimate(intervals.auroc(labels, p[None]))["ci95"]
        alone.append(low <= truth["auroc"] <= high)
    assert len(covered) == 10 and all(len(found) > 390 for found in covered.values())
    assert {key: np.mean(found) for key, found in covered.items() if np.mean(found) < 0.917} == {}
    assert mixed or np.mean(alone) < 0.88


def test_with_few_patients_intervals_widen_by_what_carries_their_variance():
    """Equal parts: Student's t with G - 1 degrees of freedom; one part alone: about 2."""
    normal = stats.norm.ppf(0.975)
    alike, alone = np.ones((1, 12)), np.eye(12)[:1]
    assert validation_scores.stretch(alike) == pytest.approx(stats.t.ppf(0.975, 11) / normal)
    assert validation_scores.stretch(alone) == pytest.approx(
        stats.t.ppf(0.975, 2 * 12 / 11) / normal
    )
    assert validation_scores.stretch(np.ones((1, 5000))) == pytest.approx(1, abs=1e-3)


def test_intervals_of_few_patients_hold_the_truth():
    rng = np.random.default_rng(3)
    labels, p, _ = sampled(rng, 100_000, False)
    truth = intervals.auroc(labels, p[None]).values[0]
    held, narrower = [], []
    for _ in range(400):
        labels, p, patients = sampled(rng, 24, False)
        if (ci := validation_scores.report(labels, p, p, 0.3, patients)["auroc"]["ci95"]) is None:
            continue
        held.append(ci[0] <= truth <= ci[1])
        low, high = intervals.estimate(intervals.auroc(labels, p[None]).clustered(patients))["ci95"]
        narrower.append(low <= truth <= high)
    assert np.mean(narrower) < 0.93 <= np.mean(held), (np.mean(narrower), np.mean(held))


def test_the_variance_of_the_area_is_obuchowskis():
    """Obuchowski (1997), eq. 7 and 8, by its sums over clusters."""
    labels, p, patients = sampled(np.random.default_rng(1), 300, True)
    below = (p[labels == 1][:, None] > p[labels == 0]).astype(float)
    m, n = below.shape
    area, groups = below.mean(), patients.max() + 1
    v10 = np.bincount(patients[labels == 1], below.mean(axis=1) - area, groups)
    v01 = np.bincount(patients[labels == 0], below.mean(axis=0) - area, groups)
    i10, i01 = (len(set(patients[labels == k])) for k in (1, 0))
    s10, s01 = (i10 / ((i10 - 1) * m)) * (v10**2).sum(), (i01 / ((i01 - 1) * n)) * (v01**2).sum()
    s11 = groups / (groups - 1) * (v10 * v01).sum()
    expected = s10 / m + s01 / n + 2 * s11 / (m * n)
    found = (intervals.auroc(labels, p[None]).clustered(patients).influence ** 2).sum()
    assert found == pytest.approx(expected, rel=0.01)


def test_copies_of_an_image_add_nothing_once_the_patient_is_known(ask, splits, tmp_path):
    """Every image three times: the interval is three times too sure, until patients are told."""
    labels, images = splits["test"].labels[:60], splits["test"].images[:60]
    for i, (image, label) in enumerate(zip(images, labels)):
        save(tmp_path / "once" / LABELS[label] / f"p{i:02}.png", image)
        for k in range(3):
            save(tmp_path / "thrice" / LABELS[label] / f"p{i:02}_{k}.png", image)
    _, once, _ = ask(tmp_path / "once")
    _, alone, _ = ask(tmp_path / "thrice")
    _, told, _ = ask(tmp_path / "thrice", "--groups", r"(p\d+)_")
    widths = [np.ptp(report["scores"]["auroc"]["ci95"]) for report in (once, alone, told)]
    assert widths[1] < 0.65 * widths[0] and widths[2] == pytest.approx(widths[0], rel=0.03)
    assert (alone["patients"], told["patients"]) == (None, 60)
    assert len(told["duplicates"]) == 120 and told["contradictory"] == [] and told["n"] == 180


@pytest.mark.parametrize("rate, expected", [(1.0, [0.025**0.1, 1]), (0.0, [0, 1 - 0.025**0.1])])
def test_a_rate_at_its_bound_has_the_interval_of_its_patients(rate, expected):
    """Ten patients with two images each, all right or all wrong."""
    labels, patients = np.ones(20, int), np.repeat(np.arange(10), 2)
    found = validation_scores.rates(labels, np.full(20, rate == 1), patients)
    assert found["recall"]["ci95"] == found["accuracy"]["ci95"] == pytest.approx(expected)
    assert np.isnan(found["specificity"]["value"]) and found["specificity"]["ci95"] is None


# ------------------------------------------------------------------------- what the folder is like


def test_images_that_training_saw_are_found_and_left_out(ask, splits, tmp_path):
    laid_out(tmp_path / "in", splits["test"], 40)
    for i, split in enumerate(("train", "train", "val")):
        image, label = splits[split].images[i], splits[split].labels[i]
        save(tmp_path / "in" / LABELS[label] / f"seen{i}.png", image)
    _, clean, page = ask(laid_out(tmp_path / "clean", splits["test"], 40))
    assert clean["overlap"] == 0 and "No image equals one" in html(page)
    _, report, folder = ask(tmp_path / "in")
    seen = {row["file"] for row in report["images"] if row["overlap"]}
    assert {Path(name).stem for name in seen} == {"seen0", "seen1", "seen2"}
    assert (report["overlap"], report["n"], len(report["images"])) == (3, 40, 43)
    assert report["scores"] == clean["scores"]
    assert "3 of 43 images are among the training images" in html(folder)


def test_where_all_images_were_seen_scores_are_given_with_a_warning_first(
    workspace, splits, tmp_path
):
    folder = laid_out(tmp_path / "in", splits["train"], 30)
    ended = small_run.call(workspace, "validate", folder, "--run", "pneumonia", "--out", tmp_path)
    first = next(line for line in ended.stdout.splitlines()[3:] if line)
    assert first == "**30 of 30 images are among the training images: scores on them say nothing.**"
    assert files.read_json(tmp_path / "pneumonia/validation.json")["n"] == 30


def test_the_worst_errors_are_the_worst(ask, splits, tmp_path):
    _, report, folder = ask(laid_out(tmp_path / "in", splits["test"]))
    labels, raw, calibrated = of(report)
    wrong = (raw >= report["raw_threshold"]) != labels
    names = np.array([row["file"] for row in report["images"]])
    for_truth = np.where(labels == 1, calibrated, 1 - calibrated)
    expected = names[wrong][np.argsort(for_truth[wrong], kind="stable")][:12]
    assert 0 < len(expected) <= 12 and report["worst"] == expected.tolist()
    decided = [row["decision"] == "pneumonia" for row in report["images"]]
    assert decided == (raw >= report["raw_threshold"]).tolist()
    shown = html(folder)
    assert all(name in shown for name in expected)


@pytest.mark.parametrize("label, missing", [(0, "recall"), (1, "specificity")])
def test_of_one_class_alone_what_can_be_computed_is(label, missing, ask, splits, tmp_path):
    for i in np.flatnonzero(splits["test"].labels == label)[:30]:
        save(tmp_path / "in" / LABELS[label] / f"{i}.png", splits["test"].images[i])
    code, report, folder = ask(tmp_path / "in")
    found = report["scores"]
    assert code == 0 and found["auroc"]["value"] is None and found["auroc"]["ci95"] is None
    assert found["at_half"][missing]["value"] is None
    assert found["at_half"]["accuracy"]["value"] is not None
    assert "not defined" in html(folder) and "nan" not in re.sub(r'"data:[^"]*', "", html(folder))
    (tmp_path / "in" / LABELS[label]).rename(tmp_path / "in/other")
    with pytest.raises(UserError, match=r"is the only class, other, diseased\? Say so with --posi"):
        ask(tmp_path / "in")
    _, told, _ = ask(tmp_path / "in", "--positive", "other")
    assert told["diseased"] == 30


def test_one_image_is_enough_for_an_answer(ask, splits, tmp_path):
    save(tmp_path / "in/normal/a.png", splits["test"].images[0])
    code, report, _ = ask(tmp_path / "in")
    assert code == 0 and report["n"] == 1 and report["scores"]["brier"]["ci95"] is None


def test_a_table_with_patients_and_splits(ask, splits, tmp_path):
    laid_out(tmp_path, splits["test"], 30)
    rows = []
    for i, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        name = path.relative_to(tmp_path).as_posix()
        split = ("train", "test")[i % 2]
        rows.append([name, ("normal", "mass|nodule")[path.parts[-2] == LABELS[1]], split, i // 4])
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "split", "patient"], *rows])
    _, report, folder = ask(tmp_path / "table.csv", "--positive", "mass,nodule")
    assert (report["n"], report["patients"], report["pooled_splits"]) == (30, 8, ["test", "train"])
    assert "The splits test, train are taken together." in html(folder)
    by_file = {row["file"]: row for row in report["images"]}
    assert by_file[rows[0][0]]["patient"] == "0"


def test_one_split_alone_is_a_folder_like_any_other(ask, splits, tmp_path):
    laid_out(tmp_path / "in/test", splits["test"], 30)
    assert ask(tmp_path / "in")[1]["n"] == 30


# --------------------------------------------------------------------------------- hostile content


def test_unreadable_files_get_a_line_each_and_the_rest_is_done(workspace, splits, tmp_path):
    place = laid_out(tmp_path / "in", splits["test"], 30) / "NORMAL"
    (place / "letter\n.png").write_bytes(b"Dear colleague")
    (place / "empty.png").touch()
    (place / "loop.png").symlink_to("loop.png")
    words = ("validate", tmp_path / "in", "--run", "pneumonia", "--out", tmp_path)
    ended = small_run.call(workspace, *words)
    lines = ended.stderr.splitlines()
    report = files.read_json(tmp_path / "pneumonia/validation.json")
    assert ended.returncode == 1 and all(line.startswith("validate: ") for line in lines)
    for name in ("letter\\n.png", "empty.png", "loop.png"):
        assert sum(name in line for line in lines) == 1, name
    assert lines[-1] == "validate: 3 of 33 files could not be read, see above"
    assert len(report["unread"]) == 3 and report["n"] == 30
    assert "Files that could not be read" in html(tmp_path / "pneumonia")


def test_where_nothing_can_be_read_nothing_is_written(ask, splits, tmp_path):
    for path in laid_out(tmp_path / "in", splits["test"], 10).rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="none of 10 files could be read, see above"):
        ask(tmp_path / "in")
    assert not (tmp_path / "out").exists()


def test_names_can_neither_steer_a_terminal_nor_get_into_the_page(workspace, splits, tmp_path):
    """Of files that are worst errors, duplicates or unreadable, and of classes."""
    hostile = HOSTILE.replace("/", "")
    for i in np.flatnonzero(splits["test"].labels == 1)[:6]:
        image = splits["test"].images[i]
        save(tmp_path / "in/normal" / f"{i}{hostile}", image)
        save(tmp_path / "in/normal" / f"{i}again{hostile}", image)
        save(tmp_path / "in/<b>ill|\x1b[31m" / f"{i}.png", splits["test"].images[i + 1])
    (tmp_path / f"in/normal/broken{hostile}").write_bytes(b"<script>")
    ended = small_run.call(
        workspace, "validate", tmp_path / "in", "--run", "pneumonia", "--out", tmp_path
    )
    assert ended.returncode == 1 and "\x1b" not in ended.stdout + ended.stderr
    text = html(tmp_path / "pneumonia")
    assert "<img src=x" not in text and "<b>" not in text and "\x1b" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;|[a](b)`" in text and '<a href="b">' not in text
    report = files.read_json(tmp_path / "pneumonia/validation.json")
    names = [path.name for path in (tmp_path / "in/normal").iterdir() if "broken" not in path.name]
    assert {f"normal/{name}" for name in names} < {row["file"] for row in report["images"]}


def test_a_file_that_vanishes_meanwhile_costs_its_picture_alone(ask, splits, tmp_path, monkeypatch):
    read, done = radiograph.read, set()

    def once(path: Path) -> Radiograph:
        if path in done:
            raise UserError(f"{path}: gone")
        done.add(path)
        return read(path)

    monkeypatch.setattr(radiograph, "read", once)
    code, report, folder = ask(laid_out(tmp_path / "in", splits["test"], 60))
    assert code == 0 and report["worst"] and "The worst errors" in html(folder)


# --------------------------------------------------------------------------------- files of the run


def test_without_the_table_of_predictions_the_own_curve_is_missing(
    ask, workspace, splits, tmp_path
):
    folder = laid_out(tmp_path / "in", splits["test"], 60)
    table = workspace / "data/results/pneumonia/predictions.csv"
    table.rename(tmp_path / "elsewhere.csv")
    try:
        _, report, page = ask(folder)
    finally:
        (tmp_path / "elsewhere.csv").rename(table)
    assert 'own test set" src' not in html(page)
    assert report["own_test"]["scores"]["auroc"]["value"] > 0


# ------------------------------------------------------------------------------------- the page


@CHROMIUM
def test_the_page_fits_a_phone_and_a_desk(ask, splits, tmp_path):
    _, _, folder = ask(laid_out(tmp_path / f"in{'long' * 40}", splits["test"]))
    with browser.chromium(tmp_path / "profile") as opened:
        opened.size(390)
        opened.open(Path(folder) / validation_page.PAGE)
        for width in (390, 1280):
            opened.size(width)
            assert opened.run("document.documentElement.scrollWidth") <= width
        assert opened.run("[...document.images].length") == 3
        assert opened.run("[...document.images].every(image => image.alt.length > 20)")
        asked = {event["request"]["url"] for event in opened.sent("Network.requestWillBeSent")}
        assert {url for url in asked if not url.startswith("data:")} == {
            (Path(folder) / validation_page.PAGE).as_uri()
        }
        assert not opened.sent("Log.entryAdded", "Runtime.exceptionThrown")


# ------------------------------------------------------------------------- a real folder of JPEGs


def test_of_a_real_folder_train_overlaps_and_test_does_not(tmp_path, shrunken):
    """Packed, trained and validated, from the very files."""
    if not KERMANY.is_dir():
        pytest.skip("needs shared/kermany224")
    for split, label in itertools.product(("train", "test"), LABELS):
        (tmp_path / "in" / split / label).mkdir(parents=True)
        for path in sorted((KERMANY / split / label).iterdir())[:60]:
            (tmp_path / "in" / split / label / path.name).symlink_to(path)
    for name in ("datasets.yaml", "params.yaml"):
        (tmp_path / name).write_text((small_run.ROOT / name).read_text())
    ended = small_run.call(tmp_path, "pack", "in", "--split", ".7,.2,.1")
    assert ended.returncode == 0, ended.stderr
    with np.load(tmp_path / "data/own/mine.npz") as packed:
        splits = {
            name: arrays.Split(packed[f"{name}_images"], packed[f"{name}_labels"][:, 0].astype(int))
            for name in arrays.SPLITS
        }
    (tmp_path / "workspace").mkdir()
    folder = small_run.build(tmp_path / "workspace", shrunken, splits)
    for split, overlap in (("train", 120), ("test", 0)):
        ended = small_run.call(
            folder, "validate", tmp_path / "in" / split, "--run", "pneumonia", "--json"
        )
        report = json.loads(ended.stdout)
        assert (report["overlap"], report["n"]) == (overlap, 120), ended.stderr
        assert report["scores"]["auroc"]["value"] > 0.8
