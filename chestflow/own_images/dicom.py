"""Read a DICOM file in grey values, as a viewer would show it first."""

import math
import zlib
from contextlib import AbstractContextManager
from io import BytesIO

import numpy as np
from PIL import Image

from chestflow.errors import UserError
from chestflow.own_images.pixels import (
    MAX_BYTES,
    Radiograph,
    check_scans,
    check_size,
    decoding,
    eight_bit,
    in_grey,
    stretch,
)

START = 132  # bytes, of which the last four say that this is DICOM
JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"  # of JPEG 2000 in boxes
GREY = ("MONOCHROME1", "MONOCHROME2")
# Nothing else is kept of a file: private elements can be larger than the image, and broken.
ELEMENTS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PhotometricInterpretation", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
)
MAX_ELEMENT = 1 << 19  # bytes; a lookup table has 131,072. As numbers they need 200 times as many
MAX_READS = 1 << 16  # of a file's elements and items: a header has a few hundred
LARGEST = 1e15  # of a pixel, rescaled: more would overflow later on


class Metered(BytesIO):
    """A file in memory that millions of empty elements, each read by itself, do not hold up."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise UserError("damaged (more elements than any header has)")
        return super().read(size)


def is_dicom(content: bytes) -> bool:
    return content[START - 4 : START] == b"DICM"


def read(content: bytes) -> Radiograph:
    """DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (rescaling or modality LUT) and C.11.2 (window or VOI
    LUT). Raises UserError for what is damaged, or would unpack to more than its size in pixels."""
    file = _elements(content)
    with _decoding():
        if "PixelData" not in file:
            raise UserError("DICOM without pixels")
        if (frames := int(file.get("NumberOfFrames") or 1)) != 1:
            raise UserError(f"DICOM with {frames} frames; accepted: one image per file")
        width, height, kind = int(file.Columns), int(file.Rows), str(file.PhotometricInterpretation)
    check_size(width, height)
    if kind in GREY:
        grey, remark = _as_windowed(file)
        if kind == "MONOCHROME1":  # here low values are bright
            return Radiograph(255 - grey, (remark, "MONOCHROME1, inverted"))
        return Radiograph(grey, (remark,))
    if kind == "RGB" or kind.startswith("YBR"):
        return in_grey(Image.fromarray(eight_bit(_pixels(file, 3))[0]))  # pydicom makes it RGB
    raise UserError(f"DICOM of {kind}; accepted: {', '.join(GREY)}, RGB, YBR")


def _decoding() -> AbstractContextManager[None]:
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return decoding(BytesLengthException, InvalidDicomError)


def _elements(content: bytes):
    """The file's ELEMENTS, as pydicom's data set."""
    try:
        from pydicom import dcmread
        from pydicom.dataset import FileMetaDataset
        from pydicom.filereader import read_dataset, read_preamble
        from pydicom.tag import Tag
        from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
    except ImportError:
        raise UserError(
            "DICOM needs pydicom, which is missing; install it: "
            "uv pip install -c requirements.txt -r pyproject.toml --extra dicom"
        ) from None
    wanted: list = [Tag(name) for name in ELEMENTS]
    with _decoding():
        start = Metered(content)
        read_preamble(start, force=False)
        meta = read_dataset(start, False, True, stop_when=lambda tag, *_: tag.group != 2)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            # pydicom would inflate all of it, to whatever size.
            inflated = Metered(_inflated(content[start.tell() :]))
            file = read_dataset(inflated, False, True, specific_tags=wanted)
            file.file_meta = FileMetaDataset()
            file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        else:
            file = dcmread(Metered(content), specific_tags=wanted)
    _check_elements(file)
    return file


def _inflated(deflated: bytes) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = stream.decompress(deflated, MAX_BYTES + 1)
    if len(inflated) > MAX_BYTES:
        raise UserError(f"inflates to more than any image has; accepted: up to {MAX_BYTES:,} bytes")
    if not stream.eof:
        raise UserError("damaged (cut off in its deflated part)")
    return inflated


def _check_elements(file) -> None:
    """Refuse numbers and tables, before they are parsed, that are as long as an image."""
    for element in file.values():  # as they are in the file, unlike those of `file[tag]`
        if isinstance(element.value, bytes):
            if len(element.value) > MAX_ELEMENT and element.tag != 0x7FE00010:
                raise UserError(f"element {element.tag} has {len(element.value):,} bytes")
        elif element.VR == "SQ":
            for item in element.value:
                _check_elements(item)


def _pixels(file, samples: int) -> np.ndarray:
    """(H, W) of one sample per pixel, or (H, W, 3) of three."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import pixel_array

    with _decoding():
        content, syntax = file.get_item("PixelData").value or b"", file.file_meta.TransferSyntaxUID
        width, height = int(file.Columns), int(file.Rows)
        bits = width * height * int(file.SamplesPerPixel) * int(file.BitsAllocated)
        shared = file.PhotometricInterpretation == "YBR_FULL_422"  # by two pixels: their colour
        frame = get_frame(content, 0, number_of_frames=1) if syntax.is_encapsulated else None
    needed = math.ceil(bits / 8)
    if frame is None:
        _check_length(len(content), needed // 3 * 2 if shared else needed, width, height)
    else:
        _check_frame(frame, needed, width, height)
    with _decoding():
        try:
            values = pixel_array(file, index=0)
        except RuntimeError as error:  # NotImplementedError as well
            raise UserError(
                f"its pixels ({syntax.name}) could not be unpacked; save the image uncompressed, or"
                " install a decoder: uv pip install python-gdcm"
            ) from error
    if values.shape[2:] != (3,)[: samples - 1]:
        raise UserError(f"damaged (pixels of shape {values.shape}, not of {samples} samples)")
    return values


def _check_length(length: int, needed: int, width: int, height: int) -> None:
    """Refuse pixels that are more or fewer bytes than needed, but for one that makes it even."""
    if length not in (needed, needed + needed % 2):
        raise UserError(
            f"damaged ({length:,} bytes of pixels; expected: {needed:,} for {width} x {height} of"
            " them)"
        )


def _check_frame(frame: bytes, needed: int, width: int, height: int) -> None:
    """Refuse a compressed frame that would unpack to more than so many bytes, or pixels."""
    if frame.startswith(JP2_START):
        _check_boxes(frame)
    if size := _size(frame):
        if size != (width, height):
            raise UserError(
                f"damaged (its pixels unpack to {size[0]} x {size[1]}; expected: {width} x"
                f" {height}, as its header says)"
            )
        check_scans(frame)
    if len(frame) > 2 * needed + (1 << 16):  # noise may grow a little; RLE unpacks all it is given
        raise UserError(
            f"damaged ({len(frame):,} bytes, compressed, for {width} x {height} pixels)"
        )


def _size(frame: bytes) -> tuple[int, int] | None:
    """Width and height, as a JPEG or JPEG 2000 says itself; None for what Pillow does not know."""
    with decoding():
        try:
            return Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")).size
        except Image.UnidentifiedImageError:
            return None


def _check_boxes(frame: bytes) -> None:
    """A box without a length around JPEG 2000 would keep pydicom (3.0) going round for ever."""
    place = len(JP2_START)
    while place < len(frame) and frame[place + 4 : place + 8] != b"jp2c":
        length = int.from_bytes(frame[place : place + 4], "big")
        if not length:
            raise UserError("damaged (JPEG 2000 in a box without a length)")
        place += length


def _as_windowed(file) -> tuple[np.ndarray, str]:
    """A DICOM file's pixels in 0..255, and in words by which range."""
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    pixels, ends = _pixels(file, 1), np.array([-(2**31), 2**31 - 1])
    with _decoding():
        values = apply_modality_lut(pixels, file)
    _check_finite(values)
    with _decoding():
        remark = ""
        if file.get("VOILUTSequence"):
            whole = np.rint(values).astype(np.int64)
            values, ends, remark = *(apply_voi(v, file) for v in (whole, ends)), "its own VOI LUT"
        elif file.get("WindowWidth") and file.get("WindowCenter") is not None:
            values, ends = (apply_windowing(v, file) for v in (values, ends))
            remark = "its own window"
    if remark:
        _check_finite(values, ends)
        return stretch(values, *sorted(map(float, ends))), remark
    if values.min() >= 0 and (values == np.rint(values)).all():
        grey, depth = eight_bit(values)
        return grey, f"no window, read as {depth} bits"
    return stretch(values, float(values.min()), float(values.max())), "no window, its own range"


def _check_finite(*arrays: np.ndarray) -> None:
    for values in arrays:
        if not (values.min() > -LARGEST and values.max() < LARGEST):  # false for no number, too
            raise UserError("damaged (its rescaling or window leads beyond all numbers)")
