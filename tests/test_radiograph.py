"""A user's own radiographs: one picture in every file format, and files that are refused."""

import io
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from skimage.transform import resize
from torchvision.transforms import v2

from chestflow.errors import UserError
from chestflow.own_images import radiograph

SIDE = 28
ROOT = Path(__file__).parents[1]
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"
KERMANY = ROOT.parent / "shared/kermany224"
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


@pytest.fixture(scope="module")
def picture(splits) -> np.ndarray:
    """An image of 300 x 220 pixels that uses the whole range: a phantom between dark margins."""
    square = Image.fromarray(splits["test"].images[3]).resize((220, 220), Image.BICUBIC)
    values = np.asarray(square).astype(float)
    values = np.rint(255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)
    return np.pad(values, ((0, 0), (40, 40)), constant_values=16)


def dicom(path: Path, pixels: np.ndarray, **elements) -> Path:
    """A DICOM file of (H, W) or (H, W, 3) pixels; elements overrule what follows from them."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel, file.PlanarConfiguration = (1 if pixels.ndim == 2 else 3), 0
    bits = 8 * pixels.dtype.itemsize
    file.BitsAllocated = bits
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    file.BitsStored = elements.pop("BitsStored", bits)
    file.HighBit = file.BitsStored - 1
    file.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(file, name, value)
    file.save_as(path, enforce_file_format=True)
    return path


def png_of_16_bit_colour(path: Path, values: np.ndarray) -> Path:
    """Pillow reads such files, but writes none."""
    rgb = np.repeat(values[..., None], 3, axis=2).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(radiograph.PNG_START + written)
    return path


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def in_every_format(folder: Path, grey: np.ndarray) -> dict[str, tuple[Path, float]]:
    """The same picture in files of many kinds, and by how much a pixel may differ then."""
    image, wide = Image.fromarray(grey), grey.astype(np.uint16)
    twelve = np.rint(wide * (4095 / 255)).astype(np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: a viewer turns it clockwise

    def png(name, picture, **options):
        return save(picture, folder / f"{name}.png", **options), 0

    def jpeg(name, picture, **options):
        return save(picture, folder / f"{name}.jpg", quality=95, **options), 8

    def dcm(name, pixels, tolerance=1, **elements):
        return dicom(folder / f"{name}.dcm", pixels, **elements), tolerance

    return {
        "grey": png("grey", image),
        "colour": png("colour", image.convert("RGB")),
        "alpha": png("alpha", image.convert("RGBA")),
        "grey and alpha": png("grey_alpha", image.convert("LA")),
        "palette": png("palette", image.convert("P")),
        "16 bits": png("sixteen", Image.fromarray(wide * 257)),
        "12 bits in 16": png("twelve", Image.fromarray(twelve)),
        "8 bits in 16": png("eight", Image.fromarray(wide)),
        "16 bits, colour": (png_of_16_bit_colour(folder / "c16.png", wide * 257), 0),
        "JPEG": jpeg("grey", image),
        "colour JPEG": jpeg("colour", image.convert("RGB")),
        "JPEG on its side": jpeg("side", image.transpose(Image.Transpose.ROTATE_90), exif=turned),
        "DICOM": dcm("plain", grey, 0),
        "DICOM, low is bright": dcm(
            "inverted", 255 - grey, 0, PhotometricInterpretation="MONOCHROME1"
        ),
        "DICOM of 12 bits": dcm("bits", twelve, BitsStored=12),
        "DICOM that says 16 and has 12": dcm("liar", twelve),
        "DICOM with a window": dcm(
            "window", twelve + 8192, WindowCenter=8192 + 2048, WindowWidth=4096
        ),
        "DICOM rescaled, with a window": dcm(
            "rescaled",
            twelve,
            RescaleSlope=0.5,
            RescaleIntercept=-1000,
            WindowCenter=24.25,
            WindowWidth=2048.5,
        ),
        "DICOM rescaled by 1": dcm("one", twelve, RescaleSlope=1, RescaleIntercept=0),
        "DICOM, signed, none negative": dcm("positive", twelve.astype(np.int16)),
        "DICOM, signed": dcm("signed", (twelve.astype(int) - 2048).astype(np.int16)),
        "colour DICOM": dcm("rgb", np.repeat(grey[..., None], 3, axis=2), 0),
        "DICOM without an ending": (
            Path(shutil.copy(dicom(folder / "x.dcm", grey), folder / "IM000001")),
            0,
        ),
    }


def test_every_format_gives_the_same_image(picture, tmp_path):
    expected = radiograph.prepare(picture, SIDE).astype(int)
    for kind, (path, tolerance) in in_every_format(tmp_path, picture).items():
        read = radiograph.read(path)
        assert read.grey.dtype == np.uint8 and read.grey.shape == picture.shape, kind
        difference = np.abs(read.grey.astype(int) - picture)
        assert difference.max() <= tolerance * 2.5, kind
        assert np.abs(radiograph.prepare(read.grey, SIDE) - expected).max() <= tolerance, kind


def test_a_one_bit_image_is_black_and_white(picture, tmp_path):
    drawn = Image.fromarray(picture).convert("1", dither=Image.Dither.NONE)
    read = radiograph.read(save(drawn, tmp_path / "bit.png"))
    assert np.array_equal(read.grey, np.asarray(drawn) * np.uint8(255))


def test_transparent_pixels_are_black(picture, tmp_path):
    hidden = np.dstack([picture, np.full_like(picture, 255)])
    hidden[:50, :, 1] = 0
    read = radiograph.read(save(Image.fromarray(hidden, "LA"), tmp_path / "hidden.png"))
    assert read.grey[:50].max() == 0 and np.array_equal(read.grey[50:], picture[50:])
    assert read.remarks == ("partly transparent, put on black",)
    opaque = np.dstack([picture, np.full_like(picture, 255)])
    assert not radiograph.read(save(Image.fromarray(opaque, "LA"), tmp_path / "o.png")).remarks


def test_changes_made_while_reading_are_reported(picture, tmp_path):
    red = Image.merge("RGB", [Image.fromarray(p) for p in (picture, picture // 2, picture // 3)])
    assert radiograph.read(save(red, tmp_path / "red.png")).remarks == ("colour, turned to grey",)
    deep = Image.fromarray(picture.astype(np.uint16) * 16)
    assert "read as 12" in radiograph.read(save(deep, tmp_path / "deep.png")).remarks[0]
    low = dicom(tmp_path / "low.dcm", picture, PhotometricInterpretation="MONOCHROME1")
    assert "MONOCHROME1, inverted" in radiograph.read(low).remarks


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_every_bit_depth_is_scaled_to_the_full_range(depth):
    highest = (1 << depth) - 1
    grey, assumed = radiograph.eight_bit(np.array([[0, highest // 2, highest]], np.uint16))
    assert assumed == depth and grey.tolist()[0] in ([0, 127, 255], [0, 128, 255])


def test_values_beyond_a_dicom_window_are_cut_off(tmp_path):
    values = np.tile(np.array([0, 1000, 1500, 2000, 4000], np.uint16), (5, 1))
    path = dicom(tmp_path / "w.dcm", values, WindowCenter=1500.5, WindowWidth=1001, BitsStored=12)
    assert radiograph.read(path).grey[0].tolist() == [0, 0, 128, 255, 255]


def test_a_dicom_lookup_table_is_honoured(tmp_path):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [16, 0, 12])
    table.add_new("LUTData", "US", [i * 273 for i in range(16)])
    values = np.tile(np.array([0, 5, 10, 15, 200], np.uint16), (5, 1))
    path = dicom(tmp_path / "lut.dcm", values, VOILUTSequence=[table])
    assert radiograph.read(path).grey[0].tolist() == [0, 85, 170, 255, 255]


# ------------------------------------------------------------------------------- preparation


def test_an_image_of_the_data_set_is_left_unchanged(splits, tmp_path):
    for i, image in enumerate(splits["test"].images[:5]):
        read = radiograph.read(save(Image.fromarray(image), tmp_path / f"{i}.png"))
        assert np.array_equal(radiograph.prepare(read.grey, SIDE), image)


@pytest.mark.parametrize("factor", [2, 7, 40])
def test_an_enlarged_image_is_reduced_to_its_original(splits, factor):
    for image in splits["test"].images[:5]:
        large = Image.fromarray(image).resize((SIDE * factor, SIDE * factor), Image.BICUBIC)
        back = radiograph.prepare(np.array(large), SIDE)
        assert np.abs(back.astype(int) - image).mean() < 8  # of 255; the noise is smoothed
        assert np.corrcoef(back.ravel(), image.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("shape", [(300, 220), (220, 300), (64, 64), (29, 1000), (10, 14)])
def test_preparation_equals_a_centre_crop_and_scikit_images_resize(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    square = np.asarray(v2.CenterCrop(min(shape))(Image.fromarray(grey)))
    smooth = len(square) > SIDE
    options = {"mode": "symmetric", "preserve_range": True, "anti_aliasing": smooth}
    expected = np.rint(resize(square, (SIDE, SIDE), order=1, **options))
    prepared = radiograph.prepare(grey, SIDE)
    assert prepared.shape == (SIDE, SIDE) and prepared.dtype == np.uint8
    if (shape[0] - shape[1]) % 2 == 0:  # an odd rest may go to either side
        assert np.abs(prepared - expected).max() <= 1 - smooth  # halves may be rounded either way


@pytest.mark.skipif(not KERMANY.exists(), reason="needs Kermany's radiographs")
def test_preparation_comes_nearer_to_medmnist_than_bicubic_does():
    """The files are stretched to a square, and MedMNIST's sources were not: so each file is cropped
    to several widths, and the one nearest to a genuine image is compared with it."""
    genuine = np.load(GENUINE)["test_images"].reshape(-1, SIDE**2).astype(np.float32)
    ways = {
        "ours": lambda square: radiograph.prepare(square, SIDE),
        "bicubic": lambda square: np.asarray(
            Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        ),
    }
    nearest: dict[str, list[float]] = {name: [] for name in ways}
    for path in sorted((KERMANY / "test/NORMAL").iterdir())[:40]:
        grey = radiograph.read(path).grey
        wider = [grey[:, cut : len(grey) - cut] for cut in range(0, 50, 2)]
        crops = [np.asarray(Image.fromarray(c).resize(grey.shape)) for c in wider]
        for name, way in ways.items():
            rows = np.stack([way(crop) for crop in crops]).reshape(-1, SIDE**2)
            square = (rows.astype(np.float32) ** 2).sum(1)[:, None] + (genuine**2).sum(1)
            apart = square - 2 * rows.astype(np.float32) @ genuine.T
            nearest[name].append(float(np.sqrt(apart.min() / SIDE**2)))
    ours, bicubic = (np.median(nearest[name]) for name in ("ours", "bicubic"))
    assert ours < 6 and ours < bicubic - 0.5


def test_cropped_away_pixels_have_no_influence(picture):
    left, top, side = radiograph.Radiograph(picture).square
    assert (left, top, side) == (40, 0, 220)
    other = picture.copy()
    other[:, :left], other[:, left + side :] = 255, 0
    assert np.array_equal(radiograph.prepare(picture, SIDE), radiograph.prepare(other, SIDE))


# ------------------------------------------------------------------------------ unusable files


def png(path: Path, values: np.ndarray) -> Path:
    return save(Image.fromarray(values), path)


def cut(path: Path, values: np.ndarray) -> Path:
    whole = png(path, values).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


UNUSABLE = {
    "no such file": lambda folder, grey: folder / "missing.png",
    "empty": lambda folder, grey: written(folder / "empty.png", b""),
    "no picture; accepted: PNG, JPEG or DICOM": lambda folder, grey: written(
        folder / "letter.png", b"Dear colleague"
    ),
    "damaged": lambda folder, grey: cut(folder / "cut.png", grey),
    "damaged (": lambda folder, grey: written(
        folder / "cut.dcm", dicom(folder / "d.dcm", grey).read_bytes()[:3000]
    ),
    "blank": lambda folder, grey: png(folder / "blank.png", np.full_like(grey, 77)),
    "more pixels than any image has": lambda folder, grey: save(
        Image.new("1", (20_000, 20_000)), folder / "bomb.png"
    ),
    "9000 x 9000 pixels; accepted: ": lambda folder, grey: save(
        Image.new("1", (9000, 9000)), folder / "large.png"
    ),
    "2 pictures in one file": lambda folder, grey: save(
        Image.fromarray(grey),
        folder / "two.png",
        save_all=True,
        append_images=[Image.fromarray(255 - grey)],
    ),
    "leaves its 16 bits unused": lambda folder, grey: png_of_16_bit_colour(
        folder / "c12.png", grey.astype(np.uint16) * 16
    ),
    "DICOM with 3 frames": lambda folder, grey: dicom(folder / "f.dcm", grey, NumberOfFrames=3),
    "DICOM without pixels": lambda folder, grey: without_pixels(folder / "none.dcm", grey),
    "DICOM of PALETTE COLOR; accepted: MONOCHROME1": lambda folder, grey: dicom(
        folder / "p.dcm", grey, PhotometricInterpretation="PALETTE COLOR"
    ),
    "JPEG Lossless": lambda folder, grey: of_syntax(folder / "l.dcm", grey, uid.JPEGLossless),
    "2 x 20000 pixels; accepted: ": lambda folder, grey: save(
        Image.new("1", (2, 20_000)), folder / "thin.png"
    ),
    "132,000 bytes of pixels; expected: 66,000": lambda folder, grey: dicom(
        folder / "long.dcm", grey, PixelData=2 * grey.tobytes()
    ),
    "unpack to 5000 x 4000; expected: 220 x 300": lambda folder, grey: encapsulated(
        folder / "big.dcm", grey.T, in_format("JPEG", Image.new("L", (5000, 4000)))
    ),
    "compressed, for 300 x 220": lambda folder, grey: encapsulated(
        folder / "rle.dcm", grey, struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\5" * 200_000
    ),
    "box without a length": lambda folder, grey: encapsulated(
        folder / "box.dcm", grey, b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), uid.JPEG2000
    ),
    "more than 64 scans": lambda folder, grey: written(folder / "s.jpg", with_scans(grey, 100)),
    "more elements than any header": lambda folder, grey: with_element(
        folder / "items.dcm", grey, 0x00283011, b"SQ", 70_000 * ITEM, length=0xFFFFFFFF
    ),
    "(0028,1050) has 600,000 bytes": lambda folder, grey: with_element(
        folder / "numbers.dcm", grey, 0x00281050, b"UN", b"1\\" * 300_000
    ),
    "beyond all numbers": lambda folder, grey: dicom(
        folder / "inf.dcm", grey, RescaleSlope="1e300", RescaleIntercept="1e308"
    ),
    "60000 x 60000 pixels": lambda folder, grey: dicom(
        folder / "huge.dcm", grey, Rows=60_000, Columns=60_000
    ),
}


def in_format(kind: str, image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_scans(grey: np.ndarray, n: int) -> bytes:
    """A JPEG whose last scan is repeated: 50 bytes each, and each goes over all pixels."""
    whole = in_format("JPEG", Image.fromarray(grey), progressive=True)
    return whole[:-2] + n * whole[whole.rindex(b"\xff\xda") : -2] + whole[-2:]


def encapsulated(
    path: Path, grey: np.ndarray, frame: bytes, syntax: str = uid.JPEGBaseline8Bit
) -> Path:
    file = pydicom.dcmread(dicom(path, grey))
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = pydicom.encaps.encapsulate([frame])
    file.save_as(path)
    return path


def with_element(path: Path, grey: np.ndarray, tag: int, kind: bytes, value: bytes, length=0):
    """A DICOM file with one more element, before the pixels, as nobody's library would write it."""
    whole = dicom(path, grey).read_bytes()
    at = whole.rindex(struct.pack("<HH", 0x7FE0, 0x10))
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, kind, 0, length or len(value))
    return written(path, whole[:at] + head + value + whole[at:])


