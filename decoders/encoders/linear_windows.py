"""Ridge regression from whole trials of EEG or MEG to embeddings, for windows that slide or grow. Needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.windows import WindowSchedule

from .lda import LinearReadout, join_windows, share_out
from .ridge import fit_ridge
from .ridge_sums import fit_sums

__all__ = ["GrowingReadout", "LinearTrials", "fit_linear"]

#: Features at most: a matrix of all their products takes a tenth of a gigabyte then, and nine of them are held at once.
_MOST_FEATURES = 3600
#: So few trials are held in memory.
_FEW_TRIALS = 2000
_N_FOLDS = 5
_BLOCK = 500


@dataclass(frozen=True, eq=False)
class GrowingReadout:
    """A linear decoder of whole trials, on windows that grow.

    The embedding of a window is what the samples that have happened add to the whole trial's answer.

    Attributes
    ----------
    weights : array of shape (dimension, n_channels, n_times), float64
    bias : array of shape (n_latencies, dimension), float64
        So that the mean answer in training gives zero at any latency.
    latencies_s : array of shape (n_latencies,), float64
        Up to when each window has happened, seconds after the onset; ascending.
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    latencies_s: npt.NDArray[np.float64]

    def embed(self, windows: FloatArray, k: int) -> npt.NDArray[np.float64]:
        """Return the embeddings of growing windows.

        Parameters
        ----------
        windows : array of shape (n, n_channels, n_times)
            Zero where they have not happened yet.
        k : int
            Number of the window.

        Returns
        -------
        array of shape (n, dimension), float64
        """
        samples = windows.reshape(len(windows), -1)
        embeddings: npt.NDArray[np.float64] = (
            samples @ self.weights.reshape(len(self.weights), -1).T + self.bias[k]
        )
        return embeddings


@dataclass(frozen=True, eq=False)
class LinearTrials:
    """A linear map from a whole trial to how its picture's embedding differs from the mean one.

    Attributes
    ----------
    weights : array of shape (dimension, n_channels, n_samples), float64
        From the start of the first window to the end of the last.
    center : array of shape (n_channels, n_samples), float64
        The mean trial in training, which gives no difference.
    penalty : float
        The penalty chosen, on features of unit spread over trials.
    n_averaged : int
        Samples that are averaged to one feature; 1 where every sample is a feature of its own.
    """

    weights: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    penalty: float
    n_averaged: int

    def sliding(self, schedule: WindowSchedule, n_latencies: int) -> LinearReadout:
        """Return the map shared out among windows that slide, whose embeddings add up to the trial's."""
        before = np.zeros((*self.weights.shape[:2], schedule.start(0)))
        constants = -np.einsum("dct,ct->d", self.weights, self.center)
        return share_out(np.concatenate([before, self.weights], axis=2), constants, schedule, n_latencies)

    def growing(self, schedule: WindowSchedule, n_latencies: int) -> GrowingReadout:
        """Return the map for windows that grow.

        Raises
        ------
        ValueError
            If the windows of the schedule slide.
        """
        if schedule.first_s is None:
            raise ValueError("The windows of this schedule slide; they do not grow.")
        so_far = np.cumsum(np.einsum("dct,ct->td", self.weights, self.center), axis=0)
        ends = [schedule.stop(k) - schedule.start(k) for k in range(n_latencies)]
        latencies_s = np.array([schedule.latency_s(k) for k in range(n_latencies)])
        return GrowingReadout(self.weights, -so_far[np.array(ends) - 1], latencies_s)


def fit_linear(
    windows: FloatArray, embeddings: FloatArray, groups: IntArray, schedule: WindowSchedule
) -> LinearTrials:
    """Fit a ridge regression whose penalty is chosen by leaving groups of trials out.

    Every sample of every channel is a feature. Where there would be more than 3600 of them, neighbouring samples are
    averaged until there are not, and `LinearTrials.n_averaged` says how many. As in `fit_ridge` one penalty serves all
    dimensions, and the best is that whose predictions correlate most with the truth over the trials left out.

    Many trials are never held at once: they are read in blocks, and only sums of their products are kept, from which
    both the regression and those correlations follow.

    Parameters
    ----------
    windows : array of shape (n_trials, n_windows, n_channels, n_times)
        May be mapped from a file. Windows that grow: (n_trials, 1, n_channels, n_times), the whole trials.
    embeddings : array of shape (n_trials, dimension)
        The embedding of each trial's picture.
    groups : array of shape (n_trials,), int64
        Run or concept of each trial: what is left out together, in five parts at most. Of a single group, each of five
        successive parts is left out.
    schedule : WindowSchedule

    Returns
    -------
    LinearTrials

    Raises
    ------
    UsageError
        If there are fewer than ten trials.
    """
    features = _Features.of(windows, schedule)
    folds = _folds(groups)
    if len(windows) <= max(_FEW_TRIALS, features.n_features):
        x = np.concatenate([np.empty((0, features.n_features)), *(block for _, block in features.blocks())])
        readout = fit_ridge(x, embeddings, folds)
        weights, center, penalty = readout.weights, x.mean(axis=0), float(readout.penalties[0])
    else:
        weights, center, penalty = fit_sums(features.blocks(), features.n_features, embeddings, folds)
    return LinearTrials(
        features.spread_out(weights.T, divided=True),
        features.spread_out(center[None], divided=False)[0],
        penalty,
        int(features.sizes[0]),
    )


@dataclass(frozen=True, eq=False)
class _Features:
    """Samples of whole trials, neighbours averaged where there are too many.

    Attributes
    ----------
    starts, sizes : array of shape (n_parts,), int64
        First sample and number of samples of what is averaged.
    """

    windows: FloatArray
    schedule: WindowSchedule
    starts: IntArray
    sizes: IntArray

    @staticmethod
    def of(windows: FloatArray, schedule: WindowSchedule) -> "_Features":
        n_samples = schedule.stop(windows.shape[1] - 1) - schedule.start(0)
        if schedule.first_s is not None:
            n_samples = schedule.n_times
        starts = np.arange(0, n_samples, max(1, -(-windows.shape[2] * n_samples // _MOST_FEATURES)))
        return _Features(windows, schedule, starts, np.diff(starts, append=n_samples))

    @property
    def n_features(self) -> int:
        return int(self.windows.shape[2] * len(self.starts))

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
        """Yield places of some trials, and their features, shape (n, n_features)."""
        for start in range(0, len(self.windows), _BLOCK):
            some = slice(start, start + _BLOCK)
            block = np.asarray(self.windows[some])
            if self.schedule.first_s is not None:
                epochs = block[:, 0]
            else:
                epochs = join_windows(block, self.schedule)[:, :, self.schedule.start(0) :]
            sums = np.add.reduceat(epochs.astype(np.float64), self.starts, axis=2)
            yield some, (sums / self.sizes).reshape(len(block), -1)

    def spread_out(self, rows: FloatArray, *, divided: bool) -> npt.NDArray[np.float64]:
        """Return values by feature, (n, n_features), by sample: (n, n_channels, n_samples).

        With `divided`, the samples of a feature share its value.
        """
        values = rows.reshape(len(rows), -1, len(self.starts))
        each: npt.NDArray[np.float64] = np.repeat(values / (self.sizes if divided else 1), self.sizes, axis=2)
        return each


def _folds(groups: IntArray) -> IntArray:
    """Return which of at most five parts each trial belongs to; of one group, which of five successive ones."""
    names, places = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        return np.arange(len(groups)) * _N_FOLDS // len(groups)
    folds: IntArray = places * min(_N_FOLDS, len(names)) // len(names)
    return folds
