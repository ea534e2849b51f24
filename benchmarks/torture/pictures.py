"""Pictures as users have them, and others that no device would write."""

import io
import struct
import warnings
import zlib
from random import Random

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset


def values(random: Random) -> np.ndarray:
    shape = random.choice([(40, 50), (28, 28), (1, 1), (3, 900)])
    return np.random.default_rng(random.randrange(1 << 30)).integers(0, 256, shape, np.uint8)


def picture(random: Random) -> bytes:
    """PNG or JPEG of any mode that Pillow writes."""
    kind, modes = random.choice(
        [("PNG", ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")), ("JPEG", ("L", "RGB", "CMYK"))]
    )
    image, file, exif = Image.fromarray(values(random)), io.BytesIO(), Image.Exif()
    exif[0x0112] = random.choice([1, 6, 8, 0, 99])
    image.convert(random.choice(modes)).save(file, kind, exif=exif)
    return file.getvalue()


def strange_png(random: Random) -> bytes:
    """Chunks that are in order by their checksums, and not by what they say."""
    size = struct.pack(
        ">IIBBBBB",
        random.choice([0, 1, 28, 1 << 16, (1 << 31) - 1]),
        random.choice([0, 1, 28, 1 << 16, (1 << 31) - 1]),
        random.choice([1, 2, 4, 8, 16, 7]),
        random.choice([0, 2, 3, 4, 6, 5]),
        0,
        0,
        random.choice([0, 1, 2]),
    )
    rows = zlib.compress(random.choice([bytes(29 * 28), bytes(1 << 27), random.randbytes(9000)]))
    extra = random.choice([b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"PLTE", b"tRNS", b"IDAT"])
    content = random.choice([b"", rows, random.randbytes(300), b"a\0\0" + rows])
    chunks = [(b"IHDR", size), (extra, content), (b"IDAT", rows), (b"IEND", b"")]
    if random.random() < 0.3:
        random.shuffle(chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def dicom(random: Random, **elements: object) -> bytes:
    pixels, file = values(random), Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 8, 8, 7
    file.PhotometricInterpretation, file.PixelData = "MONOCHROME2", pixels.tobytes()
    for name, value in elements.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wrong values are meant
            setattr(file, name, value)
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.save_as(held, enforce_file_format=True)
    return held.getvalue()


ELEMENTS = {
    "Rows": (0, 1, 65535),
    "Columns": (0, 1, 65535),
    "BitsAllocated": (0, 1, 12, 16, 32, 64),
    "BitsStored": (0, 1, 12, 16, 200),
    "HighBit": (0, 15, 300),
    "SamplesPerPixel": (0, 3, 4, 999),
    "PixelRepresentation": (1, 2),
    "PhotometricInterpretation": ("", "MONOCHROME1", "RGB", "YBR_FULL", "PALETTE COLOR", "x\ny"),
    "NumberOfFrames": ("0", "2", "-1", "99999999"),
    "WindowWidth": ("0", "-1", "1e300", ["1", "2"], "1e-300"),
    "WindowCenter": ("0", "1e300", ["1", "2", "3"], "-1e300"),
    "RescaleSlope": ("0", "-1", "1e300", "1e-300"),
    "RescaleIntercept": ("0", "1e300", "-1e9"),
    "PixelData": (b"", b"\0\0", bytes(1 << 20)),
    "VOILUTFunction": ("SIGMOID", "LINEAR_EXACT", "x"),
    "PlanarConfiguration": (0, 1, 7),
}


def strange_dicom(random: Random) -> bytes:
    names = random.sample(list(ELEMENTS), random.randint(1, 4))
    while True:
        chosen = {name: random.choice(ELEMENTS[name]) for name in names}
        try:
            return dicom(random, **chosen)
        except (ValueError, TypeError, OverflowError):  # pydicom does not write everything
            names = random.sample(list(ELEMENTS), 1)


def other_syntax(random: Random) -> bytes:
    """Pixels said to be compressed in one of the ways that DICOM knows."""
    file, held = pydicom.dcmread(io.BytesIO(dicom(random))), io.BytesIO()
    file.file_meta.TransferSyntaxUID = random.choice(
        [uid.JPEGBaseline8Bit, uid.JPEG2000, uid.RLELossless, uid.DeflatedExplicitVRLittleEndian]
    )
    kept = file.PixelData if random.random() < 0.5 else picture(random)
    file.PixelData = pydicom.encaps.encapsulate([kept])
    file["PixelData"].is_undefined_length = True
    file.save_as(held, enforce_file_format=True)
    return held.getvalue()


def no_picture(random: Random) -> bytes:
    text = random.choice(
        [b"", b"GIF89a", b"%PDF", bytes(128) + b"DICM", b"\xff\xd8\xff", b"BM", b"II*\0"]
    )
    return text + random.randbytes(random.choice([0, 10, 5000]))
