"""From similarities to a posterior over the gallery."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from decode_stream.stream.types import FloatArray

from .candidates import Candidates

__all__ = ["NORMS", "Calibration", "Evidence", "similarity"]

NORMS = ("unit", "none")


def similarity(embeddings: FloatArray, gallery: FloatArray, norm: str) -> npt.NDArray[np.float64]:
    """Return how well each embedding fits each entry of the gallery.

    Of a gallery that is compared with again and again, `Candidates` takes the lengths once.

    Parameters
    ----------
    embeddings : array of shape (n_windows, dimension)
        Decoded embeddings.
    gallery : array of shape (n_entries, dimension)
        Embeddings of the candidates.
    norm : {"unit", "none"}
        ``"unit"`` gives cosine similarity, ``"none"`` the plain inner product.

    Returns
    -------
    array of shape (n_windows, n_entries), float64
    """
    return Candidates(gallery, norm).similarity(embeddings)


@dataclass(frozen=True)
class Calibration:
    """How much each window's similarity counts as evidence.

    With a flat prior, the log-posterior of gallery entry c after window k of a trial is, up to a constant::

        after[k] * sum_{j <= k} weights[j] * similarity[j, c]    windows that slide
        after[k] * similarity[k, c]                              windows that grow

    Windows that slide overlap, so their evidence is correlated; the weights are therefore fitted together, not each by
    itself. A window that grows holds those before it, and replaces their evidence.

    The log-posterior after n showings of one stimulus is the sum of those after each, divided by
    ``1 + (n - 1) * repeat_correlation``: a decoder's errors are partly those of the picture, and come again with it.
    Where a bundle tells in which directions they do (`GalleryProjector.rho`), these are weighed first, and the
    correlation is that of what is left.

    Attributes
    ----------
    weights : tuple of float
        One a latency, at least 0. Windows that grow have ones, and do not use them.
    free_running : float
        Weight of a window whose latency is unknown.
    after : tuple of float
        Factor of the evidence after each window, at least 0, so that an open trial's belief is calibrated as well.
        Empty stands for ones.
    growing : bool
        Whether windows grow.
    repeat_correlation : float or None
        From 0, showings err independently, to 1, the same errors at each. None where it was never measured.

    Raises
    ------
    ValueError
        If the numbers do not fit each other.
    """

    weights: tuple[float, ...]
    free_running: float
    after: tuple[float, ...] = ()
    growing: bool = False
    repeat_correlation: float | None = None

    def __post_init__(self) -> None:
        if not self.after:
            object.__setattr__(self, "after", (1.0,) * len(self.weights))
        numbers = (*self.weights, *self.after, self.free_running)
        if not self.weights or not all(0 <= number < inf for number in numbers):
            raise ValueError("A calibration needs a weight of at least 0 for each latency.")
        if len(self.after) != len(self.weights):
            raise ValueError(f"{len(self.after)} factors after each of {len(self.weights)} windows.")
        if self.repeat_correlation is not None and not 0 <= self.repeat_correlation <= 1:
            raise ValueError(f"The correlation of repeats lies from 0 to 1; got {self.repeat_correlation:g}.")

    def log_evidence(self, similarities: FloatArray, k: int = -1) -> npt.NDArray[np.float64]:
        """Return the log-evidence of trials after window `k`.

        Parameters
        ----------
        similarities : array of shape (..., n_latencies, n_entries)
            A NaN counts as no evidence.
        k : int
            By default the last.

        Returns
        -------
        array of shape (..., n_entries), float64
        """
        k %= len(self.weights)
        if self.growing:
            return np.asarray(self.after[k] * np.nan_to_num(similarities[..., k, :]), np.float64)
        seen = np.nan_to_num(similarities[..., : k + 1, :])
        weights = self.after[k] * np.array(self.weights[: k + 1])
        total: npt.NDArray[np.float64] = np.einsum("...lk,l->...k", seen, weights)
        return total

    def of_repeats(self, total: FloatArray, n: int) -> npt.NDArray[np.float64]:
        """Return the log-evidence after `n` showings of one stimulus, from the sum of that after each.

        Where the correlation is not known, showings count no more together than one of them.

        Parameters
        ----------
        total : array of shape (..., n_entries)
        n : int
            At least 1.
        """
        rho = 1.0 if self.repeat_correlation is None else self.repeat_correlation
        return np.asarray(total / (1 + (n - 1) * rho), np.float64)


class Evidence:
    """The log-evidence of every open trial, window after window, and of every stimulus, showing after showing.

    Of open trials it holds each window's similarities, of stimuli a sum. What it combines over showings rests on being
    told that they are of one stimulus, as an experimenter knows from the markers; which one is right it is never told.

    Parameters
    ----------
    calibration : Calibration
        What each window counts.
    n_entries : int
        Size of the gallery.
    of_showings : callable or None
        Takes a number of showings and returns the entries, (n_entries, dimension), whose inner product with their
        summed embeddings is log-evidence; see `GalleryProjector.of_showings`. None where the log-evidence of showings
        is summed.
    """

    def __init__(
        self, calibration: Calibration, n_entries: int, of_showings: Callable[[int], FloatArray] | None = None
    ) -> None:
        self._calibration = calibration
        self._n_entries = n_entries
        self._of_showings = of_showings
        self._similarities: dict[int, npt.NDArray[np.float64]] = {}
        self._embeddings: dict[int, npt.NDArray[np.float64]] = {}
        self._newest: dict[int, int] = {}
        self._shown: dict[str, tuple[int, npt.NDArray[np.float64]]] = {}

    def add(self, trial: int, k: int, similarities: FloatArray, embedding: FloatArray | None = None) -> None:
        """Count window `k` of a trial.

        Parameters
        ----------
        similarities : array of shape (n_entries,)
            Similarity of the window's embedding to the gallery.
        embedding : array of shape (dimension,), or None
            Needed where the embeddings of showings are summed.
        """
        if trial not in self._similarities:
            shape = (len(self._calibration.weights), self._n_entries)
            self._similarities[trial] = np.full(shape, np.nan)
        self._similarities[trial][k] = similarities
        if self._of_showings is not None:
            if embedding is None:
                raise ValueError(
                    "What comes again with a picture is told by embeddings; this window has none."
                )
            if trial not in self._embeddings:
                shape = (len(self._calibration.weights), len(embedding))
                self._embeddings[trial] = np.full(shape, np.nan)
            self._embeddings[trial][k] = embedding
        self._newest[trial] = max(k, self._newest.get(trial, 0))

    def log_evidence(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the log-evidence of a trial so far, shape (n_entries,); zeros before its first window.

        It is summed anew in the order of the latencies, so that it does not depend on the order of arrival.
        """
        if trial not in self._similarities:
            return np.zeros(self._n_entries)
        return self._calibration.log_evidence(self._similarities[trial], self._newest[trial])

    def belief(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the posterior probability of every gallery entry, shape (n_entries,)."""
        p: npt.NDArray[np.float64] = softmax(self.log_evidence(trial))
        return p

    def free_belief(self, similarities: FloatArray) -> npt.NDArray[np.float64]:
        """Return the posterior from one window of unknown latency, shape (n_entries,)."""
        p: npt.NDArray[np.float64] = softmax(self._calibration.free_running * similarities)
        return p

    def show(self, stimulus: str, trial: int, log_evidence: npt.NDArray[np.float64]) -> int:
        """Count a trial, after its last window, as one more showing of a stimulus.

        Parameters
        ----------
        stimulus : str
            What its markers say; only ever compared with itself.
        trial : int
        log_evidence : array of shape (n_entries,), float64
            The trial's. The first is kept as it is, not copied: it must not be changed.

        Returns
        -------
        int
            How many showings that makes.
        """
        said = log_evidence
        if self._of_showings is not None:
            # The sum of its windows' embeddings, each times what it counts.
            said = self._calibration.log_evidence(self._embeddings[trial], self._newest[trial])
        n, total = self._shown.get(stimulus, (0, None))
        self._shown[stimulus] = (n + 1, said if total is None else total + said)
        return n + 1

    def repeated_log_evidence(self, stimulus: str) -> npt.NDArray[np.float64]:
        """Return the log-evidence from all showings of a stimulus so far; zeros before the first."""
        if stimulus not in self._shown:
            return np.zeros(self._n_entries)
        n, total = self._shown[stimulus]
        if self._of_showings is not None:
            total = self._of_showings(n).astype(np.float64) @ total
        return self._calibration.of_repeats(total, n)

    def repeated_belief(self, stimulus: str) -> npt.NDArray[np.float64]:
        """Return the posterior from all showings of a stimulus so far, shape (n_entries,)."""
        p: npt.NDArray[np.float64] = softmax(self.repeated_log_evidence(stimulus))
        return p

    def keep(self, trials: Iterable[int]) -> None:
        """Forget the windows of every trial but these."""
        kept = set(trials)
        for trial in [trial for trial in self._similarities if trial not in kept]:
            del self._similarities[trial], self._newest[trial]
            self._embeddings.pop(trial, None)

    def by_latency(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the similarities of each window, shape (n_latencies, n_entries); NaN where none was decoded."""
        return self._similarities[trial]
