"""Haemodynamic responses: what the signal of a voxel does after a stimulus, and the column of a trial in a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from scipy.stats import gamma

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["GLOVER", "LIBRARY", "RESPONSE_S", "SPM", "DoubleGamma", "Responses", "voxels_by_shape"]

#: Length of a response, from the stimulus's end.
RESPONSE_S = 32.0
#: Points of the fine grid to a volume, and where the grid begins.
_OVERSAMPLING, _GRID_FROM_S = 50, -24.0


@dataclass(frozen=True, slots=True)
class DoubleGamma:
    """A response that rises and falls as one gamma density, less a part of a later one, the undershoot.

    Attributes
    ----------
    delay_s, dispersion_s : float
        Mean of the first density, and its variance over its mean.
    undershoot_s, undershoot_dispersion_s : float
        The same of the second.
    ratio : float
        How much of the second is taken off.
    """

    delay_s: float
    dispersion_s: float
    undershoot_s: float
    undershoot_dispersion_s: float
    ratio: float

    def sampled(self, tr_s: float) -> FloatArray:
        """Return the response on the fine grid of `tr_s` / 50, over 32 s and with sum 1, as nilearn samples it."""
        step_s = tr_s / _OVERSAMPLING
        times_s = np.linspace(0, RESPONSE_S, int(np.rint(RESPONSE_S / step_s)))
        rise, undershoot = (
            gamma.pdf(times_s, delay_s / dispersion_s, loc=step_s, scale=dispersion_s)
            for delay_s, dispersion_s in (
                (self.delay_s, self.dispersion_s),
                (self.undershoot_s, self.undershoot_dispersion_s),
            )
        )
        response: FloatArray = rise - self.ratio * undershoot
        response /= response.sum()
        return response


#: Glover (1999), NeuroImage 9, 416-429, fitted to auditory responses.
GLOVER = DoubleGamma(6.0, 0.9, 12.0, 0.9, 0.48)
#: The canonical response of SPM.
SPM = DoubleGamma(6.0, 1.0, 16.0, 1.0, 0.167)


def _with_peak(peak_s: float, width_s: float) -> DoubleGamma:
    """Return the shape that peaks at `peak_s` with the standard deviation `width_s`, undershoot as in Glover's."""
    dispersion_s = (sqrt(peak_s**2 + 4 * width_s**2) - peak_s) / 2
    delay_s = peak_s + dispersion_s
    return DoubleGamma(delay_s, dispersion_s, 2 * delay_s, dispersion_s, GLOVER.ratio)


#: Shapes to choose from for each voxel: every pair of a time to the peak and a width (standard deviation) of the rise
#: around those of Glover's response, 5.1 s and 2.3 s, with an undershoot in the same proportions. As many as the
#: library of GLMsingle (Prince et al. 2022, eLife 11, e77599), whose shapes were found in data; these are drawn.
LIBRARY: tuple[DoubleGamma, ...] = tuple(
    _with_peak(peak_s, width_s) for peak_s in (3.5, 4.5, 5.5, 6.5, 7.5) for width_s in (1.7, 2.2, 2.7, 3.2)
)


def voxels_by_shape(
    hrf: str, hrf_of_voxel: Sequence[int], n_voxels: int
) -> Iterator[tuple[DoubleGamma, IntArray]]:
    """Yield each shape that voxels have, and which voxels these are.

    Parameters
    ----------
    hrf, hrf_of_voxel
        As in `GlmSpec`.

    Raises
    ------
    ValueError
        If voxels of the library do not have one of its shapes each.
    """
    if hrf != "library":
        yield {"glover": GLOVER, "spm": SPM}[hrf], np.arange(n_voxels)
        return
    shape_of = np.asarray(hrf_of_voxel, np.int64)
    if len(shape_of) != n_voxels or shape_of.max() >= len(LIBRARY):
        raise ValueError(
            f"The library has {len(LIBRARY)} shapes; {n_voxels} voxels need one each, and {len(shape_of)} have one."
        )
    for shape in np.unique(shape_of):
        yield LIBRARY[shape], np.flatnonzero(shape_of == shape)


class Responses:
    """Columns of trials: boxcars convolved with a response, at any volume of a run, planned or beyond.

    Boxcar and response lie on the fine grid that nilearn lays over the planned run, so that a column equals
    its ``compute_regressor``; behind the planned end the grid goes on. A value costs the same at any volume, since a
    boxcar's convolution is a difference of two points of the summed response.

    Parameters
    ----------
    shape : DoubleGamma
        The response.
    tr_s : float
        From one volume to the next; a volume stands for the moment it begins.
    planned_volumes : int
        Planned length of the run.
    """

    def __init__(self, shape: DoubleGamma, tr_s: float, planned_volumes: int) -> None:
        n = max(planned_volumes, 2)
        last_s = (n - 1) * tr_s
        n_points = int(np.rint((n - 1) / last_s * (n * tr_s - _GRID_FROM_S) * _OVERSAMPLING + 1))
        self._tr_s = tr_s
        self._step_s = (last_s * (1 + 1 / (n - 1)) - _GRID_FROM_S) / (n_points - 1)
        self._summed = np.concatenate([[0.0], np.cumsum(shape.sampled(tr_s))])

    def boxcar(self, onset_s: float, duration_s: float) -> tuple[int, int]:
        """Return the points [start, stop) of the fine grid on which a stimulus is on; one at least."""
        start, stop = self._point(onset_s), self._point(onset_s + duration_s)
        return start, max(stop, start + 1)

    def _point(self, time_s: float) -> int:
        # The first point not before the time, in the very floats of nilearn's grid.
        point = ceil((time_s - _GRID_FROM_S) / self._step_s) - 1
        while point * self._step_s + _GRID_FROM_S < time_s:
            point += 1
        return point

    def first_volume(self, start: int) -> int:
        """Return the first volume at which a boxcar that starts at grid point `start` may have a response."""
        return ceil(((start - 1) * self._step_s + _GRID_FROM_S) / self._tr_s)

    def is_over(self, stop: int, volume: int) -> bool:
        """Return whether a boxcar that stops at grid point `stop` has no response at `volume` or later."""
        return (volume * self._tr_s - _GRID_FROM_S) / self._step_s >= stop + len(self._summed)

    def values(self, boxcars: Sequence[tuple[int, int]], volumes: IntArray) -> FloatArray:
        """Return the columns of boxcars at volumes, (n_volumes, n_boxcars) float64."""
        position = (np.asarray(volumes)[:, None] * self._tr_s - _GRID_FROM_S) / self._step_s
        below = np.floor(position).astype(np.int64)
        on, off = np.asarray(boxcars, np.int64).reshape(-1, 2).T
        at_below = self._at(below - on) - self._at(below - off)
        at_above = self._at(below + 1 - on) - self._at(below + 1 - off)
        columns: FloatArray = at_below + (position - below) * (at_above - at_below)
        return columns

    def _at(self, points: IntArray) -> FloatArray:
        """Return the response summed up to and with `points` after its start."""
        return self._summed[np.clip(points + 1, 0, len(self._summed) - 1)]
