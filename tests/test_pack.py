"""A folder of one's own as a data set: listing, splits, duplicates, the entry, and the graph."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import refusal, save
from workspace import ROOT, Workspace

from chestflow import cli
from chestflow.config import reading
from chestflow.own_images import listing, pack, splitting
from chestflow.own_images.listing import Item

SPLITS = ("train", "val", "test")
ARCHIVE = Path("data/own/mine.npz")


@pytest.fixture(scope="module")
def images(splits) -> tuple[np.ndarray, np.ndarray]:
    return splits["test"].images[:60], splits["test"].labels[:60]


@pytest.fixture
def folder(tmp_path, images) -> Path:
    """FOLDER/{NORMAL,PNEUMONIA}: 60 images of 20 patients."""
    for i, (image, label) in enumerate(zip(*images)):
        save(tmp_path / "in" / ("NORMAL", "PNEUMONIA")[label] / f"p{i // 3:02}_{i}.png", image)
    return tmp_path / "in"


@pytest.fixture
def presplit(tmp_path, images) -> Path:
    """FOLDER/{train,val,test}/{NORMAL,PNEUMONIA}: 40, 10 and 10 images."""
    for i, (image, label) in enumerate(zip(*images)):
        split = SPLITS[max(0, i // 10 - 3)]
        save(tmp_path / "split" / split / ("NORMAL", "PNEUMONIA")[label] / f"{i}.png", image)
    return tmp_path / "split"


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command in an empty folder; returns exit code, stdout and stderr."""
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        options = cli.parse(["pack", *map(str, words)])
        code = options.function(options)
        return code, *capsys.readouterr()

    return run


def packed() -> dict[str, np.ndarray]:
    with np.load(ARCHIVE) as arrays:
        return dict(arrays)


def sizes() -> list[int]:
    return [len(packed()[f"{split}_images"]) for split in SPLITS]


def test_splits_given_stay_as_they_are(run, presplit, images):
    code, said, _ = run(presplit)
    assert code == 0
    arrays = packed()
    for split, members in zip(SPLITS, np.split(np.arange(60), [40, 50])):
        assert arrays[f"{split}_labels"].sum() == images[1][members].sum()
        expected = sorted(images[0][i].tobytes() for i in members)
        assert sorted(image.tobytes() for image in arrays[f"{split}_images"]) == expected
    assert "next: dvc exp run -S +runs.mine.dataset=mine -S +runs.mine.init=scratch" in said


def test_a_missing_val_is_drawn_from_train(run, presplit):
    for path in presplit.glob("val/*/*"):
        path.rename(presplit / "train" / path.parent.name / path.name)
    shutil.rmtree(presplit / "val")
    run(presplit)
    assert sizes() == [45, 5, 10]


def test_the_same_folder_gives_the_same_bytes(run, folder, tmp_path):
    run(folder)
    first = ARCHIVE.read_bytes()
    for path in sorted(folder.rglob("*.png"), reverse=True):
        save(tmp_path / "elsewhere" / path.relative_to(folder), np.asarray(Image.open(path)))
    run(tmp_path / "elsewhere")
    assert ARCHIVE.read_bytes() == first
    assert list(ARCHIVE.parent.iterdir()) == [ARCHIVE]


def test_a_table_of_files_with_several_findings(folder, tmp_path):
    """From Excel, with semicolons between the columns."""
    labels = ["No Finding", "mass", "mass|nodule", "nodule;effusion"]
    lines = ["File;Label", *(f'{i:02};"{labels[i % 4]}"' for i in range(60))]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    items = listing.items(tmp_path / "table.csv", None, "pack")
    for positive, n in (("", 45), ("effusion,mass", 45), ("mass", 30)):
        diseased = listing.diseased_classes(items, positive)
        assert sum(item.is_any(diseased) for item in items) == n


def test_a_table_with_splits_patients_and_lines_within_a_field(run, folder, tmp_path):
    rows = ["file,label,split,patient,report"]
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        split, patient = ("train", "valid", "test")[i % 3], "n/a" if i == 9 else i
        rows.append(f'{path},{path.parent.name},{split},{patient},"clear\nlungs"')
    (tmp_path / "table.csv").write_text("\n".join(rows))
    _, said, _ = run(tmp_path / "table.csv")
    assert [line.split()[1:3] for line in said.splitlines()[1:4]] == [["20", "20"]] * 3
    unknown = rows[10].partition(",")[0]
    assert f"1 files of unknown patients, each one of its own (see --groups): {unknown}\n" in said


def test_drawn_splits_divide_no_patient_and_keep_the_share_of_disease():
    rng = np.random.default_rng(0)
    ill = rng.random(1000) < 0.3
    patients = rng.integers(0, 1000, 2000)
    kinds = [("ab"[int(ill[patient])],) for patient in patients]
    items = [Item(f"{i:04}", Path(), kinds[i], patient=f"{p}") for i, p in enumerate(patients)]
    assigned = splitting.assign(items, ["b"])
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1)):
        members = splitting.members(assigned, split)
        assert len(members) / 2000 == pytest.approx(share, abs=0.02)
        diseased = np.mean([item.labels == ("b",) for item in members])
        assert diseased == pytest.approx(ill[patients].mean(), abs=0.03)
    assert len({(item.patient, item.split) for item in assigned}) == len(set(patients))


