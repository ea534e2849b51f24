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
from small_run import refusal

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


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next of the server's `answers` (status, body, announced length),
    and all further ones by the last."""

    def do_GET(self):
        self.server.paths.append(self.path)
        answers = self.server.answers
        status, body, length = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths, server.answers = [], [(200, BODY, len(BODY))]
        server.address = f"http://127.0.0.1:{server.server_port}"
        server.url = f"{server.address}/files/images.npz?download=1"
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """An empty home, no mirror, no proxy between us and localhost, no second attempt."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "MEDMNIST_MIRROR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "RETRIES", 0)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "data" / "raw" / "images.npz"


def failure(out: Path, url: str) -> str:
    """The one line with which fetching ends; nothing may lie at `out` or beside it."""
    line = refusal(download.fetch, out, url, MD5)
    assert not list(out.parent.glob("*"))
    return line


def test_a_temporary_failure_is_retried_and_nothing_left_beside_the_file(server, out, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    server.answers = [(503, b"", 0), *server.answers]
    assert download.fetch(out, server.url, MD5) == server.url
    assert out.read_bytes() == BODY and len(server.paths) == 2
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, b"", 0), "404 Client Error: Not Found)"),
        ((200, HTML, len(HTML)), f"expected md5:{MD5} but got {hashlib.md5(HTML).hexdigest()})"),
        ((200, BODY[:50_000], len(BODY)), "IncompleteRead(50000 bytes read"),
    ],
    ids=["missing", "another file", "cut off"],
)
def test_a_failed_download_costs_one_line(server, out, answer, reason):
    server.answers = [answer]
    line = failure(out, server.url)
    assert f"; {server.url} (" in line and reason in line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/images.npz", "Connection refused)"),
        ("http://[/a.npz", "Failed to parse"),
        ("/none/images.npz", "No such file or directory"),
    ],
)
def test_unreachable_places(out, url, reason):
    assert reason in failure(out, url).partition(f"; {url} (")[2]


