"""Sums over trials that a generative decoder is fitted to, gathered block by block. Needs no torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.types import FloatArray
from decode_stream.stream.windows import WindowSchedule

from .lda import join_windows
from .window_noise import ForwardWhitening

__all__ = [
    "SOME_TRIALS",
    "Sums",
    "Trials",
    "left_of_trials",
    "noise_of_windows",
    "some_of",
    "spatial_mixtures",
    "sum_trials",
]

_BLOCK = 500
#: Mixtures of channels that are kept, of the largest variance: behind them lies the noise of the sensors.
_MOST_CHANNELS = 120
#: Trials that the variance of the channels is measured on, and windows for their covariance.
SOME_TRIALS, _SOME_WINDOWS = 2000, 50_000


def _epochs(windows: FloatArray, schedule: WindowSchedule) -> npt.NDArray[np.float32]:
    """Return whole trials from the start of the first window on, (n, n_samples, n_channels)."""
    epochs = join_windows(np.asarray(windows), schedule)[:, :, schedule.start(0) :]
    return np.ascontiguousarray(epochs.transpose(0, 2, 1), np.float32)


def some_of(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return places of at most so many trials, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def spatial_mixtures(windows: FloatArray, schedule: WindowSchedule) -> npt.NDArray[np.float32]:
    """Return mixtures of channels at right angles, of the largest variance first: (n_channels, n_out)."""
    places = some_of(len(windows), SOME_TRIALS)
    n_channels = windows.shape[2]
    total, square, n = np.zeros(n_channels), np.zeros((n_channels, n_channels)), 0
    for start in range(0, len(places), _BLOCK):
        samples = _epochs(windows[places[start : start + _BLOCK]], schedule).reshape(-1, n_channels)
        total += samples.sum(axis=0, dtype=np.float64)
        square += samples.T @ samples
        n += len(samples)
    values, vectors = linalg.eigh(square / n - np.outer(total / n, total / n))
    kept = np.flatnonzero(values > 1e-7 * values[-1])[::-1][:_MOST_CHANNELS]
    spatial: npt.NDArray[np.float32] = vectors[:, kept].astype(np.float32)
    return spatial


@dataclass(frozen=True, eq=False)
class Trials:
    """Whole trials, in mixtures of channels, from the start of the first window to the end of the last.

    Attributes
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
    schedule : WindowSchedule
    n_latencies : int
    spatial : array of shape (n_channels, n_out), float32
    """

    windows: FloatArray
    schedule: WindowSchedule
    n_latencies: int
    spatial: npt.NDArray[np.float32]

    @property
    def n_out(self) -> int:
        """Number of mixtures."""
        return int(self.spatial.shape[1])

    @property
    def stops(self) -> tuple[int, ...]:
        """Where each window ends, in samples from the start of the first."""
        return tuple(self.schedule.stop(k) - self.schedule.start(0) for k in range(self.n_latencies))

    @property
    def n_samples(self) -> int:
        """Samples of a trial."""
        return self.stops[-1]

    @property
    def apart(self) -> range:
        """Numbers of windows that share no samples."""
        return range(0, self.n_latencies, max(1, math.ceil(self.schedule.length_s / self.schedule.step_s)))

    def blocks(
        self, places: npt.NDArray[np.int64]
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Yield places and trials (n, n_samples, n_out)."""
        for start in range(0, len(places), _BLOCK):
            block = places[start : start + _BLOCK]
            yield block, _epochs(self.windows[block], self.schedule) @ self.spatial

    def part(self, epochs: FloatArray, k: int) -> FloatArray:
        """Return window k of trials, (n, n_times, n_out)."""
        return epochs[:, self.stops[k] - self.schedule.n_times : self.stops[k]]


