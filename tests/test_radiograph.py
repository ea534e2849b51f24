"""A user's own radiographs: one picture in every file format, and files that are refused."""

import struct
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

from chestflow.errors import UserError
from chestflow.own_images import radiograph

SIDE = 28


@pytest.fixture(scope="module")
def picture(splits) -> np.ndarray:
    """An image of 300 x 220 pixels that uses the whole range: a phantom between dark margins."""
    square = Image.fromarray(splits["test"].images[3]).resize((220, 220), Image.BICUBIC)
    values = np.asarray(square).astype(float)
    values = np.rint(255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)
    return np.pad(values, ((0, 0), (40, 40)), constant_values=16)


def dicom(path: Path, pixels: np.ndarray, syntax=uid.ExplicitVRLittleEndian, **elements) -> Path:
    """A DICOM file of (H, W) or (H, W, 3) pixels; elements overrule what follows from them."""
    file, bits = Dataset(), 8 * pixels.dtype.itemsize
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.SOPClassUID, file.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel, file.PlanarConfiguration = (1 if pixels.ndim == 2 else 3), 0
    file.BitsAllocated, file.BitsStored = bits, elements.pop("BitsStored", bits)
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    data = pixels.tobytes()
    file.PixelData = pydicom.encaps.encapsulate([data]) if syntax.is_encapsulated else data
    for name, value in elements.items():
        setattr(file, name, value)
    file.save_as(path, enforce_file_format=True)
    return path


def voi_lut(first: int, bits: int, data: list[int] | bytes) -> dict:
    """Of 4096 entries."""
    table = Dataset()
    table.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4096, first, bits])
    table.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return {"VOILUTSequence": [table]}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def without_preamble(path: Path, with_meta: bool = False) -> Path:
    """The file without its first 132 bytes, and perhaps without the group that names its syntax."""
    if with_meta:
        return written(path, path.read_bytes()[132:])
    file = pydicom.dcmread(path)
    file.file_meta = FileMetaDataset()
    file.save_as(path, enforce_file_format=False, implicit_vr=True, little_endian=True)
    return path


