"""A folder of one's own as a data set: listing, splits, duplicates, the entry, and the graph."""

import csv
import hashlib
import itertools
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from workspace import ROOT, Workspace

from chestflow import cli
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.own_images import near_duplicates, splitting
from chestflow.own_images.listing import Item
from chestflow.sources import phantom
from stages.binarize import binarize
from stages.download import download

SPLITS = ("train", "val", "test")
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def drawn(n: int, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    arrays = phantom.archive("pneumoniamnist", {"train": n}, seed=0, size=size)
    return arrays["train_images"], arrays["train_labels"][:, 0]


def save(path: Path, image: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    return drawn(60)


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
def pack(tmp_path, capsys, monkeypatch):
    """Run the command; returns exit code, stdout and stderr."""
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        options = cli.parse(["pack", *map(str, words), "--out", str(tmp_path / "own")])
        code = options.function(options)
        return code, *capsys.readouterr()

    return run


def refusal(run, *words) -> str:
    with pytest.raises(UserError) as caught:
        run(*words)
    return str(caught.value)


def table(folder: Path, rows: list[list]) -> Path:
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "table.csv"


def packed(folder: Path, name: str = "mine") -> dict[str, np.ndarray]:
    with np.load(folder / f"own/{name}.npz") as arrays:
        return dict(arrays)


# ---------------------------------------------------------------------------------------- layouts


def test_splits_given_stay_as_they_are(pack, presplit, tmp_path, images):
    code, said, _ = pack(presplit)
    assert code == 0
    arrays = packed(tmp_path)
    for split, members in zip(SPLITS, np.split(np.arange(60), [40, 50])):
        assert len(arrays[f"{split}_images"]) == len(members)
        assert arrays[f"{split}_labels"].sum() == images[1][members].sum()
        expected = {images[0][i].tobytes() for i in members}
        assert {image.tobytes() for image in arrays[f"{split}_images"]} == expected
    assert "next: dvc exp run -S +runs.mine.dataset=mine -S +runs.mine.init=scratch" in said


def test_a_missing_val_is_drawn_from_train(pack, presplit, tmp_path):
    for path in presplit.glob("val/*/*"):
        path.rename(presplit / "train" / path.parent.name / path.name)
    for path in [*presplit.glob("val/*"), presplit / "val"]:
        path.rmdir()
    pack(presplit, "--split", "0.6,0.2,0.2")
    arrays = packed(tmp_path)
    assert [len(arrays[f"{split}_images"]) for split in SPLITS] == [37, 13, 10]


def test_the_same_folder_gives_the_same_bytes(pack, folder, tmp_path):
    pack(folder)
    first = (tmp_path / "own/mine.npz").read_bytes()
    other = tmp_path / "elsewhere"
    for path in sorted(folder.rglob("*.png"), reverse=True):
        save(other / path.relative_to(folder), np.asarray(Image.open(path)))
    pack(other)
    assert (tmp_path / "own/mine.npz").read_bytes() == first
    pack(folder, "--seed", "1")
    assert (tmp_path / "own/mine.npz").read_bytes() != first
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"mine.npz"}


def test_a_table_of_files_with_several_findings(pack, folder, tmp_path):
    files = sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*.png"))
    labels = ["No Finding", "mass", "mass|nodule", "nodule;effusion"]
    lines = ["File;Label", *(f'{name};"{labels[i % 4]}"' for i, name in enumerate(files))]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    pack(tmp_path / "table.csv", "--positive", "effusion,mass", "--name", "several")
    declared = reading.dataset(tmp_path / "datasets.yaml", "several")
    assert (declared.findings, declared.classes, declared.diseased) == (3, 2, [0, 1])
    arrays = packed(tmp_path, "several")
    labels = np.concatenate([arrays[f"{split}_labels"] for split in SPLITS])
    assert labels.sum(0).tolist() == [15, 30, 30]  # effusion, mass, nodule


def test_a_table_with_splits_patients_and_lines_within_a_field(pack, folder, tmp_path):
    reports = itertools.cycle(("clear\u2028lungs", "clear\x85", "clear\nlungs"))
    rows = [["file", "label", "split", "patient", "report"]]
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        split = ("train", "valid", "test")[i % 3]
        rows.append([path, path.parent.name, split, f"{split}{i}", next(reports)])
    _, said, failed = pack(table(tmp_path, rows))
    assert [line.split()[1:3] for line in said.splitlines()[1:4]] == [["20", "20"]] * 3
    assert "patients unknown" not in said and failed.endswith("table.csv: not used: report\n")


# --------------------------------------------------------------------------------------- patients


def test_drawn_splits_divide_no_patient_and_keep_the_class_shares():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 300, 1000)
    labels = rng.choice(["a", "b", "c"], 1000, p=[0.7, 0.25, 0.05])
    items = [
        Item(f"{i:04}", Path(), (str(label),), patient=f"{patient}")
        for i, (label, patient) in enumerate(zip(labels, patients))
    ]
    assigned = splitting.assign(items, SHARES, seed=0)
    splits_of = defaultdict(set)
    for split, members in assigned.items():
        assert len(members) / 1000 == pytest.approx(SHARES[split], abs=0.01)
        for item in members:
            splits_of[item.patient].add(split)
        for name in "abc":
            share = np.mean([item.labels == (name,) for item in members])
            assert share == pytest.approx(np.mean(labels == name), abs=0.02)
    assert all(len(splits) == 1 for splits in splits_of.values())


