"""A folder of one's own as a data set: listing, splits, duplicates, the entry, and the graph."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from workspace import ROOT, Workspace

from chestflow import cli
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.own_images import listing, near_duplicates, splitting
from chestflow.own_images.listing import Item
from chestflow.sources import phantom

SPLITS = ("train", "val", "test")
ARCHIVE = Path("data/own/mine.npz")


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
    """Run the command in an empty folder; returns exit code, stdout and stderr."""
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        options = cli.parse(["pack", *map(str, words)])
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


def packed() -> dict[str, np.ndarray]:
    with np.load(ARCHIVE) as arrays:
        return dict(arrays)


# ---------------------------------------------------------------------------------------- layouts


def test_splits_given_stay_as_they_are(pack, presplit, images):
    code, said, _ = pack(presplit)
    assert code == 0
    arrays = packed()
    for split, members in zip(SPLITS, np.split(np.arange(60), [40, 50])):
        assert arrays[f"{split}_labels"].sum() == images[1][members].sum()
        expected = sorted(images[0][i].tobytes() for i in members)
        assert sorted(image.tobytes() for image in arrays[f"{split}_images"]) == expected
    assert "next: dvc exp run -S +runs.mine.dataset=mine -S +runs.mine.init=scratch" in said


def test_a_missing_val_is_drawn_from_train(pack, presplit):
    for path in presplit.glob("val/*/*"):
        path.rename(presplit / "train" / path.parent.name / path.name)
    shutil.rmtree(presplit / "val")
    pack(presplit)
    assert [len(packed()[f"{split}_images"]) for split in SPLITS] == [45, 5, 10]


def test_the_same_folder_gives_the_same_bytes(pack, folder, tmp_path):
    pack(folder)
    first = ARCHIVE.read_bytes()
    other = tmp_path / "elsewhere"
    for path in sorted(folder.rglob("*.png"), reverse=True):
        save(other / path.relative_to(folder), np.asarray(Image.open(path)))
    pack(other)
    assert ARCHIVE.read_bytes() == first
    assert list(ARCHIVE.parent.iterdir()) == [ARCHIVE]


def test_a_table_of_files_with_several_findings(pack, folder, tmp_path):
    files = sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*.png"))
    labels = ["No Finding", "mass", "mass|nodule", "nodule;effusion"]
    lines = ["File;Label", *(f'{name};"{labels[i % 4]}"' for i, name in enumerate(files))]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    for positive, diseased in (
        ((), 45),
        (("--positive", "effusion,mass"), 45),
        (
            ("--positive", "mass"),
            30,
        ),
    ):
        pack(tmp_path / "table.csv", *positive)
        assert sum(packed()[f"{split}_labels"].sum() for split in SPLITS) == diseased


def test_a_table_with_splits_patients_and_lines_within_a_field(pack, folder, tmp_path):
    reports = ("clear\u2028lungs", "clear\x85", "clear\nlungs")
    rows = [["file", "label", "split", "patient", "report"]]
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        split = ("train", "valid", "test")[i % 3]
        rows.append([path, path.parent.name, split, f"{split}{i}", reports[i % 3]])
    _, said, failed = pack(table(tmp_path, rows))
    assert [line.split()[1:3] for line in said.splitlines()[1:4]] == [["20", "20"]] * 3
    assert "patients unknown" not in said and failed.endswith("table.csv: not used: report\n")


# --------------------------------------------------------------------------------------- patients


def test_drawn_splits_divide_no_patient_and_keep_the_share_of_disease():
    rng = np.random.default_rng(0)
    ill = rng.random(1000) < 0.3
    patients = rng.integers(0, 1000, 2000)
    kinds = [("ab"[int(ill[patient])],) for patient in patients]
    items = [Item(f"{i:04}", Path(), kinds[i], patient=f"{p}") for i, p in enumerate(patients)]
    assigned = splitting.assign(items, ["b"])
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1)):
        members = assigned[split]
        assert len(members) / 2000 == pytest.approx(share, abs=0.02)
        diseased = np.mean([item.labels == ("b",) for item in members])
        assert diseased == pytest.approx(ill[patients].mean(), abs=0.03)
    of_split = [{item.patient for item in members} for members in assigned.values()]
    assert sum(map(len, of_split)) == len(set.union(*of_split))


@pytest.mark.parametrize("n", [3, 4, 200])
def test_three_patients_of_each_kind_are_enough(n):
    items = [Item(f"{k}{i}", Path(), (k,)) for k in "ab" for i in range(n if k == "a" else 3)]
    for members in splitting.assign(items, ["b"]).values():
        assert {label for item in members for label in item.labels} == {"a", "b"}


def test_patients_are_known_by_a_pattern(pack, folder):
    assert "warning: patients unknown" in pack(folder)[1]
    _, said, _ = pack(folder, "--groups", r"(p\d+)_|(q\d+)")
    rows = [line.split() for line in said.splitlines()[1:4]]
    assert sum(int(row[2]) for row in rows) == 20 and "warning" not in said
    _, said, _ = pack(folder, "--groups", r"(p0\d)_")
    assert "pack: 30 files without a patient, each one of its own: " in said


def test_a_patient_in_two_of_the_given_splits_is_refused(pack, presplit):
    line = refusal(pack, presplit, "--groups", r"([0-9])[0-9]*\.png")
    assert "patients are in more than one split (" in line and "accepted: each in one" in line


# ------------------------------------------------------------------------------------- duplicates


def test_equal_images_across_splits_stay_in_the_later_one(pack, presplit):
    test = next(presplit.glob("test/NORMAL/*"))
    image = np.asarray(Image.open(test))
    save(presplit / "train/NORMAL/copy.png", image)
    save(presplit / "train/PNEUMONIA/contrary.png", image)
    own = next(presplit.glob("train/NORMAL/[0-9]*"))
    save(presplit / "train/NORMAL/again.png", np.asarray(Image.open(own)))
    _, said, _ = pack(presplit)
    assert "pack: 2 equal images across splits, left out of the first: " in said
    assert f"train/NORMAL/copy.png (train) = {test.relative_to(presplit)} (test)" in said
    arrays = packed()
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
    "file,label\na.png,x\na.png,y\n": "a.png in 2 lines; accepted: one",
    "file,label,split\na.png,x,other\n": "line 2: split 'other'; accepted: train, val, test",
    "file,label\na.png,normal|mass\n": "line 2: normal together with a finding",
    "file,label\n": "no line below its header",
    "": "columns none; accepted: with file and label",
    'file,label\n"a.png,x\n': "unexpected end of data",
    "file;label\na.png;mass;effusion\n": "line 2: more fields than columns",
    "file,label\na.png,\n": "line 2: no label ('')",
    "file,label\na.png,NaN\n": "line 2: no label ('NaN')",
    "file,label\na.png, N/A \n": "line 2: no label ('N/A')",
    "file,label\na.png,?|None\n": "line 2: no label ('?')",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_mistake_in_a_table_is_told_with_its_line(text, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    assert TABLES[text] in refusal(listing.items, tmp_path / "table.csv", None, "pack")


def test_a_word_for_a_missing_value_is_no_patient(tmp_path):
    (tmp_path / "table.csv").write_text("file,label,patient\na,x,N/A\nb,y,7\n")
    patients = [item.patient for item in listing.items(tmp_path / "table.csv", None, "pack")]
    assert patients == ["", "7"]


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "set.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    said = refusal(listing.items, tmp_path / "set.xlsx", None, "pack")
    assert "is no CSV in UTF-8" in said and "accepted: FOLDER/{class}" in said
    assert "missing: no such file" in refusal(listing.items, tmp_path / "missing", None, "pack")


FOLDERS = {  # images below a folder -> what is said
    ("unknown/a", "b/a"): "no label",
    ("NORMAL/a", "PNEUMONIA/test/a"): "a split within a class; accepted: FOLDER",
    ("NORMAL/a", "b"): "b.png lies in no folder of a class; accepted: FOLDER/{class}",
    ("train/NORMAL/a", "other/NORMAL/a"): "other lies beside splits",
    ("a/masks/1",): "only masks",
    ("train/a",): "a.png lies in no folder of a class",
}


@pytest.mark.parametrize("names", FOLDERS)
def test_folders_that_are_no_classes_are_refused(names, tmp_path):
    for name in names:
        save(tmp_path / f"in/{name}.png", np.eye(9, dtype=np.uint8))
    assert FOLDERS[names] in refusal(listing.items, tmp_path / "in", None, "pack")


OPTIONS = {  # an option -> what is said
    "--name=a b": "name: 'a b' is no name",
    "--name=chestmnist": "has a data set chestmnist already",
    "--positive=pneumonia": "positive: 'pneumonia' is no class; accepted: NORMAL",
    "--positive=NORMAL,PNEUMONIA": "no healthy image in train",
    "--groups=(p": "groups: '(p' is no pattern",
    r"--groups=(person\d+)": "matches no patient in 60 names, such as NORMAL/p",
    "--groups=(.)": "no diseased image in val (0 images)",  # all of one patient
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_checked_before_anything_is_written(option, pack, folder, tmp_path):
    before = (tmp_path / "datasets.yaml").read_bytes()
    assert OPTIONS[option] in refusal(pack, folder, option)
    assert (tmp_path / "datasets.yaml").read_bytes() == before
    assert not ARCHIVE.exists()


def test_where_no_class_is_known_as_healthy_the_diseased_must_be_named(pack, folder):
    (folder / "NORMAL").rename(folder / "gesund")
    assert "which of the classes PNEUMONIA, gesund are diseased" in refusal(pack, folder)


# ------------------------------------------------------------------------- what folders are like


def test_masks_and_what_is_no_image_are_left_out_and_told(pack, folder):
    for path in sorted(folder.rglob("*.png")):
        save(path.parent / "masks" / path.name, np.asarray(Image.open(path)) // 2)
    save(folder / "NORMAL/p1_mask.png", drawn(1)[0][0])
    for name in ("a.mha", "e.tif", "Thumbs.db", ".DS_Store"):
        (folder / "NORMAL" / name).write_bytes(b"no image")
    code, _, failed = pack(folder)
    passed_over, masks = failed.splitlines()
    assert code == 0 and passed_over.endswith(" are no PNG, JPEG or DICOM: a.mha, e.tif")
    assert masks.startswith("pack: 61 masks left out, by their names, such as NORMAL/masks/p")
    assert sum(len(packed()[f"{split}_images"]) for split in SPLITS) == 60


@pytest.mark.parametrize("name", ["Normal ", "\u00a0normal\u00a0", "NO_FINDING", "no  finding"])
def test_a_healthy_class_is_known_by_its_name_without_blanks(name, tmp_path):
    for place in (name, "PNEUMONIA"):
        save(tmp_path / place / "a.png", np.eye(9, dtype=np.uint8))
    items = listing.items(tmp_path, None, "pack")
    assert listing.diseased_classes(items, "") == ("PNEUMONIA",)


def test_unreadable_files_are_named_and_the_rest_is_packed(pack, presplit):
    place = presplit / "train/NORMAL"
    (place / "letter\n.png").write_bytes(b"Dear colleague")
    (place / "loop.png").symlink_to(place / "loop.png")
    code, _, failed = pack(presplit)
    letter, loop, counted = failed.splitlines()
    assert code == 1 and "letter\\n.png" in letter and "loop.png" in loop
    assert counted == "pack: 2 of 62 files could not be read, see above"
    assert len(packed()["train_images"]) == 40


def test_where_nothing_can_be_read_nothing_is_written(pack, presplit):
    for path in presplit.rglob("*.png"):
        path.write_bytes(b"no picture")
    assert "none of 60 files could be read, see above" in refusal(pack, presplit)
    assert not ARCHIVE.exists()


# -------------------------------------------------------------------------------------- the entry


def test_the_entry_leaves_the_rest_of_the_file_as_it_is(pack, folder, tmp_path):
    path, before = tmp_path / "datasets.yaml", (ROOT / "datasets.yaml").read_text()
    pack(folder)
    assert path.read_text().startswith(before)
    declared = reading.dataset(path, "mine")
    assert declared.md5 == hashlib.md5(ARCHIVE.read_bytes()).hexdigest()
    assert (declared.title, declared.positive) == ("mine", "PNEUMONIA")
    pack(folder, "--name", "theirs")
    pack(folder, "--pixels", "64")
    assert path.read_text().startswith(before)
    assert list(reading.datasets(path))[-2:] == ["mine", "theirs"]
    assert reading.dataset(path, "mine").md5 != declared.md5


def test_the_next_command_names_a_run_that_is_free(pack, folder):
    _, said, _ = pack(folder, "--name", "chest", "--pixels", "64")
    changes = "-S +runs.chest-own.dataset=chest -S +runs.chest-own.init=scratch -S pixels=64"
    assert said.splitlines()[-1] == f"next: dvc exp run {changes} evaluate@chest-own"


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
