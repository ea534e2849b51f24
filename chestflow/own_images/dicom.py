"""Read a DICOM file in grey values, as a viewer would show it first."""

from io import BytesIO

import numpy as np
from PIL import Image

from chestflow.errors import UserError
from chestflow.own_images.pixels import Radiograph, decoding, display_range, in_grey, stretch

START = 132  # bytes, of which the last four say that this is DICOM
# A file without these bytes begins with its first element, of group 2 or 8.
WITHOUT_PREAMBLE = (b"\x02\x00", b"\x08\x00")
GREY = ("MONOCHROME1", "MONOCHROME2")
OPTIONAL = (
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape", "NumberOfFrames"),
)
LARGEST = 1e15  # of a rescaled value: more would overflow later on


def is_dicom(content: bytes) -> bool:
    return content[START - 4 : START] == b"DICM" or content.startswith(WITHOUT_PREAMBLE)


def read(content: bytes) -> Radiograph:
    """DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (rescaling or modality LUT) and C.11.2 (window or VOI
    LUT). Raises UserError for what is damaged, or no single image."""
    file = _dataset(content)
    if "PixelData" not in file:
        raise UserError("DICOM without pixels")
    with decoding():
        frames, kind = int(file.get("NumberOfFrames", 1)), str(file.PhotometricInterpretation)
        width, height = int(file.Columns), int(file.Rows)
    if frames != 1:
        raise UserError(f"DICOM with {frames} frames; accepted: one image per file")
    if width * height > (most := Image.MAX_IMAGE_PIXELS or 0):
        raise UserError(f"{width} x {height} pixels; accepted: up to {most:,} in all")
    if kind in GREY:
        return _grey(file)
    if kind == "RGB" or kind.startswith("YBR"):
        colours = _pixels(file)  # pydicom makes it RGB
        low, high, _ = display_range(colours)
        with decoding():
            return in_grey(Image.fromarray(stretch(colours, low, high)))
    raise UserError(f"DICOM of {kind}; accepted: {', '.join(GREY)}, RGB, YBR")


def _dataset(content: bytes):
    """The file as pydicom's data set, without optional elements that are empty."""
    try:
        from pydicom import dcmread, uid
    except ImportError:
        raise UserError(
            "DICOM needs pydicom, which is missing; install it: "
            "uv pip install -c requirements.txt -r pyproject.toml --extra dicom"
        ) from None
    with decoding():
        file = dcmread(BytesIO(content), force=True)
        if "TransferSyntaxUID" not in file.file_meta:
            is_implicit, _ = file.original_encoding
            syntax = uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian
            file.file_meta.TransferSyntaxUID = syntax
        for name in OPTIONAL:
            if name in file and file[name].is_empty:
                del file[name]
        if "RescaleSlope" in file or "RescaleIntercept" in file:  # pydicom wants both
            file.RescaleSlope = file.get("RescaleSlope", 1)
            file.RescaleIntercept = file.get("RescaleIntercept", 0)
    return file


def _pixels(file) -> np.ndarray:
    """(H, W) of one sample per pixel, or (H, W, 3) of three."""
    from pydicom.pixels import pixel_array

    with decoding():
        stored = int(file.BitsStored)
        above = int(file.get("HighBit") or stored - 1) + 1
        try:
            # pydicom clears the bits above BitsStored, as if HighBit were always the one below.
            values = pixel_array(file, index=0, correct_unused_bits=above == stored)
        except RuntimeError as error:  # NotImplementedError as well
            raise UserError(_without_decoder(file.file_meta.TransferSyntaxUID)) from error
        # Some headers are wrong: values that fit into the lowest bits have their place there.
        if stored < above <= (bits := 8 * values.itemsize) and values.max() >> stored:
            values = (values << (bits - above)) >> (bits - stored)
        return values


