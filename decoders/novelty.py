"""How far a window lies from those that a decoder was trained on: whether what it says can be relied on at all."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Familiar", "Novelty", "fit_familiar", "fit_novelty"]

_N_AXES = 16
#: As many windows, and numbers of all channels, are enough to fit the axes on.
_MOST_WINDOWS, _MOST_VALUES = 20_000, 10_000_000
#: A channel's power is not taken for lower than this share of its usual spread, dead or not.
_FLOOR = 1e-2
#: Nor does any direction vary less than this, however alike the training windows were.
_LEAST_SPREAD = 0.05
_N_QUANTILES = 256


def _features(windows: FloatArray) -> npt.NDArray[np.float64]:
    """Return each channel's log RMS and its mean, (2, n, n_channels), over the samples that have happened.

    Samples of a growing window that are yet to come are zero in all channels.
    """
    n, n_channels, n_times = windows.shape
    happened: float | FloatArray = float(n_times)
    if not windows[:, :, -1].any(axis=1).all():
        happened = np.maximum((windows != 0).any(axis=1).sum(axis=1), 1)[:, None]
    # As a product with ones, a sum over a few samples is ten times faster.
    ones = np.ones(n_times, windows.dtype)
    features = np.empty((2, n, n_channels))
    np.log(np.maximum((windows * windows) @ ones / happened, _FLOOR**2), out=features[0])
    features[0] /= 2
    np.divide(windows @ ones, happened, out=features[1])
    return features


@dataclass(frozen=True, eq=False)
class Familiar:
    """What windows usually look like: principal components of two kinds of features, and what these leave over.

    The features of a window are the log RMS of each channel, which says how strong the signal is where, and the mean
    of each channel, which says how the channels go together. Of either kind the components span what usually varies;
    as in probabilistic PCA (Tipping and Bishop 1999, J. R. Stat. Soc. B 61:611) the rest is noise, here of each
    feature's own variance.

    Attributes
    ----------
    mean : array of shape (2, n_channels), float64
    axes : array of shape (2, n_axes, n_channels), float64
        Unit vectors.
    spread : array of shape (2, n_axes), float64
        Standard deviation along each.
    rest : array of shape (2, n_channels), float64
        Standard deviation of each feature beside them.
    """

    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]

    def distances(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return how far windows lie out, shape (n, 4): the log of four mean squared Mahalanobis distances.

        Along the components and beside them, for either kind of feature. They are kept apart as each finds what
        another would drown: a signal three times as strong is one direction of many, a dead channel one feature.

        Parameters
        ----------
        windows : array of shape (n, n_channels, n_times), float32
        """
        away = _features(windows) - self.mean[:, None]
        along = away @ self.axes.transpose(0, 2, 1)
        beside = (away - along @ self.axes) / self.rest[:, None]
        along /= self.spread[:, None]
        squared = np.concatenate([np.square(along).mean(axis=2), np.square(beside).mean(axis=2)])
        distances: npt.NDArray[np.float64] = np.log(np.maximum(squared.T, 1e-12))
        return distances