def without_pixels(path: Path, grey: np.ndarray) -> Path:
    file = pydicom.dcmread(dicom(path, grey))
    del file.PixelData
    file.save_as(path)
    return path


def of_syntax(path: Path, grey: np.ndarray, syntax: str) -> Path:
    """A file whose pixels are compressed in a way for which no decoder is installed."""
    file = pydicom.dcmread(dicom(path, grey))
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = pydicom.encaps.encapsulate([b"no JPEG stream"])
    file.save_as(path)
    return path


@pytest.mark.parametrize("reason", UNUSABLE)
def test_an_unusable_file_is_refused_in_one_line(reason, picture, tmp_path):
    path = UNUSABLE[reason](tmp_path, picture)
    with pytest.raises(UserError) as error:
        radiograph.read(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and reason.lower() in said.lower()
    assert "\n" not in said and "Traceback" not in said


def test_dicom_without_pydicom_names_the_command_that_installs_it(picture, tmp_path, monkeypatch):
    path = dicom(tmp_path / "image.dcm", picture)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"uv pip install .* --extra dicom"):
        radiograph.read(path)
    assert radiograph.read(png(tmp_path / "image.png", picture)).grey.shape == picture.shape


def test_large_private_elements_are_passed_over(picture, tmp_path):
    path = with_element(tmp_path / "p.dcm", picture, 0x00291010, b"UN", bytes(3_000_000))
    assert np.array_equal(radiograph.read(path).grey, picture)