def _without_decoder(syntax) -> str:
    """What to do about a compression that nothing here can unpack; pylibjpeg reads whatever any of
    pydicom's decoders reads."""
    from pydicom.pixels import get_decoder

    try:
        missing = get_decoder(syntax).missing_dependencies
    except NotImplementedError:
        missing = []
    packages = [each.partition("requires ")[2] for each in missing if each.startswith("pylibjpeg")]
    install = "".join(f", or install {each}" for each in packages)
    return f"its pixels ({syntax.name}) could not be unpacked; save it uncompressed{install}"


def _grey(file) -> Radiograph:
    from pydicom.pixels import apply_modality_lut, apply_windowing

    pixels = _pixels(file)
    if pixels.ndim != 2:
        raise UserError(f"damaged (pixels of shape {pixels.shape}, not of one sample)")
    with decoding():
        padding = _padding(file, pixels)
        values = apply_modality_lut(pixels, file)
        if file.get("VOILUTSequence"):
            values, low, high = _look_up(values, file.VOILUTSequence[0])
            remark = "its own VOI LUT"
        elif "WindowWidth" in file and "WindowCenter" in file:
            # Black and white by the same function: of a negative slope, black is the greater one.
            ends = apply_windowing(np.array([-(2**31), 2**31 - 1]), file)
            values, low, high = apply_windowing(values, file), *map(float, ends)
            remark = "its own window"
        elif padding.all():
            raise UserError("all of its pixels are padding")
        else:
            low, high, remark = display_range(values[~padding])
            remark = f"no window, {remark}"
    if not np.abs(values).max() < LARGEST:  # no number at all (NaN) fails as well
        raise UserError("damaged (its rescaling or window leads beyond all numbers)")
    grey = stretch(values, low, high)
    if not np.ptp(grey) and np.ptp(pixels):
        raise UserError("its rescaling, window or lookup table leaves nothing of the image")
    return _presented(file, grey, padding, remark)


def _presented(file, grey: np.ndarray, padding: np.ndarray, remark: str) -> Radiograph:
    """Inverted where low values are bright; padding is black."""
    remarks = [remark]
    is_inverse = str(file.get("PresentationLUTShape", "")).strip().upper() == "INVERSE"
    if is_inverse or file.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
        remarks.append("MONOCHROME1, inverted" if not is_inverse else "inverted, as the file says")
    if padding.any():
        grey = np.where(padding, np.uint8(0), grey)
        remarks.append("padding is black")
    return Radiograph(grey, tuple(remarks))


def _padding(file, pixels: np.ndarray) -> np.ndarray:
    """(H, W): which pixels only fill the frame (PS3.3 C.7.5.1.1.2)."""
    if "PixelPaddingValue" not in file:
        return np.zeros(pixels.shape, bool)
    first = file.PixelPaddingValue
    ends = np.array([first, file.get("PixelPaddingRangeLimit", first)])
    low, high = sorted(ends.astype(pixels.dtype))  # headers write -2000 as 63536
    return (low <= pixels) & (pixels <= high)


def _look_up(values: np.ndarray, item) -> tuple[np.ndarray, float, float]:
    """The values after a VOI LUT (PS3.3 C.11.2.1.1), and the least and greatest of its entries.
    pydicom 3.0 indexes a table of 8 bits with numbers of 8 bits, and reads it as words."""
    entries, first, bits = map(int, item.LUTDescriptor)
    entries = entries % 2**16 or 2**16
    if isinstance(item.LUTData, bytes):
        table = np.frombuffer(item.LUTData, np.uint8 if len(item.LUTData) < 2 * entries else "<u2")
    else:
        table = np.array(item.LUTData, "<u2")
        if bits == 8 and 2 * len(table) == entries:  # two entries in each word
            table = table.view(np.uint8)
    if first >= 2**15 and values.min() < 0:  # written as if it were unsigned
        first -= 2**16
    table = table[:entries].astype(np.float32)
    index = np.rint(values).astype(np.int64) - first
    return table[index.clip(0, len(table) - 1)], float(table.min()), float(table.max())
