"""Shrinkage LDA as a streaming decoder: the honest yardstick of every encoder. Needs no torch."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.windows import WindowSchedule

__all__ = ["LinearReadout", "fit_lda", "join_windows", "share_out"]

#: Features, or trials, at most: a matrix of all their products takes a seventh of a gigabyte then.
_MOST_PRODUCTS = 4096


@dataclass(frozen=True, eq=False)
class LinearReadout:
    """A linear decoder of whole trials, shared out among the trial's windows.

    The embedding of a window is the evidence it adds to each gallery entry, so the gallery is the identity
    matrix, compared by inner product, and the sum over a trial's windows is the discriminant of the whole
    trial.

    Attributes
    ----------
    weights : array of shape (n_latencies, n_entries, n_channels, n_times), float64
    bias : array of shape (n_latencies, n_entries), float64
    step_s : float
        Time from one window to the next, seconds.
    n_averaged : int
        Neighbouring samples that were averaged to one feature in fitting; 1 where each was a feature of its own.
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    step_s: float
    n_averaged: int = 1

    @property
    def gallery(self) -> npt.NDArray[np.float32]:
        """The gallery that belongs to it, shape (n_entries, n_entries)."""
        return np.eye(self.bias.shape[1], dtype=np.float32)

    def embed(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return the embeddings of every window of trials.

        Parameters
        ----------
        windows : array of shape (n_trials, n_latencies, n_channels, n_times)

        Returns
        -------
        array of shape (n_trials, n_latencies, n_entries), float64
        """
        n_latencies, n_entries = self.bias.shape
        embeddings = np.empty((len(windows), n_latencies, n_entries))
        # One latency at a time: a product of two matrices each, and the windows may be mapped from a file.
        for k, (weights, bias) in enumerate(zip(self.weights, self.bias, strict=True)):
            samples = windows[:, k].reshape(len(windows), -1)
            embeddings[:, k] = samples @ weights.reshape(n_entries, -1).T + bias
        return embeddings


def _starts(schedule: WindowSchedule, n_latencies: int) -> list[int]:
    return [schedule.start(k) for k in range(n_latencies)]


def _cover(schedule: WindowSchedule, n_latencies: int, n_samples: int) -> IntArray:
    """Return how many windows see each sample after the onset, shape (n_samples or more,)."""
    starts = _starts(schedule, n_latencies)
    cover = np.zeros(max(starts[-1] + schedule.n_times, n_samples), dtype=np.int64)
    for start in starts:
        cover[start : start + schedule.n_times] += 1
    return cover


def share_out(
    coefficients: FloatArray, constants: FloatArray, schedule: WindowSchedule, n_latencies: int
) -> LinearReadout:
    """Share a linear decoder of whole trials out among their windows.

    The weight of each sample is divided by the number of windows that see it, and the constant is spread evenly: the
    sum over a trial's windows is what the decoder says of the whole trial.

    Parameters
    ----------
    coefficients : array of shape (n_entries, n_channels, n_samples)
        From stimulus onset on; 0 wherever no window looks.
    constants : array of shape (n_entries,)
    schedule : WindowSchedule
        Of windows that slide.
    n_latencies : int
        Windows of a trial.
    """
    n_times = schedule.n_times
    cover = _cover(schedule, n_latencies, coefficients.shape[2])
    shared = np.zeros((*coefficients.shape[:2], len(cover)))
    shared[:, :, : coefficients.shape[2]] = coefficients
    shared /= np.maximum(cover, 1)
    weights = np.stack([shared[:, :, start : start + n_times] for start in _starts(schedule, n_latencies)])
    bias = np.tile(constants / n_latencies, (n_latencies, 1))
    return LinearReadout(weights, bias, float(schedule.step_s))


def join_windows(windows: FloatArray, schedule: WindowSchedule) -> FloatArray:
    """Return the epochs that windows were cut from.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times)
        Without a baseline of their own, so that overlapping windows agree.
    schedule : WindowSchedule
        Whose windows follow each other without a gap.

    Returns
    -------
    array of shape (n_trials, n_channels, n_samples), the windows' dtype
        From stimulus onset to the end of the last window.
    """
    n_trials, n_latencies, n_channels, n_times = windows.shape
    epochs = np.zeros((n_trials, n_channels, schedule.stop(n_latencies - 1)), windows.dtype)
    for k, start in enumerate(_starts(schedule, n_latencies)):
        epochs[:, :, start : start + n_times] = windows[:, k]
    return epochs


def fit_lda(
    epochs: FloatArray,
    labels: IntArray,
    schedule: WindowSchedule,
    n_latencies: int,
    *,
    n_entries: int = 2,
    start_s: float = 0.047,
    stop_s: float = 0.5,
) -> LinearReadout:
    """Fit LDA with Ledoit-Wolf shrinkage on whole epochs, and share it out among their windows.

    The sum over a trial's windows is the discriminant of the epoch, whose softmax is the posterior under the
    classes' shares in training, see `share_out`. The shrinkage is that of Ledoit and Wolf (2004), on standardised
    samples.

    Every sample of every channel is a feature. Of many features and few trials only products of trials are held. Where
    both are more than 4096, neighbouring samples are averaged until the features are not, and
    `LinearReadout.n_averaged` says how many.

    Parameters
    ----------
    epochs : array of shape (n_trials, n_channels, n_samples)
        From stimulus onset to the end of the last window at least.
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    schedule : WindowSchedule
    n_latencies : int
        Windows of a trial.
    n_entries : int
        Size of the gallery.
    start_s, stop_s : float
        Part of the epoch that is used, seconds after onset.

    Returns
    -------
    LinearReadout

    Raises
    ------
    UsageError
        If the windows do not cover the part, or an entry of the gallery has fewer than two trials.
    """
    first, last = (round(time_s * float(schedule.sfreq_hz)) for time_s in (start_s, stop_s))
    cover = _cover(schedule, n_latencies, last)
    if not (0 <= first < last) or not cover[first:last].all():
        seen = schedule.stop(n_latencies - 1)
        raise UsageError(
            f"A trial's windows cover 0 to {seen} samples after onset; LDA is to use {first} to {last} ({start_s:g} to "
            f"{stop_s:g} s). Take more windows a trial, or a shorter part."
        )
    n_each = np.bincount(labels, minlength=n_entries)
    if n_entries < 2 or len(n_each) > n_entries or n_each.min() < 2:
        raise UsageError(
            f"LDA needs at least 2 trials of each of at least 2 stimuli; it got {n_each.tolist()}. "
            "Train on more runs, or name fewer stimuli with --events CODE=NAME,..."
        )
    n_channels, n_samples = epochs.shape[1], last - first
    n_averaged = 1
    if min(len(epochs), n_channels * n_samples) > _MOST_PRODUCTS:
        n_averaged = min(n_samples, -(-n_samples // max(1, _MOST_PRODUCTS // n_channels)))
    starts = np.arange(0, n_samples, n_averaged)
    counts = np.diff([*starts, n_samples])
    part = epochs[:, :, first:last]
    if n_averaged > 1:
        part = np.add.reduceat(part, starts, axis=2) / counts.astype(part.dtype)
    coefficients, constants = _discriminants(part.reshape(len(epochs), -1), labels)
    each = coefficients.reshape(n_entries, n_channels, len(starts)) / counts
    whole = np.zeros((n_entries, n_channels, last))
    whole[:, :, first:] = np.repeat(each, counts, axis=2)
    return replace(share_out(whole, constants, schedule, n_latencies), n_averaged=n_averaged)


def _discriminants(
    features: FloatArray, labels: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a discriminant for each class: coefficients (n_classes, n_features), constants (n_classes,)."""
    if len(features) < features.shape[1]:
        return _discriminants_of_few(features, labels)
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features.astype(np.float64), labels)
    coefficients, constants = lda.coef_, lda.intercept_
    if len(coefficients) == 1:
        # Of two classes only the difference comes back.
        halves = np.array([-0.5, 0.5])
        return halves[:, None] * coefficients, halves * constants
    return coefficients, constants