def png_of_16_bits(path: Path, channels: np.ndarray) -> Path:
    """(H, W, 3): Pillow reads such files, but writes none."""
    rows = b"".join(b"\0" + row.tobytes() for row in channels.astype(">u2"))
    size = struct.pack(">IIBBBBB", channels.shape[1], channels.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return written(path, radiograph.PNG_START + content)


def save(image: Image.Image | np.ndarray, path: Path, **options) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def in_every_format(folder: Path, grey: np.ndarray) -> dict[str, tuple[Path, float]]:
    """The same picture in files of many kinds, and by how much a pixel may differ then."""
    image, wide = Image.fromarray(grey), grey.astype(np.uint16)
    twelve = np.rint(wide * (4095 / 255)).astype(np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: a viewer turns it clockwise

    def png(name, picture):
        return save(picture, folder / f"{name}.png"), 0

    def jpeg(name, picture, **options):
        return save(picture, folder / f"{name}.jpg", quality=95, **options), 20

    def dcm(name, pixels, tolerance=2, **elements):
        return dicom(folder / f"{name}.dcm", pixels, **elements), tolerance

    hot, padded = twelve.copy(), twelve.astype(np.int16)
    hot[0, 50], padded[:10] = 65535, -2000
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    half = {"RescaleSlope": 0.5, "RescaleIntercept": -1000}
    negative = {"BitsStored": 12, "RescaleSlope": -1, "RescaleIntercept": 4095}
    identity, eighth = list(range(4096)), bytes(i // 16 for i in range(4096))
    as_words = np.frombuffer(eighth, "<u2").tolist()
    signed = ((twelve.astype(int) - 2048) << 4).astype(np.int16)
    above = np.where(padded < 0, 50_000, twelve).astype(np.uint16)
    empty = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "PixelPaddingValue"))
    return {
        "grey": png("grey", image),
        "colour": png("colour", image.convert("RGB")),
        "grey and alpha": png("grey_alpha", image.convert("LA")),
        "palette": png("palette", image.convert("P")),
        "16 bits": png("sixteen", Image.fromarray(wide * 257)),
        "12 bits in 16": png("twelve", Image.fromarray(twelve)),
        "8 bits in 16": png("eight", Image.fromarray(wide)),
        "hot pixel": (save(hot, folder / "hot.png"), 300),
        "16 bits, colour": (png_of_16_bits(folder / "c16.png", np.dstack([wide * 257] * 3)), 0),
        "JPEG": jpeg("grey", image),
        "JPEG on its side": jpeg("side", image.transpose(Image.Transpose.ROTATE_90), exif=turned),
        "DICOM": dcm("plain", grey, 0),
        "MONOCHROME1": dcm("inverted", 255 - grey, 0, PhotometricInterpretation="MONOCHROME1"),
        "presentation LUT": dcm("p", 255 - grey, 0, PresentationLUTShape="INVERSE"),
        "says 16 and has 12": dcm("liar", twelve),
        "several windows": dcm("w2", twelve, WindowCenter=[2048, 9], WindowWidth=[4096, 9]),
        "rescaled": dcm("rescaled", twelve, **half, WindowCenter=24.25, WindowWidth=2048.5),
        "negative slope": dcm("neg", 4095 - twelve, **negative, **window),
        "negative slope, linear exact": dcm(
            "exact", 4095 - twelve, **negative, **window, VOILUTFunction="LINEAR_EXACT"
        ),
        "negative slope, MONOCHROME1": dcm(
            "neg1", twelve, **negative, **window, PhotometricInterpretation="MONOCHROME1"
        ),
        "negative slope without intercept": dcm("slope", 4095 - twelve, 20, RescaleSlope=-1),
        "VOI LUT": dcm("lut", twelve, **voi_lut(0, 12, identity)),
        "VOI LUT from below 0": dcm(
            "lut0", twelve.astype(np.int16) - 1024, **voi_lut(-1024, 12, identity)
        ),
        "VOI LUT of 8 bits as words": dcm("lut8", twelve, **voi_lut(0, 8, list(eighth))),
        "VOI LUT of 8 bits as bytes": dcm("lutb", twelve, **voi_lut(0, 8, eighth)),
        "VOI LUT of 8 bits, packed": dcm("lutp", twelve, **voi_lut(0, 8, as_words)),
        "high bit 13 of 12, overlay above": dcm(
            "high13", (twelve << 2) | np.uint16(3 << 14), BitsStored=12, HighBit=13
        ),
        "high bit 15 of 12, signed": dcm("highs", signed, 20, BitsStored=12, HighBit=15),
        "high bit wrong": dcm("high0", twelve, BitsStored=12, HighBit=15),
        "padding": dcm("padding", padded, 300, PixelPaddingValue=-2000),
        "padding as unsigned": dcm("padu", padded.view(np.uint16), 300, PixelPaddingValue=63536),
        "padding range": dcm(
            "padr", above, 300, PixelPaddingValue=49_000, PixelPaddingRangeLimit=65535
        ),
        "signed": dcm("signed", signed >> 4, 20),
        "empty elements": dcm("empty", twelve, **empty, VOILUTFunction="", **window),
        "empty window": dcm("nowindow", twelve, WindowCenter=None, WindowWidth=None),
        "RGB": dcm("rgb", np.repeat(grey[..., None], 3, axis=2), 0),
        "implicit": dcm("implicit", twelve, syntax=uid.ImplicitVRLittleEndian),
        "without a preamble": (without_preamble(dicom(folder / "meta.dcm", twelve), True), 2),
        "without preamble, syntax and suffix": (
            without_preamble(dicom(folder / "IM000001", twelve)),
            2,
        ),
    }


def test_every_format_gives_the_same_image(picture, tmp_path):
    expected = radiograph.prepare(picture, SIDE).astype(int)
    files = in_every_format(tmp_path, picture)
    for kind, (path, tolerance) in files.items():
        grey = radiograph.read(path)
        assert grey.dtype == np.uint8 and grey.shape == picture.shape, kind
        difference = np.abs(grey.astype(int) - picture)[10:]  # above lies padding
        difference[:, 50] *= tolerance < 300  # and here a hot pixel
        assert difference.max() <= min(tolerance, 20), kind
        if tolerance < 300:
            assert np.abs(radiograph.prepare(grey, SIDE) - expected).max() <= tolerance, kind


def test_transparent_pixels_are_black(picture, tmp_path):
    hidden = np.dstack([picture, np.full_like(picture, 255)])
    hidden[:50, :, 1] = 0
    read = radiograph.read(save(Image.fromarray(hidden, "LA"), tmp_path / "hidden.png"))
    assert read[:50].max() == 0 and np.array_equal(read[50:], picture[50:])


def test_every_bit_depth_is_scaled_to_the_full_range():
    for depth in radiograph.DEPTHS:
        highest = (1 << depth) - 1
        values = np.repeat(np.array([0, highest // 2, highest], np.uint16), 5)
        assert radiograph.display_range(values) == (0, highest)


def test_values_beyond_a_dicom_window_are_cut_off(tmp_path):
    values = np.tile(np.array([0, 1000, 1500, 2000, 4000], np.uint16), (5, 1))
    path = dicom(tmp_path / "w.dcm", values, WindowCenter=1500.5, WindowWidth=1001, BitsStored=12)
    assert radiograph.read(path)[0].tolist() == [0, 0, 128, 255, 255]


# ------------------------------------------------------------------------------- preparation


def test_an_image_of_the_data_set_is_left_unchanged(splits):
    for image in splits["test"].images[:5]:
        assert np.array_equal(radiograph.prepare(image, SIDE), image)


@pytest.mark.parametrize("shape", [(300, 220), (29, 1000), (10, 14)])
def test_preparation_equals_a_centre_crop_and_scikit_images_resize(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    square = radiograph.seen(grey)
    assert square.shape == (min(shape), min(shape))
    smooth = len(square) > SIDE
    options = {"mode": "symmetric", "preserve_range": True, "anti_aliasing": smooth}
    expected = np.rint(resize(square, (SIDE, SIDE), order=1, **options))
    prepared = radiograph.prepare(grey, SIDE)
    assert prepared.shape == (SIDE, SIDE) and prepared.dtype == np.uint8
    assert np.abs(prepared - expected).max() <= 1 - smooth  # halves may be rounded either way


def test_cropped_away_pixels_have_no_influence(picture):
    left, top, side = radiograph.square(picture)
    assert (left, top, side) == (40, 0, 220)
    other = picture.copy()
    other[:, :left], other[:, left + side :] = 255, 0
    assert np.array_equal(radiograph.prepare(picture, SIDE), radiograph.prepare(other, SIDE))


# ------------------------------------------------------------------------------ unusable files


def cut(path: Path, n: int) -> Path:
    return written(path, path.read_bytes()[:n])


def without_pixels(path: Path) -> Path:
    file = pydicom.dcmread(path)
    del file.PixelData
    file.save_as(path)
    return path


UNUSABLE = {  # what is said -> a file
    "no such file": lambda d, grey: d / "missing.png",
    "file name too long": lambda d, grey: d / ("x" * 300),
    "empty": lambda d, grey: written(d / "empty.png", b""),
    "no picture; accepted: PNG, JPEG or DICOM": lambda d, grey: written(d / "a.png", b"Dear Sir"),
    "damaged": lambda d, grey: cut(save(grey, d / "cut.png"), 9000),
    "damaged (": lambda d, grey: cut(dicom(d / "d.dcm", grey), 3000),
    "blank": lambda d, grey: save(np.full_like(grey, 77), d / "blank.png"),
    "decompression bomb": lambda d, grey: save(Image.new("1", (20_000, 20_000)), d / "b.png"),
    "leave the upper half unused": lambda d, grey: png_of_16_bits(
        d / "c12.png", np.dstack([grey.astype(np.uint16) * 16] * 3)
    ),
    "DICOM with 3 frames": lambda d, grey: dicom(d / "f.dcm", grey, NumberOfFrames=3),
    "DICOM without pixels": lambda d, grey: without_pixels(dicom(d / "none.dcm", grey)),
    "DICOM of PALETTE COLOR; accepted: MONOCHROME1": lambda d, grey: dicom(
        d / "p.dcm", grey, PhotometricInterpretation="PALETTE COLOR"
    ),
    "JPEG Lossless": lambda d, grey: dicom(d / "l.dcm", grey, uid.JPEGLossless),
    "save it uncompressed": lambda d, grey: dicom(d / "m.dcm", grey, uid.JPEGExtended12Bit),
    "60000 x 60000 pixels": lambda d, grey: dicom(d / "h.dcm", grey, Rows=60_000, Columns=60_000),
    "window or lookup table leaves nothing": lambda d, grey: dicom(
        d / "w.dcm", grey, WindowCenter=10_000, WindowWidth=100
    ),
    "all of its pixels are padding": lambda d, grey: dicom(
        d / "n.dcm", grey, PixelPaddingValue=0, PixelPaddingRangeLimit=255
    ),
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_an_unusable_file_is_refused_in_one_line(reason, picture, tmp_path):
    path = UNUSABLE[reason](tmp_path, picture)
    with pytest.raises(UserError) as error:
        radiograph.read(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and reason.lower() in said.lower() and "\n" not in said


def test_dicom_without_pydicom_names_the_command_that_installs_it(picture, tmp_path, monkeypatch):
    path = dicom(tmp_path / "image.dcm", picture)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"uv pip install .* --extra dicom"):
        radiograph.read(path)


# ------------------------------------------------------------------------------------- folders


def test_a_folder_stands_for_the_images_in_it(picture, tmp_path):
    study = tmp_path / "study"
    (study / "deep").mkdir(parents=True)
    images = [study / name for name in ("a.png", "b.JPG", "deep/c.dcm", "deep/IM1", "e.jfif")]
    save(picture, images[0])
    save(picture, images[1], format="JPEG")
    dicom(images[2], picture)
    without_preamble(dicom(images[3], picture))
    save(picture, images[4], format="JPEG")
    others = [study / name for name in ("a.mha", "b.dcm.gz", "c.pdf", "d.npy", "README")]
    ignored = (".hidden.png", ".git/x.png", "DICOMDIR", "Thumbs.db")
    for path in [*others, *(study / name for name in ignored)]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("no image")
    (study / "loop").symlink_to(study)
    listed, passed_over = radiograph.find([images[1], study, images[1]])
    assert listed[0] == images[1] and sorted(listed) == sorted(images)
    assert passed_over == sorted(others)
    note = radiograph.passed_over_note([*passed_over, study / "f.nrrd"])
    assert note.startswith("6 files passed over") and "a.mha" in note and note.endswith(", ...")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="no image in this folder; accepted: PNG"):
        radiograph.find([tmp_path])