def test_mirror_then_cache_then_address(server, out, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMNIST_MIRROR", f"{server.address}/mirror/")
    server.answers = [(404, b"", 0)]
    tried = [f"{server.address}/mirror/images.npz", "~/.medmnist/images.npz", server.url]
    assert sorted(tried, key=failure(out, server.url).index) == tried
    (tmp_path / "home/.medmnist").mkdir(parents=True)
    (tmp_path / "home/.medmnist/images.npz").write_bytes(BODY)
    assert download.fetch(out, server.url, MD5) == tried[1] and out.read_bytes() == BODY


def test_addresses_of_every_size_come_from_medmnist():
    for pixels, suffix in ((28, ""), (224, "_224")):
        url, md5 = download.medmnist_file("chestmnist", pixels)
        assert f"/chestmnist{suffix}.npz" in url and len(md5) == 32
    with pytest.raises(UserError, match=r"no data set mine .* datasets\.mine\.url"):
        download.medmnist_file("mine", 28)


# -------------------------------------------------------------------------------------- archives


def verdict(folder: Path, contents: dict) -> str:
    """What `unpack` says about an archive, without its path."""
    path = folder / "a.npz"
    path.write_bytes(packed(contents))
    line = refusal(archive.unpack, path, folder / "unpacked", 28)
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


def test_a_pickle_is_never_loaded(tmp_path):
    """Other damage: test_properties.py."""
    objects = np.array([[print]] * 70, dtype=object)
    said = verdict(tmp_path, images(train_labels=objects))
    assert said.startswith("not a readable npz archive (")


@pytest.mark.parametrize(
    ("key", "array", "accepted"),
    [
        ("train_images", np.zeros((70, 28, 28)), "uint8 (n, 28, 28) at pixels = 28"),
        ("train_images", np.zeros((70, 64, 64), "u1"), "uint8 (n, 28, 28) at pixels = 28"),
        ("train_labels", np.zeros((70, 1)), "integer (70, 1)"),
        ("val_labels", np.zeros((19, 1), "u1"), "integer (20, 1)"),
    ],
)
def test_wrong_shapes_and_types(tmp_path, key, array, accepted):
    said = verdict(tmp_path, images(**{key: array}))
    assert said == f"{key} is {array.dtype} {array.shape}; accepted: {accepted}"


def test_missing_arrays_are_named(tmp_path):
    arrays = images()
    del arrays["val_labels"]
    assert verdict(tmp_path, arrays).startswith("val_labels is missing; it holds train_images, ")


@pytest.mark.parametrize("findings", [1, 14])
def test_a_written_archive_is_reproducible_and_unpacked_into_mapped_arrays(tmp_path, findings):
    labels = images(findings)["val_labels"].astype(np.int64)
    contents = images(findings, val_labels=labels, origin=np.array("phantom"))
    one, two = tmp_path / "one/a.npz", tmp_path / "two/a.npz"
    for path in (one, two):
        archive.write(path, contents)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as written:  # ZIP64, which Python's releases mark differently
        assert {member.extract_version for member in written.infolist()} == {20}
    arrays = archive.unpack(one, tmp_path / "unpacked", 28)
    assert arrays.keys() == contents.keys()
    for key, array in arrays.items():
        assert isinstance(array, np.memmap) and np.array_equal(array, contents[key])


# -------------------------------------------------------------------------------------- the stages


def downloaded(out: Path, **declared) -> str:
    """What stage `download` says of PneumoniaMNIST, declared as given, with source=phantom."""
    entry = {"title": "Mine", "positive": "ill", **declared}
    datasets = out.parents[2] / "datasets.yaml"
    datasets.write_text(yaml.safe_dump({"datasets": {"pneumoniamnist": entry}}))
    with redirect_stdout(io.StringIO()) as said:
        stage("pneumoniamnist", datasets, out, source="phantom", pixels=28)
    return said.getvalue()


def test_a_data_set_without_a_phantom(out, tmp_path):
    """One's own is read whatever the source; one of MedMNIST's is not fetched unasked."""
    own = tmp_path / "own.npz"
    own.write_bytes(BODY)
    assert downloaded(out, url=str(own), md5=MD5) == f"download: {out} is {own}\n"
    with pytest.raises(UserError, match="pneumoniamnist has no phantom; set source=medmnist"):
        downloaded(out)


def test_the_stage_writes_the_phantom_that_is_declared(out):
    sizes = dict.fromkeys(SIZES, 10)
    said = downloaded(out, phantom={"seed": 5, "shortcut": 0.3, **sizes})
    assert "PHANTOM" in said and list(out.parent.iterdir()) == [out]
    expected = phantom.archive("pneumoniamnist", sizes, 5, shortcut=0.3)
    with np.load(out) as arrays:
        assert arrays["origin"] == "phantom" and arrays.keys() == expected.keys()
        assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


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
        (3, [3], r"datasets.mine.diseased = \[3\]; accepted: columns 0 to 2, or null"),
        (1, [2], "all 70 train images of mine are of one class; accepted: both in every split"),
        (1, [0, 1], "all 70 train images of mine are of one class"),
    ],
)
def test_diseased_labels_that_no_image_or_every_image_has(tmp_path, findings, diseased, expected):
    with pytest.raises(UserError, match=expected):
        binarized(tmp_path, images(findings), diseased=diseased)


def test_masks_are_of_the_findings_that_count(tmp_path):
    labels, masks = images(3)["val_labels"], np.zeros((20, 28, 28), np.uint16)
    masks[0, 5, 5], masks[1, 6, 6] = 0b101, 0b010
    folder = binarized(tmp_path, images(3, val_masks=masks), diseased=[0, 2])
    assert np.argwhere(np.load(folder / "val_masks.npy")).tolist() == [[0, 5, 5]]
    assert np.array_equal(np.load(folder / "val_labels.npy"), labels[:, [0, 2]].any(1))


def test_binarizing_large_images_takes_little_memory(tmp_path):
    """100 MB of images of 224 pixels, which are never in memory."""
    contents: dict[str, np.ndarray] = {}
    for split, n in {"train": 2000, "val": 2, "test": 2}.items():
        contents[f"{split}_images"] = np.zeros((n, 224, 224), np.uint8)
        contents[f"{split}_labels"] = np.arange(n)[:, None] % 2
    tracemalloc.start()
    binarized(tmp_path, contents, pixels=224)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