@pytest.mark.parametrize("n", [3, 4, 5])
def test_three_files_of_each_class_are_enough_whatever_the_seed(n):
    items = [Item(f"{k}{i}", Path(), (k,)) for k in "ab" for i in range(n)]
    for seed in range(50):
        for members in splitting.assign(items, SHARES, seed).values():
            assert {label for item in members for label in item.labels} == {"a", "b"}


def test_of_a_rare_class_every_split_gets_some_and_large_patients_stay_in_train():
    items = [Item(f"{i:03}", Path(), ("rare" if i < 3 else "common",)) for i in range(200)]
    items += [Item(f"p{i:03}", Path(), ("common",), patient="p") for i in range(100)]
    for seed in range(20):
        assigned = splitting.assign(items, SHARES, seed)
        assert all(any(item.labels == ("rare",) for item in assigned[split]) for split in SPLITS)
        assert any(item.patient == "p" for item in assigned["train"])
        assert len(assigned["val"]) == pytest.approx(30, abs=2)


def test_patients_are_known_by_a_pattern(pack, folder):
    _, said, _ = pack(folder)
    assert "warning: patients unknown" in said
    _, said, _ = pack(folder, "--groups", r"(p\d+)_|(q\d+)")
    rows = [line.split() for line in said.splitlines()[1:4]]
    assert sum(int(row[2]) for row in rows) == 20 and "warning" not in said
    _, said, _ = pack(folder, "--groups", r"(p0\d)_")
    assert "pack: 30 files without a patient, each one of its own: " in said


def test_a_patient_in_two_of_the_given_splits_is_refused(pack, presplit):
    line = refusal(pack, presplit, "--groups", r"([0-9])[0-9]*\.png")
    assert "patients are in more than one split (" in line and "accepted: each in one" in line


# ------------------------------------------------------------------------------------- duplicates