ZEROS = 1 << 24  # bytes that are deflated at once
READ = """
import resource, sys
from pathlib import Path
from chestflow.core.errors import UserError
from chestflow.own import radiograph
try:
    radiograph.read(Path(sys.argv[1]))
except UserError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, error)
"""


def deflated_bomb(path: Path, grey: np.ndarray, tag: int, parts: int) -> Path:
    """A DICOM file that inflates to one element of so many times ZEROS bytes, or, without a tag, to
    millions of empty elements."""
    file = pydicom.dcmread(dicom(path, grey))
    file.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    file.save_as(path)
    whole = path.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    inner = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    inner = inner[: inner.rindex(struct.pack("<HH", 0x7FE0, 0x10))]
    head, filling = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OB", 0, parts * ZEROS), b"\0"
    if not tag:
        head, filling = b"", struct.pack("<HH2sH", 0x29, 0x1010, b"LO", 0)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    begun = packer.compress(inner + head) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(filling * (ZEROS // len(filling))) + packer.flush(zlib.Z_FULL_FLUSH)
    return written(path, whole[:start] + begun + parts * part + packer.flush())


@pytest.mark.parametrize(
    "tag, parts, reason",
    [
        (0x7FE00010, 120, "inflates to more"),  # 2 GB of pixels
        (0x7FE00010, 10, "167,772,160 bytes of pixels; expected: 66,000"),
        (0x00291010, 120, "inflates to more"),  # before the pixels
        (0, 10, "more elements than any header"),
    ],
)
def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tag, parts, reason, picture, tmp_path):
    """In another process, whose memory is limited: this one's would be the tests' own."""
    path = deflated_bomb(tmp_path / "bomb.dcm", picture, tag, parts)
    assert path.stat().st_size < 3_000_000
    ended = subprocess.run(
        [sys.executable, "-c", READ, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )
    kilobytes, _, said = ended.stdout.partition(" ")
    assert ended.stderr == "" and reason in said
    assert int(kilobytes) < 800_000


@pytest.mark.parametrize("name", ["deep.png", "deep.dcm"])
def test_a_defect_of_ours_is_not_called_damage(name, picture, tmp_path, monkeypatch):
    def broken(values):
        raise TypeError("a defect")

    wide, path = picture.astype(np.uint16) * 16, tmp_path / name
    save(Image.fromarray(wide), path) if path.suffix == ".png" else dicom(path, wide)
    for module in ("radiograph", "dicom"):
        monkeypatch.setattr(f"chestflow.own.{module}.eight_bit", broken)
    with pytest.raises(TypeError, match="a defect"):
        radiograph.read(path)


# -------------------------------------------------------------------------- what is no file


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


def bound(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # its name may have 108 bytes only
    return path


def sparse(path: Path) -> Path:
    written(path, b"x")
    os.truncate(path, 1 << 33)
    return path


def unreadable(path: Path) -> Path:
    written(path, b"x").chmod(0)
    return path


NO_FILES = {
    "FIFO": fifo,
    "device": lambda path: link(path, "/dev/zero"),
    "socket": bound,
    "levels of symbolic links": lambda path: link(path, path.name),
    "No such file": lambda path: link(path, "nowhere"),
    "name too long": lambda path: path.with_name("x" * 300),
    "a folder that cannot": lambda path: path.mkdir() or path,
    "accepted: up to": sparse,
    "Permission denied": unreadable,
}


@pytest.mark.parametrize("reason", NO_FILES)
def test_what_is_no_readable_file_is_refused_at_once(reason, tmp_path):
    if reason == "Permission denied" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = NO_FILES[reason](tmp_path / "x.png")
    with pytest.raises(UserError, match=reason) as error:
        radiograph.read(path)
    assert str(error.value).startswith(f"{path}: ")
    if not os.path.isdir(path):
        assert radiograph.find([path]) == [path], "read says why, and the others are read"


def test_messages_cannot_steer_a_terminal(tmp_path):
    path = written(tmp_path / "a\n\x1b[31mb\u202e\udcff.png", b"Dear colleague")
    with pytest.raises(UserError, match=r"no picture") as error:
        radiograph.read(path)
    assert str(error.value).isprintable()
    assert r"/a\n\x1b[31mb\u202e\udcff.png: " in str(error.value)


# ------------------------------------------------------------------------------------- folders


def test_a_folder_stands_for_the_images_in_it(picture, tmp_path):
    images = [tmp_path / "study" / name for name in ("a.png", "b.JPG", "deep/c.dcm", "deep/IM1")]
    for path in images:
        path.parent.mkdir(parents=True, exist_ok=True)
    png(images[0], picture)
    save(Image.fromarray(picture), images[1], format="JPEG")
    dicom(images[2], picture)
    dicom(images[3], picture)
    for name in ("notes.txt", ".hidden.png", "README", "DICOMDIR", "out/a-1234.png"):
        (tmp_path / "study" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "study" / name).write_text("no image")
    found = radiograph.find([tmp_path / "study"], leave=[tmp_path / "study/out"])
    assert sorted(found) == sorted(images)
    again = radiograph.find(
        [images[1], tmp_path / "study", images[1]], leave=[tmp_path / "study/out"]
    )
    assert again[0] == images[1] and sorted(again) == sorted(images)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="no image in this folder; accepted: PNG"):
        radiograph.find([tmp_path])


def test_links_that_lead_in_circles_end_no_search(picture, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    image = png(folder / "a.png", picture)
    link(folder / "itself", ".")
    link(folder / "same.png", "a.png")
    loop = link(folder / "loop.png", "loop.png")
    assert radiograph.find([folder, folder / "itself", loop]) == [image, loop]
