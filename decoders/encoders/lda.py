"""Shrinkage LDA as a streaming decoder: the honest yardstick of every encoder. Needs no torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.windows import WindowSchedule

__all__ = ["LinearReadout", "fit_lda", "join_windows", "share_out"]


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
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    step_s: float

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
    coefficients, constants = _discriminants(epochs[:, :, first:last].reshape(len(epochs), -1), labels)
    whole = np.zeros((n_entries, epochs.shape[1], last))
    whole[:, :, first:] = coefficients.reshape(n_entries, epochs.shape[1], -1)
    return share_out(whole, constants, schedule, n_latencies)


def _discriminants(
    features: FloatArray, labels: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a discriminant for each class: coefficients (n_classes, n_features), constants (n_classes,)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features.astype(np.float64), labels)
    coefficients, constants = lda.coef_, lda.intercept_
    if len(coefficients) == 1:
        # Of two classes only the difference comes back.
        halves = np.array([-0.5, 0.5])
        return halves[:, None] * coefficients, halves * constants
    return coefficients, constants
