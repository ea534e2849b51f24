"""A user's own radiographs: one picture in every file format, and files that are refused."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from skimage.transform import resize
from small_run import refusal, save

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


def pictures(folder: Path, grey: np.ndarray) -> dict[Path, int]:
    """The same picture in PNG and JPEG files of many kinds; by how much a pixel may differ."""
    image, wide = Image.fromarray(grey), grey.astype(np.uint16)
    kinds = {mode: image.convert(mode) for mode in ("L", "P", "RGB", "LA")}
    for bits in radiograph.DEPTHS:
        kinds[f"{bits} in 16"] = np.rint(wide * ((2**bits - 1) / 255)).astype(np.uint16)
    files = {save(folder / f"{name}.png", kind): 0 for name, kind in kinds.items()}
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: a viewer turns it clockwise
    side = image.transpose(Image.Transpose.ROTATE_90)
    files[save(folder / "side.jpg", side, quality=95, exif=turned)] = 20
    hot = kinds["12 in 16"].copy()
    hot[5, 50] = 65535
    return files | {save(folder / "hot.png", hot): 0}


def dicoms(folder: Path, grey: np.ndarray) -> dict[Path, int]:
    """The same in DICOM files. What lies above row 10 may be padding."""
    twelve = np.rint(grey * (4095 / 255)).astype(np.uint16)
    padded = twelve.astype(np.int16)
    padded[:10] = -2000
    above = np.where(padded < 0, 50_000, twelve).astype(np.uint16)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    negative = {"BitsStored": 12, "RescaleSlope": -1, "RescaleIntercept": 4095} | window
    inverse = {"PhotometricInterpretation": "MONOCHROME1"}
    identity, eighth = list(range(4096)), bytes(i // 16 for i in range(4096))
    empty = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "PixelPaddingValue"))
    half = {"RescaleSlope": 0.5, "RescaleIntercept": -1000}
    files: dict[str, tuple] = {  # pixels, by how much they may differ, elements
        "8 bits": (grey, 0, {}),
        "MONOCHROME1": (255 - grey, 0, inverse),
        "presentation LUT": (255 - grey, 0, {"PresentationLUTShape": "INVERSE"}),
        "RGB": (np.repeat(grey[..., None], 3, axis=2), 0, {}),
        "says 16 and has 12": (twelve, 1, {}),
        "signed": (twelve.astype(np.int16) - 2048, 20, {}),
        "several windows": (twelve, 1, {"WindowCenter": [2048, 9], "WindowWidth": [4096, 9]}),
        "rescaled": (twelve, 1, {**half, "WindowCenter": 24.25, "WindowWidth": 2048.5}),
        "negative slope": (4095 - twelve, 1, negative),
        "negative slope, MONOCHROME1": (twelve, 1, negative | inverse),
        "slope without intercept": (4095 - twelve, 20, {"RescaleSlope": -1}),
        "VOI LUT": (twelve, 1, voi_lut(0, 12, identity)),
        "from below 0": (twelve.astype(np.int16) - 1024, 1, voi_lut(-1024, 12, identity)),
        "8 bits as words": (twelve, 1, voi_lut(0, 8, list(eighth))),
        "8 bits as bytes": (twelve, 1, voi_lut(0, 8, eighth)),
        "8 bits, packed": (twelve, 1, voi_lut(0, 8, np.frombuffer(eighth, "<u2").tolist())),
        "padding": (padded, 20, {"PixelPaddingValue": -2000}),
        "padding as unsigned": (padded.view(np.uint16), 20, {"PixelPaddingValue": 63536}),
        "range": (above, 20, {"PixelPaddingValue": 49_000, "PixelPaddingRangeLimit": 65535}),
        "empty elements": (twelve, 1, empty | {"VOILUTFunction": ""} | window),
    }
    paths = {
        dicom(folder / f"{name}.dcm", pixels, **elements): tolerance
        for name, (pixels, tolerance, elements) in files.items()
    }
    paths[without_preamble(dicom(folder / "meta.dcm", twelve), with_meta=True)] = 1
    return paths | {without_preamble(dicom(folder / "IM000001", twelve)): 1}


@pytest.mark.parametrize("files", [pictures, dicoms])
def test_every_format_gives_the_same_image(files, picture, tmp_path):
    for path, tolerance in files(tmp_path, picture).items():
        grey = radiograph.read(path)
        assert grey.dtype == np.uint8 and grey.shape == picture.shape, path
        difference = np.abs(grey.astype(int) - picture)[10:]
        assert difference.max() <= tolerance, path


def test_transparent_pixels_are_black(picture, tmp_path):
    hidden = np.dstack([picture, np.full_like(picture, 255)])
    hidden[:50, :, 1] = 0
    read = radiograph.read(save(tmp_path / "hidden.png", Image.fromarray(hidden, "LA")))
    assert read[:50].max() == 0 and np.array_equal(read[50:], picture[50:])


def test_values_beyond_a_dicom_window_are_cut_off(tmp_path):
    values = np.tile(np.array([0, 1000, 1500, 2000, 4000], np.uint16), (5, 1))
    path = dicom(tmp_path / "w.dcm", values, WindowCenter=1500.5, WindowWidth=1001, BitsStored=12)
    assert radiograph.read(path)[0].tolist() == [0, 0, 128, 255, 255]


def test_an_image_of_the_data_set_is_left_unchanged(splits):
    for image in splits["test"].images[:5]:
        assert np.array_equal(radiograph.prepare(image, SIDE), image)


@pytest.mark.parametrize("shape", [(300, 220), (29, 1000), (10, 14)])
def test_preparation_equals_a_centre_crop_and_scikit_images_resize(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    left, top, side = radiograph.square(grey)
    assert side == min(shape) and 2 * left + side == shape[1] - (shape[1] - side) % 2
    square = grey[top : top + side, left : left + side]
    smooth = side > SIDE
    options = {"mode": "symmetric", "preserve_range": True, "anti_aliasing": smooth}
    expected = np.rint(resize(square, (SIDE, SIDE), order=1, **options))
    prepared = radiograph.prepare(grey, SIDE)
    assert prepared.shape == (SIDE, SIDE) and prepared.dtype == np.uint8
    assert np.abs(prepared - expected).max() <= 1 - smooth  # halves may be rounded either way


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
    "no picture; accepted: PNG, JPEG or DICOM": lambda d, grey: written(d / "a.png", b"Dear Sir"),
    "damaged": lambda d, grey: cut(save(d / "cut.png", grey), 9000),
    "damaged (": lambda d, grey: cut(dicom(d / "d.dcm", grey), 3000),
    "blank": lambda d, grey: save(d / "blank.png", np.full_like(grey, 77)),
    "decompression bomb": lambda d, grey: save(d / "b.png", Image.new("1", (20_000, 20_000))),
    "DICOM with 3 frames": lambda d, grey: dicom(d / "f.dcm", grey, NumberOfFrames=3),
    "DICOM with high bit 6": lambda d, grey: dicom(d / "h.dcm", grey, HighBit=6),
    "DICOM without pixels": lambda d, grey: without_pixels(dicom(d / "none.dcm", grey)),
    "DICOM of PALETTE COLOR; accepted: MONOCHROME1": lambda d, grey: dicom(
        d / "p.dcm", grey, PhotometricInterpretation="PALETTE COLOR"
    ),
    "JPEG Lossless": lambda d, grey: dicom(d / "l.dcm", grey, uid.JPEGLossless),
    "save it uncompressed": lambda d, grey: dicom(d / "m.dcm", grey, uid.JPEGExtended12Bit),
    "60000 x 60000 pixels": lambda d, grey: dicom(d / "h.dcm", grey, Rows=60_000, Columns=60_000),
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_an_unusable_file_is_refused_in_one_line(reason, picture, tmp_path):
    path = UNUSABLE[reason](tmp_path, picture)
    said = refusal(radiograph.read, path)
    assert said.startswith(f"{path}: ") and reason.lower() in said.lower()


def test_a_folder_stands_for_the_images_in_it(picture, tmp_path, capsys):
    study = tmp_path / "study"
    (study / "deep").mkdir(parents=True)
    images = [study / name for name in ("a.png", "b.JPG", "deep/c.dcm", "deep/IM1", "e.jfif")]
    save(images[0], picture)
    save(images[1], picture, format="JPEG")
    dicom(images[2], picture)
    without_preamble(dicom(images[3], picture))
    save(images[4], picture, format="JPEG")
    others = ("a.mha", "b.dcm.gz", "c.pdf", "d.npy", "e.nrrd", "f.nii")
    for name in (*others, ".hidden.png", ".git/x.png", "DICOMDIR", "Thumbs.db"):
        (study / name).parent.mkdir(exist_ok=True)
        (study / name).write_text("no image")
    (study / "loop").symlink_to(study)
    found = radiograph.find([images[1], study, images[1]], "predict")
    assert found[0] == images[1] and sorted(found) == sorted(images)
    said = capsys.readouterr().err
    assert said.startswith("predict: 6 files passed over")
    assert said.endswith("a.mha, b.dcm.gz, c.pdf, d.npy, e.nrrd, ...\n")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert ": no image; accepted: PNG" in refusal(radiograph.find, [tmp_path], "predict")
