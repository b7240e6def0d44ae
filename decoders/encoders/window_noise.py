"""Noise of windows whitened forward in time, so that what each window adds is independent of those before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.types import FloatArray

__all__ = ["ForwardWhitening", "shrunk"]

#: Of each number's variance, what is added to it at least: filters leave next to nothing in some directions, and what
#: is left there is the rounding of float32.
_LEAST_FLOOR = 1e-4


def shrunk(covariance: FloatArray, n: int) -> npt.NDArray[np.float64]:
    """Return a covariance with its correlations shrunk towards none, by oracle approximating shrinkage.

    The intensity is equation 23 of Chen, Wiesel, Eldar and Hero (2010), IEEE Trans. Signal Processing 58:5016-5029.

    Parameters
    ----------
    covariance : array of shape (n_numbers, n_numbers)
        As measured; a number that never changes is given a variance of 1.
    n : int
        From so many independent draws.
    """
    variances = np.diagonal(covariance).copy()
    dead = variances <= 1e-12 * variances.max(initial=0.0)
    variances[dead] = 1.0
    spread = np.sqrt(variances)
    correlations = covariance / spread / spread[:, None]
    correlations[dead] = 0.0
    correlations[:, dead] = 0.0
    p = len(variances)
    squares = float((correlations**2).sum())
    over = (n + 1 - 2 / p) * (squares - p)
    intensity = 1.0 if over <= 0 else min(1.0, ((1 - 2 / p) * squares + p**2) / over)
    intensity = max(intensity, _LEAST_FLOOR)
    correlations *= 1 - intensity
    correlations[np.diag_indices(p)] = 1.0
    covariances: npt.NDArray[np.float64] = correlations * spread * spread[:, None]
    return covariances


@dataclass(frozen=True, eq=False)
class ForwardWhitening:
    """Whitens each new sample of a trial given the samples before it in the window that brings it.

    A window of stationary noise has one covariance wherever it lies. Its Cholesky factor predicts every sample from
    those before it, and divides what is left by its spread. Windows overlap: of each only the samples that the one
    before did not hold are new. What they add, given the rest of their window, is (but for a memory of the noise longer
    than a window) independent of all that was seen earlier, so log-likelihoods of windows add up at every latency
    (innovations: Kay, Fundamentals of Statistical Signal Processing I, 1993, section 12.6).

    Attributes
    ----------
    rows : array of shape (n_times * n_channels, n_times * n_channels), float64
        Inverse of the Cholesky factor; samples one after the other, each with all its channels.
    n_times : int
        Samples of a window.
    stops : tuple of int
        Where each window ends, counted from the start of the first.
    """

    rows: npt.NDArray[np.float64]
    n_times: int
    stops: tuple[int, ...]

    @staticmethod
    def of(covariance: FloatArray, n_times: int, stops: Sequence[int]) -> "ForwardWhitening":
        """Return the whitening of noise whose windows have a covariance, (n_times * n_channels) squared.

        Raises
        ------
        ValueError
            If the covariance is not positive definite, or a window leaves samples out.
        """
        if stops[0] != n_times or not all(0 < b - a <= n_times for a, b in pairwise(stops)):
            raise ValueError(
                "Each window must begin at the end of the one before it or earlier, the first at 0."
            )
        try:
            factor = linalg.cholesky(covariance, lower=True)
        except linalg.LinAlgError as error:
            raise ValueError("The covariance of a window is not positive definite.") from error
        rows = linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)
        return ForwardWhitening(rows, n_times, tuple(stops))

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.rows) // self.n_times

    def _new(self, k: int) -> npt.NDArray[np.float64]:
        """Return the rows of what is new in window k."""
        n_new = self.stops[k] - (self.stops[k - 1] if k else 0)
        return self.rows[(self.n_times - n_new) * self.n_channels :]

    def parts(self) -> list[slice]:
        """Return where the numbers that each window adds lie among all of a trial."""
        edges = np.array([0, *self.stops]) * self.n_channels
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]

    def whiten(self, epochs: FloatArray) -> npt.NDArray[np.float64]:
        """Return trials (n, n_samples, n_channels) whitened, shape (n, n_samples * n_channels)."""
        white = np.empty((len(epochs), self.stops[-1] * self.n_channels))
        for k, (part, stop) in enumerate(zip(self.parts(), self.stops, strict=True)):
            window = epochs[:, stop - self.n_times : stop].reshape(len(epochs), -1)
            white[:, part] = window @ self._new(k).T
        return white

    def by_window(self, readout: FloatArray) -> npt.NDArray[np.float64]:
        """Return the weights on windows that amount to a readout of whitened trials.

        Parameters
        ----------
        readout : array of shape (n, n_samples * n_channels)

        Returns
        -------
        array of shape (n_windows, n, n_times, n_channels), float64
        """
        shape = (len(readout), self.n_times, self.n_channels)
        return np.stack(
            [(readout[:, part] @ self._new(k)).reshape(shape) for k, part in enumerate(self.parts())]
        )
