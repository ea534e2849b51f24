"""Archives of images and labels that are strange, or lie about what they hold."""

import io
import struct
import warnings
import zipfile
from random import Random

import numpy as np

SIDE = 28
SIZES = {"train": 12, "val": 5, "test": 6}
DTYPES = ("u1", "i1", "<i8", ">i4", "f4", "f8", "?", "c16", "O", "S5", "U3", "M8[s]", "V7")
SHAPES = [(), (0,), (12,), (12, 1), (12, 28), (12, 28, 28), (0, 28, 28), (12, 28, 28, 3), (12, 14)]


def arrays(random: Random) -> dict[str, np.ndarray]:
    """A small valid archive."""
    rng = np.random.default_rng(random.randrange(1 << 30))
    found = {}
    for split, n in SIZES.items():
        found[f"{split}_images"] = rng.integers(0, 256, (n, SIDE, SIDE), np.uint8)
        found[f"{split}_labels"] = rng.integers(0, 2, (n, 1), np.uint8)
    return found


def packed(content: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    return file.getvalue()


def strange_arrays(random: Random) -> bytes:
    """One to three arrays of another kind, or missing, or one too many."""
    content = arrays(random)
    for _ in range(random.randint(1, 3)):
        key = random.choice([*content, "train_masks", "origin", "extra", "ä\n", "../x"])
        value = content.get(key, np.zeros((12, SIDE, SIDE), np.uint8))
        what = random.randrange(7)
        if what == 0:
            content.pop(key, None)
        elif what == 1:
            content[key] = np.zeros(random.choice(SHAPES), random.choice(DTYPES))
        elif what == 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content[key] = value.astype(random.choice(DTYPES))
        elif what == 3:
            content[key] = np.asfortranarray(value)
        elif what == 4 and value.dtype.kind in "uif":
            content[key] = value + np.array(random.choice([1, 2, 255, -1])).astype(value.dtype)
        elif what == 5:
            content[key] = value[: random.randint(0, len(value))] if value.ndim else value
        else:
            content[key] = np.array([{"a": print}, None], dtype=object)
    return packed(content)


def lying_header(random: Random) -> bytes:
    """An array whose header says what does not hold, in a ZIP file that is in order."""
    headers = (
        "{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-12, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (12, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (%s, 28, 28), }" % ("9" * 5000),
        "{'descr': '|u1', 'fortran_order': 3, 'shape': (12, 28, 28), }",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (12, 28, 28), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (12, 28, 28), }",
        "{'descr': '<f99', 'fortran_order': False, 'shape': (12, 28, 28), }",
        "{'descr': '|u1', 'shape': (12, 28, 28), }",
        "[" * 3000,
        "print('x')",
        "{'a': " * 200,
        "",
        "\n\x1b[2J\n",
    )
    text = random.choice(headers).encode()
    version = random.choice([(1, 0), (2, 0), (3, 0), (9, 9)])
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    member = b"\x93NUMPY" + bytes(version) + length + text + bytes(12 * SIDE * SIDE)
    key = random.choice(["train_images", "val_labels", "test_images", "origin"])
    return zipped([*members(random, leave=key), (f"{key}.npy", member)])


def members(random: Random, leave: str = "") -> list[tuple[str, bytes]]:
    found = []
    for name, array in arrays(random).items():
        file = io.BytesIO()
        np.save(file, array)
        found.append((f"{name}.npy", file.getvalue()))
    return [(name, content) for name, content in found if name != f"{leave}.npy"]


def zipped(content: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as target:
        warnings.simplefilter("ignore")  # names that occur twice are meant
        for name, values in content:
            target.writestr(name, values)
    return file.getvalue()


def strange_zip(random: Random) -> bytes:
    content = members(random)
    name, values = random.choice(content)
    bomb = (name, values[:128] + bytes(1 << 28))
    what = random.randrange(6)
    if what == 0:
        return zipped([*content, (name, values), (f"folder/{name}", values), ("folder/", b"")])
    if what == 1:
        return zipped([entry for entry in content if entry[0] != name] + [bomb])
    if what == 2:
        return zipped(content, random.choice([zipfile.ZIP_STORED, zipfile.ZIP_LZMA, 12]))
    if what == 3:
        return zipped([(random.choice(["a\nb.npy", "\x1b.npy", "x" * 9000, "é", ".npy"]), values)])
    if what == 4:  # the flag that says encrypted, and other bits of that field
        held = bytearray(zipped(content))
        held[held.rfind(b"PK\x01\x02") + 8] ^= 1 << random.randrange(8)
        return bytes(held)
    return random.choice([b"", b"PK", zipped([]), b"PK\x05\x06" + bytes(18), zipped([("x", b"")])])


def no_archive(random: Random) -> bytes:
    text = random.choice(
        [b"<html>", b"\0", b"\x1f\x8b", b"\x93NUMPY\x01\0", b"%PDF-1.7", b"\x80\x04."]
    )
    return text * random.randint(1, 5000)


def valid(random: Random) -> bytes:
    return packed(arrays(random))
