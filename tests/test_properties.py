"""Whatever a file holds, reading it gives a result or one line: no traceback, no hang."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.own_images import radiograph
from chestflow.sources import archive

ROOT = Path(__file__).parents[1]
quick = settings(
    max_examples=40,
    deadline=5000,
    derandomize=True,  # the same examples on every machine
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


ANYTHING = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


def result_of(function, *given):
    """What a reader returns, or None where it refuses in one line."""
    try:
        return function(*given)
    except UserError as error:
        assert str(error) and "\n" not in str(error)
        return None


def written(content: bytes, name: str, function):
    """What a reader makes of a file with this content, or None."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return result_of(function, path)


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


# --------------------------------------------------------------------------------- parameter files

READERS = {"params": reading.params, "datasets": reading.datasets}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@quick
def test_any_mutation_of_a_parameter_file(name, data):
    content = (ROOT / f"{name}.yaml").read_bytes()
    written(data.draw(mutated(content) | ANYTHING), f"{name}.yaml", READERS[name])


# ------------------------------------------------------------------------------------ image bytes


def picture(kind: str, mode: str = "L") -> bytes:
    pixels = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40)
    image = Image.fromarray((pixels % 251).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def dicom() -> bytes:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    file = io.BytesIO()
    pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False)).save_as(file)
    return file.getvalue()


PICTURES = {
    "a.png": lambda: picture("PNG"),
    "a.jpg": lambda: picture("JPEG", "RGB"),
    "a.dcm": dicom,
}


@pytest.mark.filterwarnings("ignore")  # of Pillow and pydicom, about what is damaged
@pytest.mark.parametrize("name", PICTURES)
@given(data=st.data())
@quick
def test_any_mutation_of_a_picture(name, data):
    content = data.draw(mutated(PICTURES[name]()) | ANYTHING)
    image = written(content, name, radiograph.read)
    if image is not None:
        assert image.ndim == 2 and image.dtype == np.uint8


# --------------------------------------------------------------------------------------- archives


def small_archive(save) -> bytes:
    arrays = {}
    for split in archive.SPLITS:
        arrays[f"{split}_images"] = np.arange(4 * 784, dtype=np.uint16).reshape(4, 28, 28) % 251
        arrays[f"{split}_labels"] = np.arange(4)[:, None] % 2
    arrays |= {key: array.astype(np.uint8) for key, array in arrays.items()}
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@given(data=st.data())
@quick
def test_any_mutation_of_an_archive(save, data):
    def read(path: Path) -> dict[str, np.ndarray]:
        return archive.unpack(path, path.parent / "unpacked", 28)

    arrays = written(data.draw(mutated(small_archive(save)) | ANYTHING), "a.npz", read)
    if arrays is not None:
        assert all(arrays[f"{split}_images"].shape[1:] == (28, 28) for split in archive.SPLITS)
