"""From one scan to another: what is decoded along the way."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .readout import Reading, Readout
from .what_if import row_cosines

__all__ = ["Interpolation", "interpolate"]


@dataclass(frozen=True, slots=True, eq=False)
class Interpolation:
    """What is decoded between two windows.

    Attributes
    ----------
    t : array of shape (n_steps,), float64
        From 0, the first window, to 1, the second.
    reading : Reading
        At each step.
    cosine_first, cosine_last : array of shape (n_steps,), float64
        Of the embedding with those of either end.
    """

    t: npt.NDArray[np.float64]
    reading: Reading
    cosine_first: npt.NDArray[np.float64]
    cosine_last: npt.NDArray[np.float64]

    @property
    def changes(self) -> npt.NDArray[np.float64]:
        """Where, half between two steps, another entry becomes the best match."""
        best = self.reading.log_evidence.argmax(axis=1)
        at = np.flatnonzero(np.diff(best))
        return np.asarray((self.t[at] + self.t[at + 1]) / 2, np.float64)


def interpolate(readout: Readout, first: FloatArray, last: FloatArray, n_steps: int = 11) -> Interpolation:
    """Decode the windows on the straight line between two, voxel by voxel.

    Parameters
    ----------
    first, last : array of shape (n_voxels, n_times)
        Two windows, in the decoder's units.
    n_steps : int
        With both ends.

    Raises
    ------
    ValueError
        If there are fewer than two steps.
    """
    if n_steps < 2:
        raise ValueError(f"A way between two windows has at least its two ends, not {n_steps} steps.")
    t = np.linspace(0.0, 1.0, n_steps)
    line = (1 - t)[:, None, None] * first + t[:, None, None] * last
    reading = readout.read(line)
    ends = reading.embeddings
    return Interpolation(
        t,
        reading,
        row_cosines(ends, np.broadcast_to(ends[0], ends.shape)),
        row_cosines(ends, np.broadcast_to(ends[-1], ends.shape)),
    )