@pytest.mark.parametrize("n", [3, 4, 200])
def test_three_patients_of_each_kind_are_enough(n):
    items = [Item(f"{k}{i}", Path(), (k,)) for k in "ab" for i in range(n if k == "a" else 3)]
    held = {(item.split, *item.labels) for item in splitting.assign(items, ["b"])}
    assert held == {(split, kind) for split in SPLITS for kind in "ab"}


def test_patients_are_known_by_a_pattern(run, folder):
    _, said, _ = run(folder, "--groups", r"(p0\d)_|PNEUMONIA/(?=p1)")
    assert "pack: 30 files of unknown patients" in said
    _, said, _ = run(folder, "--groups", r"(p\d+)_")
    rows = [line.split() for line in said.splitlines()[1:4]]
    assert sum(int(row[2]) for row in rows) == 20 and "unknown" not in said


def test_equal_images_across_splits_stay_in_the_later_one(run, presplit):
    test = next(presplit.glob("test/NORMAL/*"))
    image = np.asarray(Image.open(test))
    save(presplit / "train/NORMAL/copy.png", image)
    save(presplit / "train/PNEUMONIA/contrary.png", image)
    own = next(presplit.glob("train/NORMAL/[0-9]*"))
    save(presplit / "train/NORMAL/again.png", np.asarray(Image.open(own)))
    _, said, _ = run(presplit)
    assert "pack: 2 equal images across splits, left out of the first: " in said
    assert f"train/NORMAL/copy.png (train) = {test.relative_to(presplit)} (test)" in said
    assert sizes() == [41, 10, 10]
    assert image.tobytes() not in {each.tobytes() for each in packed()["train_images"]}


def test_nearly_equal_images_are_found_across_splits(run, presplit):
    test = next(presplit.glob("test/NORMAL/*"))
    large = Image.open(test).resize((90, 90), Image.Resampling.NEAREST)
    brighter = np.clip(0.8 * np.asarray(large) + 30, 0, 255).astype(np.uint8)
    save(presplit / "train/NORMAL/copy.jpg", brighter, quality=50)
    _, said, _ = run(presplit, "--pixels", "64")
    line = f"train/NORMAL/copy.jpg (train) = {test.relative_to(presplit)} (test)"
    assert f"pack: 1 nearly equal images across splits, kept: {line}\n" in said


def test_different_images_are_not_nearly_equal(splits):
    vectors = pack.standardised(splits["test"].images)
    assert (vectors @ vectors.T >= pack.CORRELATION).sum() == 200  # each with itself


