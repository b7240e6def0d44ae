"""Values of a recording as the 16-bit pixels of DICOM, with the scale that leads back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError

__all__ = ["PixelScale", "StoredRange", "fit_scale", "stored_range"]

_LEVELS = 2**16 - 1
#: What magnitude images of Siemens and Philips take of the 16 bits.
_BITS = 12


@dataclass(frozen=True, slots=True)
class StoredRange:
    """What the stored values of a recording span.

    Attributes
    ----------
    low, high : float
    whole : bool
        Whether all are whole numbers.
    """

    low: float
    high: float
    whole: bool


@dataclass(frozen=True, slots=True)
class PixelScale:
    """From pixels to values: pixel * slope + intercept.

    Attributes
    ----------
    slope, intercept : float
        DICOM's Rescale Slope and Rescale Intercept, with no more digits than these can have.
    signed : bool
        Whether pixels are int16; else uint16.
    bits : int
        Bits of the 16 that are used.
    step, zero : float
        Likewise from pixels to the values as the recording stores them.
    """

    slope: float
    intercept: float
    signed: bool
    bits: int
    step: float
    zero: float

    @property
    def exact(self) -> bool:
        """Whether pixels hold the stored values themselves, so that nothing is rounded."""
        return self.step == 1.0

    @property
    def plain(self) -> bool:
        """Whether pixels are the values."""
        return (self.slope, self.intercept) == (1.0, 0.0)

    def pixels(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return stored values as pixels, rounded to the nearest, int16 or uint16 of the same shape."""
        kind = np.dtype("<i2") if self.signed else np.dtype("<u2")
        if self.exact and stored.dtype.kind in "iu":
            return (stored.astype(np.int64) - int(self.zero)).astype(kind)
        held = np.iinfo(kind)
        levels = np.rint((stored.astype(np.float64) - self.zero) / self.step)
        return np.clip(levels, held.min, held.max).astype(kind)


def stored_range(volumes: Iterator[npt.NDArray[Any]], path: Path) -> StoredRange:
    """Return what stored values span, having looked at each once.

    Parameters
    ----------
    volumes : iterator of array
        As stored.
    path : Path
        The recording, for messages.

    Raises
    ------
    RecordingError
        If a value is not a number, or endless: DICOM's pixels are whole numbers.
    """
    low, high, whole = np.inf, -np.inf, True
    for number, volume in enumerate(volumes, start=1):
        if volume.dtype.kind == "f":
            if n_bad := int(np.count_nonzero(~np.isfinite(volume))):
                raise RecordingError(
                    f"{path} has {n_bad} values in volume {number} that are no numbers, which do not fit in the 16 "
                    "bits of DICOM. Replace them, or play it with --as nifti."
                )
            whole = whole and bool((volume == np.rint(volume)).all())
        low, high = min(low, float(volume.min())), max(high, float(volume.max()))
    return StoredRange(low, high, whole)


def fit_scale(span: StoredRange, slope: float, intercept: float, *, signed: bool) -> PixelScale:
    """Return the scale of pixels that holds a span of stored values, exactly where 16 bits can.

    Whole numbers that span no more than 65535 are kept, moved by a whole number where they would not fit; anything
    else is rounded to steps of a 65535th of the span.

    Parameters
    ----------
    span : StoredRange
    slope, intercept : float
        From stored values to values.
    signed : bool
        Whether pixels are int16.
    """
    lowest = -(2**15) if signed else 0
    step, zero = 1.0, 0.0
    if not span.whole or span.high - span.low > _LEVELS:
        # A span of nothing has one value, which any step holds.
        step = (span.high - span.low) / _LEVELS or 1.0
        zero = span.low - lowest * step
    elif span.low < lowest or span.high > lowest + _LEVELS:
        zero = span.low - lowest
    bits = _BITS if not signed and step == 1.0 and span.high - zero < 2**_BITS else 16
    return PixelScale(slope * step, slope * zero + intercept, signed, bits, step, zero)