@dataclass(frozen=True, eq=False)
class Sums:
    """What is kept of all trials.

    Attributes
    ----------
    mean : array of shape (n_samples, n_out)
    products : array of shape (target_dim, target_dim)
        Sum of products of centred embeddings.
    cross : array of shape (target_dim, n_samples * n_out)
        Sum of products of centred embeddings with trials.
    window : array of shape (n_times * n_out, n_times * n_out)
        Covariance of windows, the mean at each latency taken off.
    n_windows : int
        From so many.
    """

    mean: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    cross: npt.NDArray[np.float64]
    window: npt.NDArray[np.float64]
    n_windows: int


def sum_trials(trials: Trials, embeddings: FloatArray) -> Sums:
    """Return what is kept of trials whose pictures have these centred embeddings, (n_trials, target_dim)."""
    n = len(embeddings)
    origin = np.mean(next(trials.blocks(some_of(n, _BLOCK)))[1], axis=0)
    latencies = trials.apart
    every = max(1, n * len(latencies) // _SOME_WINDOWS)
    total = np.zeros(origin.shape)
    cross = np.zeros((embeddings.shape[1], origin.size))
    size = trials.schedule.n_times * trials.n_out
    square, means, n_used = np.zeros((size, size)), np.zeros((len(latencies), size)), 0
    for number, (places, epochs) in enumerate(trials.blocks(np.arange(n))):
        epochs = epochs - origin
        total += epochs.sum(axis=0, dtype=np.float64)
        cross += embeddings[places].astype(np.float32).T @ epochs.reshape(len(epochs), -1)
        if number % every:
            continue
        n_used += len(epochs)
        for i, k in enumerate(latencies):
            samples = trials.part(epochs, k).reshape(len(epochs), -1)
            square += samples.T @ samples
            means[i] += samples.sum(axis=0, dtype=np.float64)
    means /= n_used
    window = (square / n_used - means.T @ means) / len(latencies)
    embeddings = embeddings.astype(np.float64)
    return Sums(origin + total / n, embeddings.T @ embeddings, cross, window, n_used * len(latencies))


def noise_of_windows(
    trials: Trials, sums: Sums, responses: FloatArray, spread: FloatArray
) -> npt.NDArray[np.float64]:
    """Return the covariance of windows without what responses to the pictures explain, unbiased.

    Parameters
    ----------
    responses : array of shape (n_axes, n_samples, n_out)
        To the axes of the embeddings, as least squares tells them.
    spread : array of shape (n_axes,)
        Sum of squares of the centred embeddings along each axis.
    """
    n_trials, n_axes = len(trials.windows), len(spread)
    if n_trials < 2 * n_axes:
        # So few trials explain themselves: take all for noise. It costs little, unless responses are as loud.
        return sums.window
    explained = np.zeros_like(sums.window)
    for k in trials.apart:
        rows = trials.part(responses, k).reshape(n_axes, -1) * np.sqrt(spread / n_trials)[:, None]
        explained += rows.T @ rows
    rest: npt.NDArray[np.float64] = (sums.window - explained / len(trials.apart)) / (1 - n_axes / n_trials)
    return rest


def left_of_trials(
    trials: Trials,
    whitening: ForwardWhitening,
    mean: FloatArray,
    shown: FloatArray,
    readout: FloatArray,
    expected: FloatArray,
    which: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return what is left of some trials, read out, without what their pictures were expected to do.

    Parameters
    ----------
    mean : array of shape (n_samples, n_out)
        Mean trial.
    shown : array of shape (n_trials, target_dim)
        Centred embedding of each trial's picture.
    readout, expected : array of shape (dimension, n_numbers), (dimension, target_dim)
        Directions of whitened trials, and what pictures are expected to do there.
    which : array of int
        Places of the trials.
    """
    weights, wanted = whitening.by_window(readout), shown @ expected.T
    left = []
    for places, epochs in trials.blocks(which):
        told = -wanted[places]
        for k, of_window in enumerate(weights):
            samples = trials.part(epochs - mean, k).reshape(len(epochs), -1)
            told += samples @ of_window.reshape(len(of_window), -1).T
        left.append(told)
    return np.concatenate(left)