TABLES = {  # a CSV -> what is said
    "path,label\na.png,x\n": "columns path, label; accepted: with file and label",
    "file,label\na.png,x\na.png,y\n": "a.png in 2 lines; accepted: one",
    "file,label,split\na.png,x,other\n": "line 2: split 'other'; accepted: train, val, test",
    "file,label\n": "no labelled image",
    "": "columns none; accepted: with file and label",
    'file,label\n"a.png,x\n': "unexpected end of data",
    "file;label\na.png;mass;effusion\n": "line 2: more fields than columns",
    "file,label\na.png,\n": "line 2: no label ('')",
    "file,label\na.png,No Finding|mass\n": "line 2: healthy and a finding",
    "file,label\na.png, N/A \n": "line 2: no label ('N/A')",
    "PK\x03\x04\xff\xfe": "is no CSV in UTF-8",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_mistake_in_a_table_is_told_with_its_line(text, tmp_path):
    (tmp_path / "table.csv").write_bytes(text.encode("latin-1"))
    assert TABLES[text] in refusal(listing.items, tmp_path / "table.csv", None, "pack")


FOLDERS = {  # images below a folder -> what is said
    ("unknown/a", "b/a"): "no label",
    ("NORMAL/a", "PNEUMONIA/test/a"): "a.png: of which class and split?",
    ("NORMAL/a", "b"): "b.png: of which class and split? Accepted: FOLDER/{class}",
    ("train/a",): "a.png: of which class",
    ("a/masks/1",): "no labelled image",
    ("gesund/a", "b/a"): "which of the classes b, gesund are diseased",
    ("train/normal/a", "test/b/a", "other/b/a"): "splits are given as none, test, train; accepted",
    ("train/normal/1", "test/b/1", "test/b/2"): "1 patients are in more than one split (patient 1)",
}


@pytest.mark.parametrize("names", FOLDERS)
def test_folders_that_are_no_classes_are_refused(names, run, tmp_path):
    for name in names:
        save(tmp_path / f"in/{name}.png", np.eye(9, dtype=np.uint8))
    assert FOLDERS[names] in refusal(run, tmp_path / "in", "--groups=.*/(.)")


OPTIONS = {  # an option -> what is said
    "--name=a b": "'a b' is not a name",
    "--name=chestmnist": "is called chestmnist",
    "--name=chest": "is called chest; accepted: another --name",  # a run on other data
    "--positive=pneumonia": "positive: 'pneumonia' is no class; accepted: NORMAL",
    "--positive=NORMAL,PNEUMONIA": "no healthy image in train",
    "--groups=(p": "groups: '(p' is no such pattern",
    "--groups=p": "groups: 'p' is no such pattern (no such group)",
    r"--groups=(person\d+)": "fits none, such as NORMAL/p",
    "--groups=(.)": "no diseased image in val",  # all of one patient
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_checked_before_anything_is_written(option, run, folder, tmp_path):
    before = (tmp_path / "datasets.yaml").read_bytes()
    assert OPTIONS[option] in refusal(run, folder, option)
    assert (tmp_path / "datasets.yaml").read_bytes() == before
    assert not ARCHIVE.exists()


@pytest.mark.parametrize("name", ["Normal ", "\u00a0normal\u00a0", "NO_FINDING", "no  finding"])
def test_a_healthy_class_is_known_by_its_name_without_blanks(name, tmp_path):
    for place in (name, "PNEUMONIA"):
        save(tmp_path / place / "a.png", np.eye(9, dtype=np.uint8))
    items = listing.items(tmp_path, None, "pack")
    assert listing.diseased_classes(items, "") == ("PNEUMONIA",)
    assert all(item.path.exists() for item in items)


def test_masks_are_left_out_and_told(run, folder):
    for path in sorted(folder.rglob("*.png")):
        save(path.parent / "masks" / path.name, np.asarray(Image.open(path)) // 2)
    save(folder / "NORMAL/p1_mask.png", np.eye(9, dtype=np.uint8))
    code, _, told = run(folder)
    assert code == 0 and told.startswith("pack: 61 masks left out, by name: NORMAL/masks/p")
    assert sum(sizes()) == 60


def test_unreadable_files_are_named_and_the_rest_is_packed(run, presplit):
    place = presplit / "train/NORMAL"
    (place / "letter\n.png").write_bytes(b"Dear colleague")
    (place / "loop.png").symlink_to(place / "loop.png")
    code, _, failed = run(presplit)
    letter, loop, counted = failed.splitlines()
    assert code == 1 and "letter\\n.png" in letter and "loop.png" in loop
    assert counted == "pack: 2 of 62 files could not be read, see above"
    assert sizes() == [40, 10, 10]


def test_where_nothing_can_be_read_nothing_is_written(run, presplit):
    for path in presplit.rglob("*.png"):
        path.write_bytes(b"no picture")
    assert "none of 60 files could be read, see above" in refusal(run, presplit)
    assert not ARCHIVE.exists()


def test_the_entry_leaves_the_rest_of_the_file_as_it_is(run, folder, tmp_path):
    path, before = tmp_path / "datasets.yaml", (ROOT / "datasets.yaml").read_text()
    run(folder)
    assert path.read_text().startswith(before)
    declared = reading.dataset(path, "mine")
    assert declared.md5 == hashlib.md5(ARCHIVE.read_bytes()).hexdigest()
    assert (declared.title, declared.positive) == ("mine", "PNEUMONIA")
    run(folder, "--name", "theirs")
    _, said, _ = run(folder, "--pixels", "64")
    assert said.endswith(".init=scratch -S pixels=64 evaluate@mine\n")
    assert path.read_text().startswith(before)
    assert list(reading.datasets(path))[-2:] == ["mine", "theirs"]
    assert reading.dataset(path, "mine").md5 != declared.md5


def test_a_third_data_set_goes_through_the_graph(tmp_path, environment, images):
    """The command that `pack` prints, up to the binary labels."""
    space = Workspace(tmp_path / "space", environment)
    space.folder.mkdir()
    space.fill(leave=("plots/", "report/", "docs/", "released/"))
    space.commit()
    for i, (image, label) in enumerate(zip(*images)):
        save(tmp_path / "in" / ("healthy", "ill")[label] / f"{i}.png", image)
    said = space.succeed("chestflow", "pack", str(tmp_path / "in"), "--positive", "ill")
    words = said.splitlines()[-1].removeprefix("next: ").split()
    assert words[-1] == "evaluate@mine"
    space.succeed(*words[:-1], "binarize@mine")
    metrics = json.loads(space.read("metrics/data/mine.json"))
    assert metrics["data"] == "mine" and metrics["classes"] == ["healthy", "ill"]
    labels = [np.load(space.folder / f"data/binary/mine/{split}_labels.npy") for split in SPLITS]
    assert np.concatenate(labels).sum() == images[1].sum()
    assert space.params()["runs"]["mine"] == {"dataset": "mine", "init": "scratch"}
    assert "binarize@mine" not in space.changed()
