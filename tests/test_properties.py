"""Whatever a file holds, reading it gives a result or one line: no traceback, no hang."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from workspace import ROOT

from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.own_images import radiograph
from chestflow.sources import archive

ANYTHING = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


def mutated(content: bytes):
    """The content with a few bytes changed, some left out, or cut off."""

    def apply(edits: list[tuple[int, bytes, int]]) -> bytes:
        changed = content
        for place, replacement, removed in edits:
            at = place % (len(changed) + 1)
            changed = changed[:at] + replacement + changed[at + removed :]
        return changed

    removed = st.integers(0, 8) | st.just(len(content))
    edit = st.tuples(st.integers(0, len(content)), st.binary(max_size=8), removed)
    return st.lists(edit, min_size=1, max_size=4).map(apply)


def picture(kind: str, mode: str = "L") -> bytes:
    pixels = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40)
    file = io.BytesIO()
    Image.fromarray((pixels % 251).astype(np.uint8)).convert(mode).save(file, kind)
    return file.getvalue()


def read_picture(path: Path) -> None:
    image = radiograph.read(path)
    assert image.ndim == 2 and image.dtype == np.uint8


def archived(save) -> bytes:
    arrays = {}
    for split in archive.SPLITS:
        arrays[f"{split}_images"] = np.arange(4 * 784, dtype=np.uint16).reshape(4, 28, 28) % 251
        arrays[f"{split}_labels"] = np.arange(4)[:, None] % 2
    file = io.BytesIO()
    save(file, **{key: array.astype(np.uint8) for key, array in arrays.items()})
    return file.getvalue()


def read_archive(path: Path) -> None:
    arrays = archive.unpack(path, path.parent / "unpacked", 28)
    assert all(arrays[f"{split}_images"].shape[1:] == (28, 28) for split in archive.SPLITS)


FILES = {  # name -> its content, and what reads it
    "params.yaml": ((ROOT / "params.yaml").read_bytes(), reading.params),
    "datasets.yaml": ((ROOT / "datasets.yaml").read_bytes(), reading.datasets),
    "a.png": (picture("PNG"), read_picture),
    "a.jpg": (picture("JPEG", "RGB"), read_picture),
    "a.dcm": (Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes(), read_picture),
    "stored.npz": (archived(np.savez), read_archive),
    "compressed.npz": (archived(np.savez_compressed), read_archive),
}


@pytest.mark.filterwarnings("ignore")  # of Pillow and pydicom, about what is damaged
@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(
    max_examples=40,
    deadline=5000,
    derandomize=True,  # the same examples on every machine
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_mutation_of_a_file(name, data):
    content, read = FILES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data.draw(mutated(content) | ANYTHING))
        try:
            read(path)
        except UserError as error:
            assert str(error) and "\n" not in str(error)