def test_equal_images_across_splits_stay_in_the_later_one(pack, presplit, tmp_path):
    test = next(presplit.glob("test/NORMAL/*"))
    image = np.asarray(Image.open(test))
    save(presplit / "train/NORMAL/copy.png", image)
    save(presplit / "train/PNEUMONIA/contrary.png", image)
    own = next(presplit.glob("train/NORMAL/[0-9]*"))
    save(presplit / "train/NORMAL/again.png", np.asarray(Image.open(own)))
    _, said, _ = pack(presplit)
    assert "pack: 2 equal images across splits, left out of the first: " in said
    assert f"train/NORMAL/copy.png (train) = {test.relative_to(presplit)} (test)" in said
    arrays = packed(tmp_path)
    assert [len(arrays[f"{split}_images"]) for split in SPLITS] == [41, 10, 10]
    assert image.tobytes() not in {each.tobytes() for each in arrays["train_images"]}


def test_nearly_equal_images_are_found_across_splits(pack, presplit):
    test = next(presplit.glob("test/NORMAL/*"))
    large = Image.open(test).resize((90, 90), Image.Resampling.NEAREST)
    brighter = np.clip(0.8 * np.asarray(large) + 30, 0, 255).astype(np.uint8)
    save(presplit / "train/NORMAL/copy.jpg", brighter, quality=50)
    _, said, _ = pack(presplit)
    line = f"train/NORMAL/copy.jpg (train) = {test.relative_to(presplit)} (test)"
    assert f"pack: 1 nearly equal images across splits, kept: {line}\n" in said


def test_different_images_are_not_nearly_equal():
    images, _ = drawn(200)
    assert list(near_duplicates.near(images, images)) == [(i, i) for i in range(200)]


# --------------------------------------------------------------------------------------- mistakes