def fit_familiar(windows: FloatArray) -> Familiar:
    """Fit what windows usually look like.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        Training windows; may be mapped from a file. Of many, as many as are needed are looked at, evenly spread.
    """
    n_trials, n_latencies, n_channels, _ = windows.shape
    most = max(2, min(_MOST_WINDOWS, _MOST_VALUES // n_channels) // n_latencies)
    places = np.unique(np.linspace(0, n_trials - 1, min(n_trials, most)).round().astype(np.int64))
    features = np.concatenate([_features(windows[place]) for place in places], axis=1)
    mean = features.mean(axis=1)
    parts = [_components(x) for x in features - mean[:, None]]
    axes, spread, rest = (np.stack(part) for part in zip(*parts, strict=True))
    return Familiar(mean, axes, spread, rest)


def _components(x: FloatArray) -> tuple[npt.NDArray[np.float64], ...]:
    """Return axes, spread along them and the rest's spread, of centred features (n, n_channels)."""
    n, n_channels = x.shape
    n_axes = min(_N_AXES, max(1, n_channels // 2), n)
    # The smaller of the two products of x with itself has the same eigenvalues.
    gram = x.T @ x if n_channels <= n else x @ x.T
    values, vectors = eigh(gram, subset_by_index=(len(gram) - n_axes, len(gram) - 1))
    axes = vectors.T if n_channels <= n else vectors.T @ x
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    rest = np.sqrt(np.mean((x - x @ axes.T @ axes) ** 2, axis=0))
    spread = np.sqrt(np.maximum(values, 0) / n)
    return axes, np.maximum(spread, _LEAST_SPREAD), np.maximum(rest, _LEAST_SPREAD)


@dataclass(frozen=True, eq=False)
class Novelty:
    """Says of a window which share of held-out training windows of its latency lie less far out.

    0.99 is farther out than 99 % of them; ordinary windows are spread evenly from 0 to 1. The distance is the largest
    of those of `Familiar`, each in standard deviations of the held-out windows.

    Attributes
    ----------
    mean, axes, spread, rest : array
        As in `Familiar`.
    center, scale : array of shape (n_latencies, 4), float64
        Mean and standard deviation of the distances of held-out windows.
    quantiles : array of shape (n_latencies, n_quantiles), float64
        Of the largest one in these standard deviations, ascending.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """

    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    quantiles: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        n_axes, n_latencies = self.axes.shape[1:2], self.quantiles.shape[:1]
        fits = (
            self.axes.ndim == 3
            and self.mean.shape == self.rest.shape == (2, self.n_channels)
            and self.spread.shape == (2, *n_axes)
            and self.center.shape == self.scale.shape == (*n_latencies, 4)
            and all(np.isfinite(part).all() for part in self.tensors().values())
        )
        if not fits:
            raise ValueError("The arrays of the novelty score do not fit each other, or are not finite.")

    @property
    def n_channels(self) -> int:
        """Channels of a window."""
        return int(self.axes.shape[-1])

    @property
    def n_latencies(self) -> int:
        """Windows of a trial."""
        return len(self.quantiles)

    def score(self, windows: FloatArray, latencies: IntArray) -> npt.NDArray[np.float64]:
        """Return the share of held-out windows that lie less far out, shape (n,), from 0 to 1.

        Parameters
        ----------
        windows : array of shape (n, n_channels, n_times), float32
        latencies : array of shape (n,), int
            Number of each window in its trial.
        """
        familiar = Familiar(self.mean, self.axes, self.spread, self.rest)
        out = (familiar.distances(windows) - self.center[latencies]) / self.scale[latencies]
        farthest, held_out = out.max(axis=1)[:, None], self.quantiles[latencies]
        # Half of those at the same distance count, as where a channel was dead all along.
        share: npt.NDArray[np.float64] = ((held_out < farthest).mean(1) + (held_out <= farthest).mean(1)) / 2
        return share

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_novelty(familiar: Familiar, held_out: FloatArray) -> Novelty:
    """Return the score of windows against those that were held out.

    Parameters
    ----------
    familiar : Familiar
        Of all training windows.
    held_out : array of shape (n_trials, n_latencies, 4)
        Distances of trials from what was familiar without them: those of the windows that the axes were fitted on
        would be too small.
    """
    center, scale = held_out.mean(axis=0), np.maximum(held_out.std(axis=0), 1e-3)
    farthest = ((held_out - center) / scale).max(axis=2)
    # Quantiles of as many held-out windows as there are, and their middle ones, not their ends.
    levels = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    quantiles = np.quantile(farthest, levels, axis=0).T
    return Novelty(familiar.mean, familiar.axes, familiar.spread, familiar.rest, center, scale, quantiles)
