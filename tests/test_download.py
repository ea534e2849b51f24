"""Downloads from a real server on localhost, archives, and the stages that read them."""

import hashlib
import io
import os
import threading
import tracemalloc
import zipfile
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

from chestflow.errors import UserError
from chestflow.sources import archive, download, phantom
from stages.binarize import binarize
from stages.download import download as stage

SIZES = {"train": 70, "val": 20, "test": 30}


def images(findings: int = 1, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a small valid archive."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in SIZES.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (n, findings), np.uint8)
    return arrays | changed


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


BODY = packed(images())
MD5 = hashlib.md5(BODY).hexdigest()
HTML = b"<html><body>Please log in to the hospital network.</body></html>"


# ------------------------------------------------------------------------------------- downloads


class Server(ThreadingHTTPServer):
    """Answers each request by the next of `answers` (status, body, announced length), and all
    further ones by the last."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths, self.answers = [], [(200, BODY, len(BODY))]
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/files/images.npz?download=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.paths.append(self.path)
        answers = self.server.answers
        status, body, length = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """An empty home, no mirror, no proxy between us and localhost."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "MEDMNIST_MIRROR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "data" / "raw" / "images.npz"


def failure(out: Path, *places) -> str:
    """The one line with which fetching ends; nothing may lie at `out` or beside it."""
    with pytest.raises(UserError) as caught:
        download.fetch(out, [str(place) for place in places], MD5, retries=0)
    assert not list(out.parent.glob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_download_is_byte_identical_and_leaves_nothing_beside_it(server, out):
    assert download.fetch(out, [server.url], MD5) == server.url
    assert out.read_bytes() == BODY
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, b"", 0), "HTTP 404 Not Found"),
        ((200, HTML, len(HTML)), f"expected md5:{MD5} but got {hashlib.md5(HTML).hexdigest()}"),
        ((200, BODY[:50_000], len(BODY)), "IncompleteRead(50000 bytes read"),
    ],
    ids=["missing", "another file", "cut off"],
)
def test_a_failed_download_costs_one_line(server, out, answer, reason):
    server.answers = [answer]
    line = failure(out, server.url)
    assert line.startswith(f"images.npz: could not download it; tried: {server.url} (")
    assert reason in line


def test_a_temporary_failure_is_retried(server, out):
    server.answers = [(503, b"", 0), *server.answers]
    download.fetch(out, [server.url], MD5, retries=1)
    assert out.read_bytes() == BODY and len(server.paths) == 2


def test_all_failures_are_listed(server, out, tmp_path):
    server.answers = [(403, b"", 0)]
    unreachable, invalid = "http://127.0.0.1:1/images.npz", "http://[/a.npz"
    line = failure(out, tmp_path, "~/none.npz", server.url, unreachable, invalid)
    assert f"{tmp_path} (Is a directory); ~/none.npz (No such file or directory); " in line
    assert f"{server.url} (HTTP 403 Forbidden); {unreachable} (" in line
    assert f"Connection refused); {invalid} (" in line


def test_the_first_good_file_is_used_without_a_network(server, out, tmp_path):
    cache = tmp_path / "home/.medmnist"
    cache.mkdir(parents=True)
    (tmp_path / "images.npz").write_bytes(HTML)
    (cache / "images.npz").write_bytes(BODY)
    places = [str(tmp_path / "images.npz"), "~/.medmnist/images.npz", server.url]
    assert download.fetch(out, places, MD5) == "~/.medmnist/images.npz"
    assert out.read_bytes() == BODY and not server.paths


def test_mirror_then_cache_then_address(monkeypatch):
    url, cached = "https://host/records/1/images.npz?download=1", "/.medmnist/images.npz"
    assert download.places(url) == [os.environ["HOME"] + cached, url]
    monkeypatch.setenv("MEDMNIST_MIRROR", "/mnt/mirror/")
    assert download.places(url) == ["/mnt/mirror/images.npz", os.environ["HOME"] + cached, url]


def test_addresses_of_every_size_come_from_medmnist():
    for pixels, suffix in ((28, ""), (224, "_224")):
        url, md5 = download.medmnist_file("chestmnist", pixels)
        assert f"/chestmnist{suffix}.npz" in url and len(md5) == 32
    with pytest.raises(UserError, match=r"no data set mine .* datasets\.mine\.url"):
        download.medmnist_file("mine", 28)