TABLES = {  # a CSV -> what is said
    "path,label\na.png,x\n": "columns path, label; accepted: with file and label",
    "file,label\na.png,\n": "line 2: no label ('')",
    "file,label\na.png,x\na.png,y\n": "a.png in 2 lines; accepted: one",
    "file,label,split\na.png,x,other\n": "line 2: split 'other'; accepted: train, val, test",
    "file,label\na.png,normal|mass\n": "line 2: normal together with a finding",
    "file,label\n": "no line below its header",
    "": "columns none; accepted: with file and label",
    'file,label\n"a.png,x\n': "unexpected end of data",
    "file;label\na.png;mass;effusion\n": "line 2: more fields than columns",
    "file,label\na.png,mass|effusion\nb.png,gesund\n": "which of the classes effusion, gesund",
    "file,label,split\na.png,normal,train\nb.png,y,\n": "splits are given as none, train",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_mistake_in_a_table_is_told_with_its_line(text, pack, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    assert TABLES[text] in refusal(pack, tmp_path / "table.csv")


@pytest.mark.parametrize("word", ["nan", "NaN", "N/A", "null", "unknown", "?", "-", "None", " NA "])
def test_a_word_for_a_missing_value_is_no_label_and_no_patient(word, pack, folder, tmp_path):
    first, *rest = sorted(folder.rglob("*.png"))
    header = ["file", "label", "patient"]
    rows = [[path, path.parent.name, f"p{i}"] for i, path in enumerate(rest)]
    assert "no label" in refusal(pack, table(tmp_path, [header, [first, word, "p"], *rows]))
    _, said, _ = pack(table(tmp_path, [header, [first, "NORMAL", word], *rows]))
    assert "1 files without a patient" in said


def test_a_folder_for_a_missing_value_is_no_class(pack, folder):
    (folder / "NORMAL").rename(folder / "unknown")
    assert "no label" in refusal(pack, folder)


FOLDERS = {  # images below a folder -> what is said
    ("NORMAL/a",): "no image of class diseased in train",
    ("train/NORMAL/a", "train/b/a"): "splits are given as train; accepted: train, test",
    ("NORMAL/a", "PNEUMONIA/test/a"): "a split within a class; accepted: FOLDER",
    ("NORMAL/a", "b"): "b.png lies beside folders; accepted: FOLDER/{class}",
    ("train/NORMAL/a", "other/NORMAL/a"): "other lies beside splits",
    ("a/masks/1",): "only masks",
    ("a",): "no folder per class in it; accepted: FOLDER/{class}/...",
}


@pytest.mark.parametrize("names", FOLDERS)
def test_folders_that_are_no_classes_are_refused(names, pack, tmp_path):
    for name in names:
        save(tmp_path / f"in/{name}.png", drawn(1)[0][0])
    assert FOLDERS[names] in refusal(pack, tmp_path / "in")


@pytest.mark.parametrize(
    "name, said",
    [
        ("set.zip", "unpack it first"),
        ("set.npz", "needs no packing, see docs/data.md"),
        ("set.xlsx", "save the sheet as CSV"),
        ("set.png", "is no CSV in UTF-8"),
    ],
)
def test_what_is_no_table_is_told_what_to_do(name, said, pack, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04\xff\xfe")
    assert said in refusal(pack, tmp_path / name)
    assert "missing: no such file or folder" in refusal(pack, tmp_path / "missing")


OPTIONS = {  # an option -> what is said
    "--split=0.8,0.1,0.2": "split = 0.8,0.1,0.2; accepted: three shares",
    "--split=nan,0.5,0.5": "accepted: three shares",
    "--name=a b": "name: 'a b' is no name",
    "--name=ChestMNIST": "has a data set ChestMNIST already",
    "--positive=pneumonia": "positive: 'pneumonia' is no class; accepted: NORMAL",
    "--positive=NORMAL,PNEUMONIA": "no image of class healthy",
    "--groups=(p": "groups: '(p' is no pattern",
    "--groups=p": "groups: 'p' matches no patient",
    r"--groups=(person\d+)": "matches no patient in 60 names, such as NORMAL/p",
    "--groups=(.)": "no image of class",  # all of one patient
    "--seed=-1": "seed = -1; accepted: 0 or more",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_checked_before_anything_is_written(option, pack, folder, tmp_path):
    before = (tmp_path / "datasets.yaml").read_bytes()
    assert OPTIONS[option] in refusal(pack, folder, option)
    assert (tmp_path / "datasets.yaml").read_bytes() == before
    assert not list(tmp_path.glob("own/*"))


# ------------------------------------------------------------------------- what folders are like


def test_what_is_no_image_is_passed_over_and_named(pack, folder):
    others = ("a.mha", "b.jp2", "c.pgm", "d.nrrd", "e.tif")
    for name in (*others, "Thumbs.db", ".DS_Store"):
        (folder / "NORMAL" / name).write_bytes(b"no image")
    code, _, failed = pack(folder)
    named = ", ".join(others)
    assert code == 0
    assert failed == f"pack: 5 files passed over, which are no PNG, JPEG or DICOM: {named}\n"


def test_masks_beside_images_are_left_out_and_counted(pack, folder, tmp_path):
    for path in sorted(folder.rglob("*.png")):
        save(path.parent / "masks" / path.name, np.asarray(Image.open(path)) // 2)
    save(folder / "NORMAL/p1_mask.png", drawn(1)[0][0])
    _, _, failed = pack(folder)
    assert "pack: 61 masks left out, by their names, such as NORMAL/masks/p" in failed
    assert sum(len(packed(tmp_path)[f"{split}_images"]) for split in SPLITS) == 60


@pytest.mark.parametrize("name", ["Normal ", "\u00a0normal\u00a0", "NO_FINDING", "no  finding"])
def test_a_healthy_class_is_known_by_its_name_without_blanks(name, pack, folder):
    (folder / "NORMAL").rename(folder / name)
    assert "pack: diseased: PNEUMONIA\n" in pack(folder)[1]


# --------------------------------------------------------------------------------- hostile files


def test_unreadable_files_are_named_and_the_rest_is_packed(pack, presplit, tmp_path):
    place = presplit / "train/NORMAL"
    (place / "letter\n.png").write_bytes(b"Dear colleague")
    (place / "loop.png").symlink_to(place / "loop.png")
    code, _, failed = pack(presplit)
    letter, loop, counted = failed.splitlines()
    assert code == 1 and "letter\\n.png" in letter and "loop.png" in loop
    assert counted == "pack: 2 of 62 files could not be read, see above"
    assert len(packed(tmp_path)["train_images"]) == 40


def test_where_nothing_can_be_read_nothing_is_written(pack, presplit, tmp_path):
    for path in presplit.rglob("*.png"):
        path.write_bytes(b"no picture")
    assert "none of 60 files could be read, see above" in refusal(pack, presplit)
    assert not list(tmp_path.glob("own/*"))


# -------------------------------------------------------------------------------------- the entry


def test_the_entry_leaves_the_rest_of_the_file_as_it_is(pack, folder, tmp_path):
    path, before = tmp_path / "datasets.yaml", (ROOT / "datasets.yaml").read_text()
    pack(folder)
    first = path.read_text()
    assert first.startswith(before) and "# 0 NORMAL, 1 PNEUMONIA" in first
    declared = reading.dataset(path, "mine")
    assert declared.md5 == hashlib.md5((tmp_path / "own/mine.npz").read_bytes()).hexdigest()
    assert (declared.title, declared.positive, declared.diseased) == ("mine", "PNEUMONIA", [1])
    pack(folder, "--name", "theirs")
    pack(folder, "--pixels", "64")
    assert path.read_text().startswith(before)
    assert list(reading.datasets(path))[-2:] == ["mine", "theirs"]
    assert reading.dataset(path, "mine").md5 != declared.md5


def test_the_next_command_names_a_run_that_is_free(pack, folder, tmp_path):
    _, said, _ = pack(folder, "--name", "chest", "--pixels", "64")
    changes = "-S +runs.chest-own.dataset=chest -S +runs.chest-own.init=scratch -S pixels=64"
    assert said.splitlines()[-1] == f"next: dvc exp run {changes} evaluate@chest-own"


# -------------------------------------------------------------------------------------- the graph


@pytest.mark.parametrize("source", ["phantom", "medmnist"])
def test_stages_take_the_archive_whatever_the_source(pack, folder, tmp_path, source):
    pack(folder, "--positive", "NORMAL")
    raw, out, metrics = tmp_path / "raw.npz", tmp_path / "binary", tmp_path / "metrics.json"
    datasets = tmp_path / "datasets.yaml"
    download("mine", datasets, raw, source=source, pixels=28)
    assert raw.read_bytes() == (tmp_path / "own/mine.npz").read_bytes()
    binarize("mine", datasets, raw, out, metrics, pixels=28)
    about, arrays = json.loads(metrics.read_text()), packed(tmp_path)
    assert about["data"] == "mine" and about["classes"] == ["healthy", "NORMAL"]
    assert np.array_equal(np.load(out / "test_labels.npy"), 1 - arrays["test_labels"][:, 0])


def test_a_third_data_set_goes_through_the_graph(tmp_path, environment, images):
    """The command that `pack` prints, up to the images: DVC takes the keys that are null."""
    space = Workspace(tmp_path / "space", environment)
    space.folder.mkdir()
    space.fill(leave=("plots/", "report/"))
    space.commit()
    for i, (image, label) in enumerate(zip(*images)):
        save(tmp_path / "in" / ("healthy", "ill")[label] / f"{i}.png", image)
    said = space.succeed("chestflow", "pack", str(tmp_path / "in"), "--positive", "ill")
    words = said.splitlines()[-1].removeprefix("next: ").split()
    assert words[-1] == "evaluate@mine"
    space.succeed(*words[:-1], "binarize@mine")
    metrics = json.loads(space.read("metrics/data/mine.json"))
    assert metrics["data"] == "mine" and metrics["classes"] == ["healthy", "ill"]
    assert space.params()["runs"]["mine"] == {"dataset": "mine", "init": "scratch"}
    assert "binarize@mine" not in space.changed()
