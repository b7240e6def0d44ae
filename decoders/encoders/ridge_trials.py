"""Trials of a ridge regression, standardised as they are read: never all of them a second time in memory."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["RidgeTrials", "standardised"]


@dataclass(frozen=True, eq=False)
class RidgeTrials:
    """Features and embeddings of trials, each read around its mean over all of them.

    Attributes
    ----------
    features : array of shape (n_trials, n_voxels)
    center, scale : array of shape (n_voxels,), float64
        Mean and spread of each voxel; the scale of one that tells nothing is infinite, so that it is read as 0.
    entries : array of shape (n_entries, dimension)
    labels : array of shape (n_trials,), int64
        Entry of each trial.
    dtype : type
        Of what is read.
    """

    features: FloatArray
    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    entries: FloatArray
    labels: IntArray
    dtype: type[np.float32] | type[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of trials, and of voxels."""
        return self.features.shape[0], self.features.shape[1]

    @property
    def dimension(self) -> int:
        """Dimension of an embedding."""
        return int(self.entries.shape[1])

    @cached_property
    def _counts(self) -> npt.NDArray[np.float64]:
        return np.bincount(self.labels, minlength=len(self.entries)) / len(self.labels)

    @cached_property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean embedding, shape (dimension,), float64."""
        return np.asarray(np.einsum("n,nd->d", self._counts, self.entries, dtype=np.float64))

    @cached_property
    def spread(self) -> npt.NDArray[np.float64]:
        """Standard deviation of each dimension over trials, shape (dimension,), float64."""
        counts, mean = self._counts, self.mean
        square = np.zeros_like(mean)
        # Entry by entry: all of them squared, in double precision, would be gigabytes.
        for count, entry in zip(counts, self.entries, strict=True):
            square += count * (entry - mean) ** 2
        return np.asarray(np.sqrt(square))

    def x(self, trials: slice | IntArray, voxels: slice = slice(None)) -> FloatArray:
        """Return standardised features, shape (n, n_voxels)."""
        given: FloatArray = self.features[trials][:, voxels].astype(self.dtype)
        given -= self.center[voxels].astype(self.dtype)
        given /= self.scale[voxels].astype(self.dtype)
        return given

    def y(self, trials: slice | IntArray, dimensions: slice = slice(None)) -> FloatArray:
        """Return embeddings without the mean one, shape (n, dimension)."""
        given: FloatArray = self.entries[self.labels[trials], dimensions].astype(self.dtype)
        given -= self.mean[dimensions].astype(self.dtype)
        return given


def standardised(
    features: FloatArray,
    entries: FloatArray,
    labels: IntArray,
    ddof: int,
    dtype: type[np.float32] | type[np.float64],
) -> RidgeTrials:
    """Return trials that are read standardised by the mean and spread of each voxel over all of them."""
    # NumPy's sums in single precision, down the trials, would lose digits over tens of thousands of them.
    center = features.mean(axis=0, dtype=np.float64)
    square = np.zeros_like(center)
    for some in features:
        square += (some - center) ** 2
    scale = np.sqrt(square / max(len(features) - ddof, 1))
    # A voxel that never changes has a spread of rounding errors, which must not be blown up to a whole one.
    scale[scale <= 1e-9 * (np.abs(center) + scale.max())] = np.inf
    return RidgeTrials(features, center, scale, entries, labels, dtype)
