"""Read a DICOM file in grey values, as a viewer would show it first. Sections are those of
DICOM PS3.3."""

from io import BytesIO

import numpy as np
from PIL import Image
from pydicom import dcmread, uid
from pydicom.pixels import apply_modality_lut, apply_windowing, pixel_array

from chestflow.errors import UserError
from chestflow.own_images.radiograph import display_range, stretch

GREY = ("MONOCHROME1", "MONOCHROME2")
OPTIONAL = (
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "HighBit", "NumberOfFrames"),
)


def read(content: bytes) -> np.ndarray:
    """(H, W) uint8. Raises UserError for what is no single image or a kind not accepted, and
    whatever pydicom raises for a damaged file."""
    file = _dataset(content)
    if "PixelData" not in file:
        raise UserError("DICOM without pixels")
    if (frames := int(file.get("NumberOfFrames", 1))) != 1:
        raise UserError(f"DICOM with {frames} frames; accepted: one image per file")
    if file.Columns * file.Rows > (most := Image.MAX_IMAGE_PIXELS or 0):
        raise UserError(f"{file.Columns} x {file.Rows} pixels; accepted: up to {most:,} in all")
    kind = str(file.PhotometricInterpretation)
    if kind in GREY:
        return _grey(file, _pixels(file))
    if kind == "RGB" or kind.startswith("YBR"):
        colours = _pixels(file)  # pydicom makes it RGB
        stretched = stretch(colours, *display_range(colours))
        return np.array(Image.fromarray(stretched).convert("L"))
    raise UserError(f"DICOM of {kind}; accepted: {', '.join(GREY)}, RGB, YBR")


def _dataset(content: bytes):
    """The file as pydicom's data set, without optional elements that are empty."""
    file = dcmread(BytesIO(content), force=True)
    if "TransferSyntaxUID" not in file.file_meta:
        is_implicit, _ = file.original_encoding
        syntax = uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian
        file.file_meta.TransferSyntaxUID = syntax
    for name in OPTIONAL:
        if name in file and file[name].is_empty:
            del file[name]
    file.setdefault("RescaleSlope", 1)  # pydicom uses neither of these if one is missing
    file.setdefault("RescaleIntercept", 0)
    return file


def _pixels(file) -> np.ndarray:
    """(H, W) of one sample per pixel, or (H, W, 3) of three."""
    if file.get("HighBit", file.BitsStored - 1) != file.BitsStored - 1:  # pydicom ignores it
        raise UserError(f"DICOM with high bit {file.HighBit}; accepted: {file.BitsStored - 1}")
    try:
        return pixel_array(file, index=0)
    except RuntimeError as error:  # NotImplementedError as well
        raise UserError(
            f"no decoder installed for its pixels ({file.file_meta.TransferSyntaxUID.name}); "
            "save it uncompressed, or see docs/own-images.md"
        ) from error


def _grey(file, pixels: np.ndarray) -> np.ndarray:
    """Modality LUT or rescaling (C.11.1), then VOI LUT or window (C.11.2). Inverted where low
    values are bright; padding is black."""
    padding = _padding(file, pixels)
    values = apply_modality_lut(pixels, file)
    if file.get("VOILUTSequence"):
        values, low, high = _look_up(values, file.VOILUTSequence[0])
    elif "WindowWidth" in file and "WindowCenter" in file:
        # Black and white by the same function: of a negative slope, black is the greater one.
        low, high = map(float, apply_windowing(np.array([-(2**31), 2**31 - 1]), file))
        values = apply_windowing(values, file)
    else:
        low, high = display_range(values[~padding])
    grey = stretch(values, low, high)
    is_inverse = str(file.get("PresentationLUTShape", "")).strip() == "INVERSE"
    if is_inverse or file.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.where(padding, np.uint8(0), grey)


def _padding(file, pixels: np.ndarray) -> np.ndarray:
    """(H, W): which pixels only fill the frame (C.7.5.1.1.2)."""
    if "PixelPaddingValue" not in file:
        return np.zeros(pixels.shape, bool)
    first = file.PixelPaddingValue
    ends = np.array([first, file.get("PixelPaddingRangeLimit", first)])
    low, high = sorted(ends.astype(pixels.dtype))  # headers write -2000 as 63536
    return (low <= pixels) & (pixels <= high)


def _look_up(values: np.ndarray, item) -> tuple[np.ndarray, float, float]:
    """The values after a VOI LUT (C.11.2.1.1), and the least and greatest of its entries. pydicom
    3.0 indexes a table of 8 bits with numbers of 8 bits, and reads it as words."""
    entries, first, _ = map(int, item.LUTDescriptor)
    entries = entries % 2**16 or 2**16
    data = item.LUTData
    content = data if isinstance(data, bytes) else np.array(data, "<u2").tobytes()
    is_of_bytes = len(content) <= entries + 1  # padded to an even number
    table = np.frombuffer(content, np.uint8 if is_of_bytes else "<u2")[:entries]
    if first >= 2**15 and values.min() < 0:  # written as if it were unsigned
        first -= 2**16
    index = np.rint(values).astype(np.int64) - first
    looked_up = table.astype(np.float32)[index.clip(0, len(table) - 1)]
    return looked_up, float(table.min()), float(table.max())