def _discriminants_of_few(
    features: FloatArray, labels: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the same discriminants of fewer trials than features, by products of trials alone.

    The shrunk covariance is a diagonal plus products of the centred trials, so it is inverted by the identity of
    Woodbury: a matrix of all features' products, gigabytes at the channels of MEG, is never made.

    Raises
    ------
    UsageError
        If no class has the trials to tell a shrinkage from, without which there is no inverse.
    """
    n_trials, n_features = features.shape
    rows = features.astype(np.float64)
    n_each = np.bincount(labels)
    means = np.stack([rows[labels == c].mean(axis=0) for c in range(len(n_each))])
    diagonal = np.zeros(n_features)
    for c, n in enumerate(n_each):
        centred = rows[labels == c] - means[c]
        spread = centred.std(axis=0)
        spread[spread <= 10 * np.finfo(np.float64).eps * np.abs(means[c])] = 1.0
        standard = centred / spread
        shrinkage, level = _ledoit_wolf(standard @ standard.T, n_features)
        diagonal += n / n_trials * shrinkage * level * spread**2
        rows[labels == c] = centred * np.sqrt((1 - shrinkage) / n_trials)
    if not diagonal.all():
        raise UsageError(
            f"LDA on {n_features} samples a trial needs more than 2 trials of a stimulus to tell how they scatter; it "
            f"got {n_each.tolist()}. Train on more runs, or name fewer channels with --channels."
        )
    scaled = rows / diagonal
    inner = np.eye(n_trials) + scaled @ rows.T
    coefficients = means / diagonal
    coefficients -= np.linalg.solve(inner, rows @ coefficients.T).T @ scaled
    constants = -0.5 * (means * coefficients).sum(axis=1) + np.log(n_each / n_trials)
    if len(coefficients) == 2:
        # Of two classes, each gets half the difference, as above.
        halves = np.array([-0.5, 0.5])
        return np.outer(halves, coefficients[1] - coefficients[0]), halves * (constants[1] - constants[0])
    return coefficients, constants


def _ledoit_wolf(products: FloatArray, n_features: int) -> tuple[float, float]:
    """Return shrinkage and mean variance by Ledoit and Wolf (2004) from products (n, n) of centred trials."""
    n = len(products)
    own = products.diagonal()
    level = float(own.sum()) / (n * n_features)
    squares = float((products**2).sum()) / n**2
    scatter = (float((own**2).sum()) / n - squares) / (n_features * n)
    distance = squares / n_features - level**2
    scatter = min(scatter, distance)
    return (scatter / distance if scatter > 0 else 0.0), level