# -------------------------------------------------------------------------------------- archives


def verdict(folder: Path, contents: bytes | dict) -> str:
    """What `unpack` says about an archive, without its path; empty if it accepts it."""
    path = folder / "a.npz"
    path.write_bytes(packed(contents) if isinstance(contents, dict) else contents)
    try:
        archive.unpack(path, folder / "unpacked", 28)
    except UserError as error:
        assert "\n" not in str(error) and str(error).startswith(f"{path}: ")
        return str(error).removeprefix(f"{path}: ")
    return ""


@pytest.mark.parametrize("findings", [1, 14])
def test_valid_archives_are_mapped(tmp_path, findings):
    labels = images(findings)["val_labels"].astype(np.int64)
    contents = images(findings, val_labels=labels, origin=np.array("phantom"))
    assert verdict(tmp_path, contents) == ""
    arrays = archive.unpack(tmp_path / "a.npz", tmp_path / "unpacked", 28)
    assert arrays.keys() == images().keys()
    for key, array in arrays.items():
        assert isinstance(array, np.memmap) and np.array_equal(array, contents[key])
    assert archive.is_phantom(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "contents",
    [HTML, BODY[:-100], BODY[:5000] + b"x" + BODY[5001:]],
    ids=["html", "truncated", "checksum"],
)
def test_files_that_are_not_archives(tmp_path, contents):
    assert verdict(tmp_path, contents).startswith("not a readable npz archive (")


IMAGES = "uint8 (n, 28, 28) at pixels = 28"
OBJECTS = np.array([[print]] * 70, dtype=object)


@pytest.mark.parametrize(
    ("key", "array", "expected"),
    [
        ("train_images", np.zeros((70, 28, 28)), f"float64 (70, 28, 28); accepted: {IMAGES}"),
        ("train_images", np.zeros((70, 64, 64), "u1"), f"uint8 (70, 64, 64); accepted: {IMAGES}"),
        ("train_labels", np.zeros((70, 1)), "float64 (70, 1); accepted: integer (70, 1)"),
        ("val_labels", np.zeros((19, 1), "u1"), "uint8 (19, 1); accepted: integer (20, 1)"),
        ("val_masks", np.zeros((9, 28, 28), "?"), "bool (9, 28, 28); accepted: integer or bool"),
    ],
)
def test_wrong_shapes_and_types(tmp_path, key, array, expected):
    assert verdict(tmp_path, images(**{key: array})).startswith(f"{key} is {expected}")


def test_missing_arrays_and_labels_out_of_range(tmp_path):
    arrays = images()
    del arrays["val_labels"]
    assert verdict(tmp_path, arrays).startswith("val_labels is missing; it holds train_images, ")
    odd = np.full((30, 14), 7, np.uint8)
    assert verdict(tmp_path, images(test_labels=odd[:, :1])) == ""
    said = verdict(tmp_path, images(14, test_labels=odd))
    assert said == "test_labels holds 7 to 7; accepted: 0 to 1"


def test_pickled_objects_are_never_loaded(tmp_path):
    line = verdict(tmp_path, images(train_labels=OBJECTS))
    assert line.startswith("not a readable npz archive (") and "object" in line
    assert verdict(tmp_path, images(extra=OBJECTS)) == "", "nobody reads it"


