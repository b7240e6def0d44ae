"""The noise ceiling of voxels: how much of their variance any model of the pictures can explain."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .standardise import check_trials, standardised, with_data

__all__ = ["NoiseCeiling", "ceiling_correlation", "ceiling_percent", "noise_ceiling"]

#: Voxels at once: their standardised trials are a copy.
_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class NoiseCeiling:
    """Signal against noise of every voxel, from pictures that were shown again.

    Attributes
    ----------
    ncsnr : array of shape (n_voxels,), float64
        Noise ceiling signal-to-noise ratio: standard deviation of the signal over that of the noise. NaN for voxels
        without data in some session.
    n_pictures, n_trials : int
        Pictures shown more than once, and their trials.
    """

    ncsnr: npt.NDArray[np.float64]
    n_pictures: int
    n_trials: int

    def percent(self, n_repeats: float = 1.0) -> npt.NDArray[np.float64]:
        """Return the noise ceiling, see `ceiling_percent`."""
        return ceiling_percent(self.ncsnr, n_repeats)


def ceiling_percent(ncsnr: FloatArray, n_repeats: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the noise ceiling in per cent of a response's variance: ``100 ncsnr^2 / (ncsnr^2 + 1 / n)``.

    Parameters
    ----------
    ncsnr : array of shape (n_voxels,)
    n_repeats : float
        Over how many trials of a picture responses are averaged. Where pictures have different numbers of trials, the
        harmonic mean of these is what NSD counts with.

    Raises
    ------
    ValueError
        If `n_repeats` is not above 0.
    """
    if not n_repeats > 0:
        raise ValueError(f"Responses are averaged over at least one trial, not {n_repeats}.")
    signal = np.asarray(ncsnr, np.float64) ** 2
    return np.asarray(100 * signal / (signal + 1 / n_repeats), np.float64)


def ceiling_correlation(ncsnr: FloatArray, n_repeats: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the highest correlation of a prediction with responses that can be expected, shape (n_voxels,)."""
    return np.asarray(np.sqrt(ceiling_percent(ncsnr, n_repeats) / 100), np.float64)


def noise_ceiling(voxels: FloatArray, pictures: IntArray, sessions: IntArray) -> NoiseCeiling:
    """Estimate the noise ceiling of every voxel by the formula of NSD.

    After each session is standardised the responses have a variance of 1. That of the noise is the variance over trials
    of the same picture, unbiased and pooled over pictures; what is left is the signal's, at least 0 (Allen et al. 2022,
    Nature Neuroscience 25:116, Methods, "Noise ceiling estimation").

    Parameters
    ----------
    voxels : array of shape (n_trials, n_voxels)
        Responses, in any unit.
    pictures : array of shape (n_trials,), int64
        What each trial showed. Repeats are counted by it, in whatever sessions they are.
    sessions : array of shape (n_trials,), int64

    Raises
    ------
    UsageError
        If no picture was shown twice, a session has a single trial, or no voxel holds data in all sessions.
    """
    check_trials(voxels, pictures, sessions)
    _, places, counts = np.unique(pictures, return_inverse=True, return_counts=True)
    repeated = counts[places] > 1
    if not repeated.any():
        raise UsageError(
            f"Each of the {len(counts)} pictures was shown once, and a noise ceiling is told from trials of the same "
            "picture. Give the sessions that show them again."
        )
    rows = np.flatnonzero(repeated)
    rows = rows[np.argsort(places[rows], kind="stable")]
    shown = counts[counts > 1]
    starts = np.concatenate([[0], np.cumsum(shown)[:-1]])
    held = with_data(voxels, sessions)
    ncsnr = np.full(len(held), np.nan)
    for some in np.array_split(np.flatnonzero(held), -(-np.count_nonzero(held) // _AT_ONCE)):
        x = standardised(voxels[:, some], sessions)[rows].astype(np.float64)
        means = np.add.reduceat(x, starts, axis=0) / shown[:, None]
        x -= np.repeat(means, shown, axis=0)
        noise = (x**2).sum(axis=0) / (len(rows) - len(shown))
        ncsnr[some] = np.sqrt(np.maximum(1 - noise, 0.0) / noise)
    return NoiseCeiling(ncsnr, len(shown), len(rows))
