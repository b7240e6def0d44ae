"""What a decoder makes of each voxel: how much it listens to it, and what the voxel does when it is right."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .readout import Encode

__all__ = ["RegionSummary", "Sensitivity", "activation_pattern", "entry_pattern", "sensitivity", "summaries"]

#: Windows that go through the encoder at once.
_AT_ONCE = 64
#: Encoders whose sensitivity is the same everywhere, up to rounding, are linear.
_SAME = 1e-3
#: Decoded embeddings are looked at along as many axes as this share of the trials allows, and this of their variance
#: asks for: along as many axes as trials anything is explained.
_TRIALS_AN_AXIS, _VARIANCE = 10, 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """How much an embedding moves when a voxel does.

    Attributes
    ----------
    norm : array of shape (n_voxels,), float64
        Length of the embedding's change per training standard deviation of the voxel, root mean square over windows.
    linear : bool
        Whether it is the same around all windows: then these are the norms of the encoder's weights.
    n_windows : int
        Windows it was taken around.
    """

    norm: npt.NDArray[np.float64]
    linear: bool
    n_windows: int


@dataclass(frozen=True, slots=True)
class RegionSummary:
    """The values of a map in one region.

    Attributes
    ----------
    name : str
    n_voxels, n_known : int
        Voxels of the region, and of these those that have a value.
    mean, median, high : float
        Over these; the last is the 90th percentile. NaN where there are none.
    """

    name: str
    n_voxels: int
    n_known: int
    mean: float
    median: float
    high: float


def sensitivity(encode: Encode, windows: FloatArray, step_sd: float = 0.5) -> Sensitivity:
    """Measure an encoder's sensitivity to each voxel by central differences.

    A voxel is moved in all volumes of the window at once. Each window takes two runs of the encoder a voxel.

    Parameters
    ----------
    encode : callable
        Takes windows (n, n_voxels, n_times) float32, returns embeddings (n, dimension).
    windows : array of shape (n, n_voxels, n_times)
        Around which it is taken; of several, whether they agree tells whether the encoder is linear.
    step_sd : float
        How far a voxel is moved to either side, in its training standard deviations.
    """
    norms = np.array([_norms(encode, np.asarray(window, np.float32), step_sd) for window in windows])
    spread = np.ptp(norms, axis=0).max()
    mean_square = np.sqrt((norms**2).mean(axis=0))
    return Sensitivity(mean_square, len(norms) > 1 and bool(spread <= _SAME * norms.max()), len(norms))


def _norms(encode: Encode, window: npt.NDArray[np.float32], step_sd: float) -> npt.NDArray[np.float64]:
    n_voxels, half = len(window), _AT_ONCE // 2
    norms = np.empty(n_voxels)
    for start in range(0, n_voxels, half):
        places = np.arange(start, min(start + half, n_voxels))
        moved = np.repeat(window[None], 2 * len(places), axis=0)
        rows = np.arange(len(places))
        moved[rows, places] += step_sd
        moved[rows + len(places), places] -= step_sd
        embeddings = np.asarray(encode(moved), np.float64)
        norms[places] = np.linalg.norm(embeddings[: len(places)] - embeddings[len(places) :], axis=1)
    return norms / (2 * step_sd)


def activation_pattern(voxels: FloatArray, embeddings: FloatArray) -> npt.NDArray[np.float64]:
    """Return how much of each voxel goes with what is decoded, shape (n_voxels,), in the voxels' units.

    Weights of a decoder say what it listens to, which may be noise that it takes off another voxel; the pattern
    ``A = cov(x, s) cov(s)^-1`` says what the voxels do that carry the decoded s (Haufe et al. 2014, NeuroImage 87:96,
    theorem 1). Told is the standard deviation of ``A s`` in each voxel, which does not depend on the axes of the
    embedding; these are the principal ones here, at most one for ten trials.

    Parameters
    ----------
    voxels : array of shape (n_trials, n_voxels)
    embeddings : array of shape (n_trials, dimension)
        What the decoder gives of them.
    """
    n = len(voxels)
    x = voxels - voxels.mean(axis=0, dtype=np.float64)
    axes, sizes, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    told = np.cumsum(sizes**2) / max(float(np.sum(sizes**2)), np.finfo(np.float64).tiny)
    n_axes = max(1, min(int(np.searchsorted(told, _VARIANCE)) + 1, n // _TRIALS_AN_AXIS))
    along = axes[:, :n_axes].T @ x
    return np.asarray(np.sqrt((along**2).sum(axis=0) / max(1, n - 1)), np.float64)


def entry_pattern(
    voxels: FloatArray, embeddings: FloatArray, gallery: FloatArray, entry: int
) -> npt.NDArray[np.float64]:
    """Return how each voxel moves with the decoder's score of one entry, shape (n_voxels,), in the voxels' units.

    The score is the inner product of the embedding with how the entry differs from the mean of the gallery; the pattern
    is the voxel's change per standard deviation of it, with its sign (Haufe et al. 2014, equation 6).

    Parameters
    ----------
    voxels, embeddings : array
        As in `activation_pattern`.
    gallery : array of shape (n_entries, dimension)
    entry : int
    """
    direction = gallery[entry].astype(np.float64) - gallery.mean(axis=0, dtype=np.float64)
    score = (embeddings - embeddings.mean(axis=0)) @ direction
    spread = score.std(ddof=1)
    x = voxels - voxels.mean(axis=0, dtype=np.float64)
    return np.asarray(score @ x / (max(1, len(x) - 1) * (spread if spread > 0 else 1.0)), np.float64)


def summaries(values: FloatArray, regions: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[RegionSummary, ...]:
    """Return the values of a map, shape (n_voxels,), region by region; NaN stands for no value."""
    found = []
    for name, mask in regions.items():
        inside = values[mask]
        known = inside[np.isfinite(inside)]
        told = (known.mean(), np.median(known), np.quantile(known, 0.9)) if len(known) else (np.nan,) * 3
        found.append(RegionSummary(name, len(inside), len(known), *map(float, told)))
    return tuple(found)