def test_a_written_archive_is_reproducible_and_complete(tmp_path):
    for folder in ("one", "two"):
        archive.write(tmp_path / folder / "a.npz", images())
    one, two = (tmp_path / folder / "a.npz" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as written:  # ZIP64, which Python's releases mark differently
        assert {member.extract_version for member in written.infolist()} == {20}
    assert list(one.parent.iterdir()) == [one]
    assert verdict(tmp_path, one.read_bytes()) == ""


# -------------------------------------------------------------------------------------- the stages


def downloaded(out: Path, source: str = "medmnist", **declared) -> str:
    """What stage `download` says of PneumoniaMNIST, declared as given, or the one line in which it
    ends; then nothing may lie at `out` or beside it."""
    entry = {"title": "Mine", "positive": "ill", **declared}
    datasets = out.parents[2] / "datasets.yaml"
    datasets.write_text(yaml.safe_dump({"datasets": {"pneumoniamnist": entry}}))
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            stage("pneumoniamnist", datasets, out, source=source, pixels=28)
    except UserError as error:
        assert not list(out.parent.glob("*"))
        return str(error)
    return said.getvalue()


def test_the_stage_fetches_from_a_mirror(server, out, monkeypatch):
    monkeypatch.setenv("MEDMNIST_MIRROR", f"{server.address}/mirror/")
    said = downloaded(out, url="https://nonexistent.invalid/images.npz?download=1", md5=MD5)
    assert said == f"download: {out} is {server.address}/mirror/images.npz\n"
    assert server.paths == ["/mirror/images.npz"] and out.read_bytes() == BODY


PHANTOM = {"seed": 0, **dict.fromkeys(SIZES, 10)}


def test_a_data_set_without_a_phantom(out, tmp_path):
    """One's own is read whatever the source, and the advice does not offer a phantom."""
    own = {"url": str(tmp_path / "own.npz"), "md5": MD5}
    line = downloaded(out, "phantom", **own)
    assert "set MEDMNIST_MIRROR to" in line and "source=phantom" not in line
    (tmp_path / "own.npz").write_bytes(BODY)
    assert downloaded(out, "phantom", **own) == f"download: {out} is {tmp_path / 'own.npz'}\n"
    out.unlink()
    assert "pneumoniamnist has no phantom; set source=medmnist" in downloaded(out, "phantom")


def test_the_stage_writes_the_same_phantom_as_in_memory_and_marks_it(out):
    declared = PHANTOM | {"shortcut": 0.3}
    assert "PHANTOM" in downloaded(out, "phantom", phantom=declared)
    assert list(out.parent.iterdir()) == [out]
    with np.load(out) as arrays:
        assert arrays["origin"] == "phantom"
        sizes = dict.fromkeys(SIZES, 10)
        for key, array in phantom.archive("pneumoniamnist", sizes, 0, shortcut=0.3).items():
            assert np.array_equal(arrays[key], array)


def binarized(tmp_path, contents: dict, pixels: int = 28, **declared) -> Path:
    """The folder that stage `binarize` writes of an archive."""
    archive.write(tmp_path / "a.npz", contents)
    entry = {"title": "Mine", "positive": "ill", **declared}
    (tmp_path / "datasets.yaml").write_text(yaml.safe_dump({"datasets": {"mine": entry}}))
    files = tmp_path / "datasets.yaml", tmp_path / "a.npz", tmp_path / "out"
    binarize("mine", *files, tmp_path / "metrics.json", pixels=pixels)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("findings", "diseased", "expected"),
    [
        (1, [2], r"datasets.mine.diseased = \[2\]; accepted: labels 0, 1, or null"),
        (3, [3], "accepted: columns 0, 1, 2, or null"),
        (1, [0, 1], "all 70 train images of mine are ill; accepted: both classes in every split"),
    ],
)
def test_diseased_labels_that_no_image_or_every_image_has(tmp_path, findings, diseased, expected):
    with pytest.raises(UserError, match=expected):
        binarized(tmp_path, images(findings), diseased=diseased)
    assert not (tmp_path / "out").exists()


def test_masks_are_of_the_findings_that_count(tmp_path):
    labels, masks = images(3)["val_labels"], np.zeros((20, 28, 28), np.uint16)
    masks[0, 5, 5], masks[1, 6, 6] = 0b101, 0b010
    folder = binarized(tmp_path, images(3, val_masks=masks), diseased=[0, 2])
    assert np.argwhere(np.load(folder / "val_masks.npy")).tolist() == [[0, 5, 5]]
    assert np.array_equal(np.load(folder / "val_labels.npy"), labels[:, [0, 2]].any(1))


def test_binarizing_large_images_takes_little_memory(tmp_path):
    """Of 224 pixels: images and masks of 150 MB, of which never more than a block is in memory."""
    shapes = {"train": 1000, "val": 2, "test": 2}
    contents: dict[str, np.ndarray] = {}
    for split, n in shapes.items():
        contents[f"{split}_images"] = np.zeros((n, 224, 224), np.uint8)
        contents[f"{split}_labels"] = np.arange(n)[:, None] % 2
        contents[f"{split}_masks"] = np.zeros((n, 224, 224), np.uint16)
    tracemalloc.start()
    binarized(tmp_path, contents, pixels=224)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6
