"""Downloads from a real server on localhost that misbehaves in every way we know of."""

import hashlib
import io
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

from chestflow.config import reading
from chestflow.config.datasets import Phantom
from chestflow.errors import UserError
from chestflow.sources import archive, phantom
from chestflow.sources import download as fetching
from chestflow.stage import one_line

ROOT = Path(__file__).parents[1]
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"
SIZES = {"train": 70, "val": 20, "test": 30}
QUICK = fetching.Patience(attempts=4, backoff=0.001, connect=0.3, silence=0.3)


def images(findings: int = 1, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a small valid archive, incompressible so that transfers take several chunks."""
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


# ------------------------------------------------------------------------------------- the server


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self)
        behaviours = self.server.behaviours
        (behaviours.pop(0) if len(behaviours) > 1 else behaviours[0])(self)

    def reply(self, status: int, body: bytes, length: int | None = None, **headers: str):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Answers each request by the next of `behaviours`, and all further ones by the last."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.behaviours = [], [whole]
        self.leave = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/files/images.npz?download=1"

    def ranges(self) -> list[str | None]:
        return [request.headers["Range"] for request in self.requests]


def status(code: int):
    return lambda handler: handler.reply(code, b"an error page")


def page(body: bytes):
    return lambda handler: handler.reply(200, body)


whole = page(BODY)


def ranged(handler: Handler):
    """The rest of the file, as a server answers that knows ranges."""
    if not (wanted := handler.headers["Range"]):
        return handler.reply(200, BODY)
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if start >= len(BODY):
        return handler.reply(416, b"")
    content_range = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    handler.reply(206, BODY[start:], Content_Range=content_range)


def truncated(handler: Handler):
    handler.reply(200, BODY[:50_000], length=len(BODY))
    handler.close_connection = True


def silent(handler: Handler):
    handler.server.leave.wait(5)
    handler.close_connection = True


def hanging_up(handler: Handler):
    handler.close_connection = True


def stalling(handler: Handler):
    handler.reply(200, BODY[:50_000], length=len(BODY))
    silent(handler)


def cutting(handler: Handler):
    """At most 20,000 bytes of what is asked for, less than a reader's buffer holds."""
    start = int((handler.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
    place = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    rest = len(BODY) - start
    handler.reply(206, BODY[start : start + 20_000], length=rest, Content_Range=place)
    handler.close_connection = True


def dripping(handler: Handler):
    """A byte at a time, each before the patience with silence is over."""
    handler.reply(200, b"", length=len(BODY))
    try:
        for i in range(200):
            handler.wfile.write(BODY[i : i + 1])
            handler.server.leave.wait(0.05)
    except OSError:
        pass
    handler.close_connection = True


def exaggerating(handler: Handler):
    handler.reply(200, BODY, length=len(BODY) + 1000)
    handler.close_connection = True


def endless(handler: Handler):
    """More and more bytes, without an announced length."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        handler.close_connection = True


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.leave.set()
    server.shutdown()
    thread.join()
    server.server_close()


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


def fetch(out: Path, *sources, md5: str = MD5, n_bytes: int | None = len(BODY), patience=QUICK):
    return fetching.fetch(out, [str(source) for source in sources], md5, n_bytes, patience)


def failure(out: Path, *sources, **options) -> str:
    """The one line with which fetching ends; nothing may lie at `out`."""
    with pytest.raises(UserError) as caught:
        fetch(out, *sources, **options)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def part(out: Path) -> Path:
    return out.with_name(f"{out.name}.{MD5[:8]}.part")


# ----------------------------------------------------------------------------- answers of a server


def test_a_download_is_byte_identical_and_leaves_no_partial_file(server, out):
    assert fetch(out, server.url) == (server.url, [])
    assert out.read_bytes() == BODY
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refusals_are_not_retried(server, out, code):
    server.behaviours = [status(code)]
    assert f"images.npz could not be had from {server.url} (HTTP {code} " in failure(
        out, server.url
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_temporary_errors_are_retried(server, out, code):
    server.behaviours = [status(code), status(code), whole]
    fetch(out, server.url)
    assert len(server.requests) == 3


def test_a_permanent_server_error_ends_after_the_last_attempt(server, out):
    server.behaviours = [status(500)]
    assert "(HTTP 500 Internal Server Error; 4 attempts)" in failure(out, server.url)
    assert len(server.requests) == 4


def test_the_pauses_double(server, out, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.behaviours = [status(500)]
    failure(out, server.url, patience=QUICK._replace(backoff=1.0))
    assert pauses == [1.0, 2.0, 4.0]


def test_a_truncated_download_is_resumed(server, out):
    server.behaviours = [truncated, ranged]
    fetch(out, server.url)
    assert out.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=50000-"]


def test_a_stalled_download_is_resumed(server, out):
    server.behaviours = [stalling, ranged]
    fetch(out, server.url)
    assert out.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=50000-"]


def test_a_server_that_cuts_off_again_and_again_gets_through(server, out):
    server.behaviours = [cutting]
    fetch(out, server.url)
    assert out.read_bytes() == BODY
    assert server.ranges()[1:] == [f"bytes={n}-" for n in range(20_000, len(BODY), 20_000)]


def test_a_server_that_drips_is_too_slow(server, out):
    server.behaviours = [dripping]
    line = failure(out, server.url, patience=QUICK._replace(attempts=2, window=0.5))
    assert re.search(r"\d+ bytes per second over 0.5 s; accepted: 1,000 or more", line)


def test_a_length_announced_too_large_does_no_harm(server, out):
    server.behaviours = [exaggerating]
    fetch(out, server.url)
    assert out.read_bytes() == BODY


def test_without_range_requests_the_download_starts_again(server, out):
    server.behaviours = [truncated, whole]
    fetch(out, server.url)
    assert out.read_bytes() == BODY


def test_an_interrupted_download_is_resumed_by_the_next_run(server, out):
    server.behaviours = [truncated]
    line = failure(out, server.url, patience=QUICK._replace(attempts=1))
    assert "more expected); 2 attempts)" in line, "one that brings bytes does not count"
    server.behaviours = [ranged]
    fetch(out, server.url)
    assert out.read_bytes() == BODY
    assert server.ranges()[-1] == "bytes=50000-"


@pytest.mark.parametrize("older", [BODY, BODY + b"more", b"<html>" * 500], ids=len)
def test_an_unusable_partial_file_is_discarded(server, out, older):
    """An oversized part is answered with 416; another file's part gives a wrong MD5; one that is
    complete is the file, and nobody is asked."""
    out.parent.mkdir(parents=True)
    part(out).write_bytes(older)
    server.behaviours = [ranged]
    fetch(out, server.url)
    assert out.read_bytes() == BODY
    assert len(server.requests) == (0 if older == BODY else 2)


def test_a_silent_server_times_out(server, out):
    server.behaviours = [silent]
    started = time.monotonic()
    line = failure(out, server.url, patience=QUICK._replace(attempts=2))
    assert "Read timed out. (read timeout=0.3); 2 attempts)" in line
    assert time.monotonic() - started < 3


def test_a_server_that_hangs_up(server, out):
    server.behaviours = [hanging_up]
    assert "(Remote end closed connection without response; 4 attempts)" in failure(out, server.url)


def test_a_file_with_a_wrong_md5_is_reported_and_deleted(server, out):
    server.behaviours = [page(HTML)]
    expected = f"its MD5 is {hashlib.md5(HTML).hexdigest()}, expected {MD5}"
    assert expected in failure(out, server.url)
    assert list(out.parent.iterdir()) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("behaviour", [whole, endless])
def test_a_far_too_large_body_is_not_read_to_its_end(server, out, behaviour):
    server.behaviours = [behaviour]
    limit = len(BODY) // 4 * 2
    assert f"more than {limit:,} bytes, far" in failure(out, server.url, n_bytes=limit // 2)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("behaviour", [whole, truncated])
def test_a_file_of_undeclared_length_is_verified_by_its_md5(server, out, behaviour):
    server.behaviours = [behaviour, ranged]
    assert fetch(out, server.url, n_bytes=None) == (server.url, [])
    assert out.read_bytes() == BODY


def test_a_body_of_undeclared_length_is_not_read_forever(server, out, monkeypatch):
    monkeypatch.setattr(fetching, "UNKNOWN", 200_000)
    server.behaviours = [endless]
    assert "more than 200,000 bytes, far" in failure(out, server.url, n_bytes=None)
    assert list(out.parent.iterdir()) == []


def test_a_refused_connection(out):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/images.npz"
        assert "Connection refused; 4 attempts)" in failure(out, url)


def test_no_network(out):
    line = failure(out, "http://nonexistent.invalid/images.npz")
    assert "Failed to resolve 'nonexistent.invalid'" in line
    assert line.endswith("4 attempts)")


@pytest.mark.parametrize(
    "url", ["ftp://host/images.npz", "http:///images.npz", "http://[/images.npz"]
)
def test_an_invalid_address(out, url):
    assert f"images.npz could not be had from {url} (" in failure(out, url)


# ------------------------------------------------------------------------ the order of the sources


def test_the_first_good_source_is_used(server, out, tmp_path):
    none, bad, good = (tmp_path / f"{name}.npz" for name in ("none", "bad", "good"))
    bad.write_bytes(HTML)
    good.write_bytes(BODY)
    source, passed_over = fetch(out, none, bad, good, server.url)
    assert source == str(good)
    assert [failure.split(" (")[0] for failure in passed_over] == [str(none), str(bad)]
    assert good.read_bytes() == out.read_bytes() == BODY
    assert not server.requests


def test_all_failures_are_listed_in_one_line(server, out, tmp_path):
    server.behaviours = [status(403)]
    line = failure(out, tmp_path, tmp_path / "none.npz", server.url)
    assert (
        f"{tmp_path} (a folder, not a file), nor from {tmp_path / 'none.npz'} (no such file)"
        in line
    )
    assert f"nor from {server.url} (HTTP 403 Forbidden)" in line


def test_a_path_that_is_no_file_is_called_what_it_is(out, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "(a pipe, not a file)" in failure(out, tmp_path / "pipe")
    assert "(a device, not a file)" in failure(out, "/dev/zero")
    assert "(there is no user nobody-here)" in failure(out, "~nobody-here/images.npz")


@pytest.mark.parametrize(
    ("mirror", "first"),
    [
        ("", []),
        ("/mnt/mirror/", ["/mnt/mirror/images.npz"]),
        ("~/mirror", ["~/mirror/images.npz"]),
        ("http://mirror.example/medmnist", ["http://mirror.example/medmnist/images.npz"]),
    ],
)
def test_mirror_then_cache_then_url(monkeypatch, mirror, first):
    url, home = "https://host/records/1/images.npz?download=1", os.environ["HOME"]
    monkeypatch.setenv("MEDMNIST_MIRROR", mirror)
    assert fetching.sources(url) == [*first, f"{home}/.medmnist/images.npz", url]


@pytest.mark.parametrize("own", ["mine.npz", "~/mine.npz"])
def test_a_file_of_the_users_own_by_relative_path(out, tmp_path, monkeypatch, own):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.npz").write_bytes(BODY)
    assert fetch(out, own) == (own, [])
    assert out.read_bytes() == BODY


def test_an_inaccessible_path_is_passed_over(server, out):
    name = 5000 * "x"
    assert f"{name} (File name too long)" in failure(out, name)
    assert fetch(out, name, server.url)[0] == server.url


# ------------------------------------------------------------------------------------ a full disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("how", ["download", "copy"])
def test_a_full_disk(server, out, tmp_path, how):
    (tmp_path / "good.npz").write_bytes(BODY)
    out.parent.mkdir(parents=True)
    part(out).symlink_to("/dev/full")
    with pytest.raises(SystemExit) as ended, one_line("download"):
        fetch(out, server.url if how == "download" else tmp_path / "good.npz")
    assert ended.value.code == f"download: No space left on device: {out}"
    assert list(out.parent.iterdir()) == []


# -------------------------------------------------------------------------------------- archives


def verdict(path: Path, contents: bytes | dict, findings: int = 1, size: int = 28, **options):
    """What `check` says about the contents, without the path; empty if it accepts them."""
    path.write_bytes(packed(contents) if isinstance(contents, dict) else contents)
    try:
        archive.check(path, findings, size, **options)
    except UserError as error:
        assert "\n" not in str(error)
        return str(error).removeprefix(f"{path}: ")
    return ""


@pytest.mark.parametrize("findings", [1, 14])
def test_valid_archives_are_accepted(tmp_path, findings):
    assert verdict(tmp_path / "a.npz", images(findings), findings) == ""
    labels = images(findings)["val_labels"].astype(np.int64)
    extra = images(findings, val_labels=labels, origin=np.array("phantom"))
    assert verdict(tmp_path / "a.npz", extra, findings) == ""


@pytest.mark.parametrize(
    "contents",
    [b"", HTML, BODY[:-100], BODY.replace(b"NUMPY", b"NUMPI"), BODY[:5000] + b"x" + BODY[5001:]],
    ids=["empty", "html", "truncated", "no_npy", "checksum"],
)
def test_files_that_are_not_archives(tmp_path, contents):
    assert verdict(tmp_path / "a.npz", contents).startswith("not a readable npz archive (")


IMAGES, LABELS = "at 28 pixels: uint8 (n, 28, 28), n at least 1", "integer (70, 1)"
OBJECTS = np.array([[print]] * 70, dtype=object)


@pytest.mark.parametrize(
    ("key", "array", "expected"),
    [
        ("train_images", np.zeros((70, 28, 28)), f"float64 (70, 28, 28); accepted {IMAGES}"),
        ("train_images", np.zeros((70, 784), "u1"), f"uint8 (70, 784); accepted {IMAGES}"),
        ("train_images", np.zeros((70, 64, 64), "u1"), f"uint8 (70, 64, 64); accepted {IMAGES}"),
        ("train_images", np.zeros((0, 28, 28), "u1"), f"uint8 (0, 28, 28); accepted {IMAGES}"),
        (
            "val_masks",
            np.zeros((9, 28, 28), "?"),
            "bool (9, 28, 28); accepted: integer or bool (20, 28, 28) in C's order",
        ),
        (
            "val_masks",
            np.full((20, 28, 28), "x"),
            "<U1 (20, 28, 28); accepted: integer or bool (20, 28, 28) in C's order",
        ),
        ("train_labels", np.zeros((70, 1)), f"float64 (70, 1); accepted: {LABELS}"),
        ("train_labels", np.zeros(70, "u1"), f"uint8 (70,); accepted: {LABELS}"),
        ("train_labels", np.zeros((70, 14), "u1"), f"uint8 (70, 14); accepted: {LABELS}"),
        ("train_labels", np.zeros((69, 1), "u1"), f"uint8 (69, 1); accepted: {LABELS}"),
    ],
)
def test_wrong_shapes_and_types(tmp_path, key, array, expected):
    assert verdict(tmp_path / "a.npz", images(**{key: array})) == f"{key} is {expected}"


def test_a_member_that_is_no_array_is_refused(tmp_path):
    """Under its name without an ending, numpy would not find it."""
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as file, np.load(io.BytesIO(BODY)) as arrays:
        for name in arrays:
            with file.open(name, "w") as member:
                np.lib.format.write_array(member, arrays[name])
    assert "accepted: members named *.npy" in verdict(
        tmp_path / "a.npz", (tmp_path / "in.npz").read_bytes()
    )


def test_labels_other_than_0_and_1(tmp_path):
    odd = images(test_labels=np.full((30, 1), 7, np.uint8))
    assert verdict(tmp_path / "a.npz", odd) == "test_labels holds 7; accepted: 0 and 1"


def test_labels_of_more_classes_where_they_are_declared(tmp_path):
    labels = np.arange(20, dtype=np.uint8)[:, None] % 4
    assert verdict(tmp_path / "a.npz", images(val_labels=labels), classes=4) == ""
    line = verdict(tmp_path / "a.npz", images(val_labels=labels), classes=3)
    assert line == "val_labels holds 3; accepted: 0 to 2"


def test_a_missing_key(tmp_path):
    arrays = images()
    del arrays["val_labels"]
    assert verdict(tmp_path / "a.npz", arrays).startswith("val_labels is missing; it holds train_")


def test_names_in_an_archive_cannot_steer_a_terminal(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        content = io.BytesIO()
        np.save(content, np.zeros(3, np.uint8))
        file.writestr("\x1b[2J\n.npy", content.getvalue())
    with pytest.raises(UserError) as error:
        archive.check(tmp_path / "a.npz", findings=1, size=28)
    assert str(error.value).endswith(r"train_images is missing; it holds \x1b[2J\n")


def test_pickled_objects_are_never_loaded(tmp_path):
    for key in ("train_labels", "extra"):
        line = verdict(tmp_path / "a.npz", images(**{key: OBJECTS}))
        assert line == f"{key} holds pickled objects; accepted: plain numbers"


def test_an_archive_does_not_depend_on_the_release_of_python(tmp_path):
    """Python 3.11.4 began to mark members written for ZIP64 as of version 4.5, not 2.0."""
    archive.write(tmp_path / "a.npz", {"val_images": np.arange(12, dtype=np.uint8)})
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert [info.extract_version for info in file.infolist()] == [20]
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["val_images"].tolist() == list(range(12))


def test_arrays_beyond_a_gigabyte_are_written_for_zip64(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ZIP64_FROM", 10)
    archive.write(tmp_path / "a.npz", {"val_images": np.arange(12, dtype=np.uint8)})
    assert archive.read(tmp_path / "a.npz", "val_images").tolist() == list(range(12))


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    bomb = io.BytesIO()
    np.savez_compressed(bomb, **images(extra=np.zeros(50_000_000, np.uint8)))
    line = verdict(tmp_path / "a.npz", bomb.getvalue(), max_bytes=10_000_000)
    assert line.endswith("accepted: up to 10,000,000")


@pytest.mark.parametrize("claimed", [b"(7000000,28,28)}", b"(69, 28, 28), } "])
def test_a_header_that_claims_more_or_less_than_is_there(tmp_path, claimed):
    """Reading in parts would otherwise end in the middle of an image."""
    line = verdict(tmp_path / "a.npz", BODY.replace(b"(70, 28, 28), } ", claimed, 1))
    n = int(re.search(rb"\d+", claimed)[0])
    shape = f"({n}, 28, 28), but holds 54,880 bytes; accepted: {n * 784:,}"
    assert line == f"train_images is uint8 {shape}"


def test_images_in_fortran_order_are_refused(tmp_path):
    turned = np.asfortranarray(images()["train_images"])
    line = verdict(tmp_path / "a.npz", images(train_images=turned))
    assert line == "train_images is in Fortran's order; accepted: C's, image after image"
    labels = np.asfortranarray(images(14)["train_labels"])
    assert verdict(tmp_path / "a.npz", images(14, train_labels=labels), 14) == ""


@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_archives_may_be_as_large_as_their_images(tmp_path, size):
    """ChestMNIST's images must be accepted at every size, a thousandfold zip bomb must not."""
    whole = archive.MAX_IMAGES * archive.BYTES_PER_PIXEL * size**2
    assert 112_120 * (3 * size**2 + 14) < whole
    images = {f"{split}_images": np.zeros((2, size, size), np.uint8) for split in SIZES}
    labels = {f"{split}_labels": np.ones((2, 1), np.uint8) for split in SIZES}
    assert verdict(tmp_path / "a.npz", images | labels, size=size) == ""
    line = verdict(tmp_path / "a.npz", images | labels, size=size, max_bytes=6 * size**2)
    assert line.endswith(f"accepted: up to {6 * size**2:,}")


def test_an_array_read_in_parts_equals_what_was_written(tmp_path, monkeypatch):
    arrays = images()
    archive.write(tmp_path / "a.npz", arrays)
    assert archive.keys(tmp_path / "a.npz") == list(arrays)
    for n_bytes, n_parts in ((1, 70), (3 * 784, 24), (1 << 24, 1)):
        monkeypatch.setattr(archive, "BLOCK_BYTES", n_bytes)
        parts = list(archive.blocks(tmp_path / "a.npz", "train_images"))
        assert len(parts) == n_parts
        assert np.array_equal(np.concatenate(parts), arrays["train_images"])
    assert archive.shape_of(tmp_path / "a.npz", "train_images") == (70, 28, 28)


def test_a_written_archive_is_reproducible_and_complete(tmp_path):
    for folder in ("one", "two"):
        archive.write(tmp_path / folder / "a.npz", images())
    one, two = (tmp_path / folder / "a.npz" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert list(one.parent.iterdir()) == [one]
    archive.check(one, 1, 28)


@pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")
def test_the_genuine_archive_is_accepted():
    archive.check(GENUINE, 1, 28)
    declared = reading.dataset(ROOT / "datasets.yaml", "pneumoniamnist").file(28)
    assert hashlib.md5(GENUINE.read_bytes()).hexdigest() == declared.md5
    assert GENUINE.stat().st_size == declared.bytes


# -------------------------------------------------------------------------------------- the stage


def stage(tmp_path, out, source="medmnist", limit=None, mirror="", pixels=28, **declared):
    """Run the stage's command on PneumoniaMNIST, declared as given."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"source": source, "pixels": pixels}
    datasets = yaml.safe_load((ROOT / "datasets.yaml").read_text())
    datasets["datasets"]["pneumoniamnist"] |= declared
    options = []
    for name, values in (("params", params), ("datasets", datasets)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
        options += [f"--{name}", tmp_path / f"{name}.yaml"]
    return subprocess.run(
        [sys.executable, "-m", "stages.download", "pneumoniamnist", *options, "--out", out],
        cwd=ROOT,
        env=os.environ | {"MEDMNIST_MIRROR": str(mirror)},
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
    )


def assert_one_line(ended, out: Path) -> str:
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert not list(out.parent.glob("*"))
    return ended.stderr


PHANTOM = {"phantom": {"seed": 0, "train": 10, "val": 10, "test": 10}}


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_the_stage_passes_over_a_bad_mirror(server, out, tmp_path):
    (tmp_path / "images.npz").write_bytes(HTML)
    ended = stage(tmp_path, out, mirror=tmp_path, url=server.url, md5=MD5)
    mirror, cache, used = ended.stdout.splitlines()
    assert mirror.startswith(f"download: passed over {tmp_path}/images.npz (its MD5 is ")
    assert cache == f"download: passed over {tmp_path}/home/.medmnist/images.npz (no such file)"
    assert used == f"download: {out} is {server.url}"


def test_the_stage_fetches_from_a_mirror(server, out, tmp_path):
    url = "https://nonexistent.invalid/images.npz?download=1"
    ended = stage(tmp_path, out, mirror=f"{server.address}/mirror/", url=url, md5=MD5)
    assert ended.stdout == f"download: {out} is {server.address}/mirror/images.npz\n"
    assert (ended.returncode, ended.stderr) == (0, "")
    assert server.requests[0].path == "/mirror/images.npz"
    assert out.read_bytes() == BODY


def test_the_stage_says_in_one_line_what_to_do(server, out, tmp_path):
    server.behaviours = [status(404)]
    line = assert_one_line(stage(tmp_path, out, url=server.url, md5=MD5, mirror=tmp_path), out)
    assert line.startswith("download: images.npz could not be had from")
    advice = ("MEDMNIST_MIRROR", "datasets.pneumoniamnist.url", "md5", "source=phantom")
    assert all(word in line for word in advice)


def test_the_stage_refuses_a_page_whose_md5_was_declared(out, tmp_path):
    (tmp_path / "page.npz").write_bytes(HTML)
    md5 = hashlib.md5(HTML).hexdigest()
    ended = stage(tmp_path, out, url=str(tmp_path / "page.npz"), md5=md5)
    named = tmp_path / "page.npz"  # the user's own file, not its copy
    assert ended.stderr.startswith(f"download: {named}: not a readable npz archive")
    assert (ended.returncode, ended.stderr.count("\n"), out.exists()) == (1, 1, False)


def test_the_stage_fetches_the_file_of_the_requested_size(server, out, tmp_path):
    """MedMNIST's file of that size; a file of the user's own replaces it at every size."""
    server.behaviours = [status(404)]
    nowhere = {f"pixels_{n}": {"url": f"{server.address}/{n}.npz", "md5": MD5} for n in (28, 64)}
    declared = yaml.safe_load((ROOT / "datasets.yaml").read_text())["datasets"]["pneumoniamnist"]
    files = {"files": declared["files"] | nowhere}
    line = assert_one_line(stage(tmp_path, out, pixels=64, **files), out)
    assert f"images.npz could not be had from {tmp_path}/home/.medmnist/64.npz" in line
    (tmp_path / "own.npz").write_bytes(BODY)
    own = {"url": str(tmp_path / "own.npz"), "md5": MD5}
    ended = stage(tmp_path, out, pixels=64, **files, **own)
    accepted = "accepted at 64 pixels: uint8 (n, 64, 64), n at least 1"
    assert ended.stderr.endswith(f"train_images is uint8 (70, 28, 28); {accepted}\n")
    assert stage(tmp_path, out, **files, **own).returncode == 0
    assert out.read_bytes() == BODY


@pytest.mark.parametrize("source", ["phantom", "medmnist"])
def test_a_data_set_of_ones_own_has_no_phantom(out, tmp_path, source):
    (tmp_path / "own.npz").write_bytes(BODY)
    own = {"url": str(tmp_path / "own.npz"), "md5": MD5, "files": None, "phantom": None}
    ended = stage(tmp_path, out, source, **own)
    assert ended.stdout.splitlines()[-1] == f"download: {out} is {tmp_path / 'own.npz'}"
    assert out.read_bytes() == BODY and "PHANTOM" not in ended.stdout
    (tmp_path / "own.npz").unlink()
    out.unlink()
    assert "source=phantom" not in assert_one_line(stage(tmp_path, out, source, **own), out)


def test_a_data_set_of_medmnists_without_a_phantom_needs_another_source(out, tmp_path):
    line = assert_one_line(stage(tmp_path, out, "phantom", phantom=None), out)
    assert "pneumoniamnist has no phantom; set source=medmnist" in line


def test_the_stage_marks_a_phantom(out, tmp_path):
    ended = stage(tmp_path, out, "phantom", **PHANTOM)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "PHANTOM" in ended.stdout
    assert np.load(out)["origin"] == "phantom"
    assert list(out.parent.iterdir()) == [out]


def test_the_stage_draws_the_same_phantom_as_in_memory(out, tmp_path):
    """It writes image by image to files; `phantom.archive` keeps all in memory."""
    assert stage(tmp_path, out, "phantom", pixels=64, **PHANTOM).returncode == 0
    sizes = dict.fromkeys(("train", "val", "test"), 10)
    with np.load(out) as arrays:
        for key, array in phantom.archive("pneumoniamnist", sizes, 0, 64).items():
            assert np.array_equal(arrays[key], array)


def test_the_stage_without_disk_space_for_the_phantom(out, tmp_path):
    line = assert_one_line(stage(tmp_path, out, "phantom", small_files, **PHANTOM), out)
    assert line == f"download: File too large: {out}\n"


def test_what_a_killed_process_left_goes_when_the_file_is_made_again(tmp_path):
    """And, when it has been made, nothing is left beside it."""
    out = tmp_path / "raw/a.npz"
    begin = (
        "import sys, time; from pathlib import Path; from chestflow.sources import parts\n"
        "with parts.folder_for(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').touch(); print('begun', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", begin, out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as running:
        assert running.stdout.readline() == "begun\n"
        running.kill()
    assert len(list(out.parent.iterdir())) == 1, "a killed process cannot tidy up"
    small = Phantom(seed=0, train=20, val=20, test=20)
    fetching.invent("pneumoniamnist", small, out)
    assert list(out.parent.iterdir()) == [out]
