"""Sums of cross-products of a run, for the voxels that share the shape of their response."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decode_stream.stream.types import FloatArray, IntArray

from .autoregression import accumulate, lagged
from .hrf import Responses

__all__ = ["GroupSums", "Row"]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A volume as it goes into the sums, with the one before; zeros stand for one that is missing.

    Attributes
    ----------
    volume : int
        Its place in the run.
    nuisance, nuisance_before : array of shape (n_nuisance,)
        Constant, drift and confounds.
    follows : bool
        Whether the volume before is there.
    signal, signal_before : array of shape (n_voxels,), float64
        Signal of all voxels.
    """

    volume: int
    nuisance: FloatArray
    nuisance_before: FloatArray
    follows: bool
    signal: FloatArray
    signal_before: FloatArray


class GroupSums:
    """Products of nuisance columns, of the trials' columns and of the sum of all trials, with each other and voxels.

    In every array the first axis is the lag, see `autoregression`; "common" are the nuisance columns and, last, the
    sum of all trials.

    Parameters
    ----------
    voxels : array of shape (n_voxels,)
        Where the group's voxels stand among all.
    responses : Responses
        Columns of trials.
    n_nuisance, n_lags : int
        Nuisance columns, and lags of the sums.

    Attributes
    ----------
    common : array of shape (n_lags, n_common, n_common)
        Common columns with each other.
    common_signal : array of shape (n_lags, n_common, n_voxels)
        Common columns with the voxels.
    signal : array of shape (n_lags, n_voxels)
        Voxels with themselves.
    """

    def __init__(self, voxels: IntArray, responses: Responses, n_nuisance: int, n_lags: int) -> None:
        self.voxels = voxels
        self._responses = responses
        self._n_lags = n_lags
        self._pair = 1 if n_lags == 1 else 2
        n_common = n_nuisance + 1
        self.common = np.zeros((n_lags, n_common, n_common))
        self.common_signal = np.zeros((n_lags, n_common, len(voxels)))
        self.signal = np.zeros((n_lags, len(voxels)))
        # A trial's columns with the common ones, with itself and with the voxels: (n_lags, n_common), (n_lags,) and
        # (n_lags, 1, n_voxels).
        self._trial_common: list[FloatArray] = []
        self._trial: list[FloatArray] = []
        self._trial_signal: list[FloatArray] = []
        self._boxcars: list[tuple[int, int]] = []
        self._open: list[int] = []

    def add_trial(self, onset_s: float, duration_s: float) -> int:
        """Open a trial and return its number; it has no part in volumes that were added before."""
        self._boxcars.append(self._responses.boxcar(onset_s, duration_s))
        n_lags, n_common, n_voxels = self.common_signal.shape
        self._trial_common.append(np.zeros((n_lags, n_common)))
        self._trial.append(np.zeros(n_lags))
        self._trial_signal.append(np.zeros((n_lags, 1, n_voxels)))
        self._open.append(len(self._boxcars) - 1)
        return len(self._boxcars) - 1

    def first_volume(self, onset_s: float) -> int:
        """Return the first volume in which a stimulus at `onset_s` may have a response."""
        return self._responses.first_volume(self._responses.boxcar(onset_s, 0)[0])

    def _values(self, trials: Sequence[int], row: Row) -> tuple[FloatArray, FloatArray]:
        starts = [self._boxcars[trial][0] for trial in trials]
        stops = [self._boxcars[trial][1] for trial in trials]
        before, now = self._responses.values(starts, stops, np.array([row.volume - 1, row.volume]))
        return now, before * row.follows

    def add(self, row: Row) -> None:
        """Take in a volume, at a cost that depends on the trials with a response in it alone."""
        signals = np.stack([row.signal, row.signal_before])[: self._pair, self.voxels]
        self._open = [
            trial
            for trial in self._open
            if not self._responses.is_over(self._boxcars[trial][1], row.volume - 1)
        ]
        now, before = self._values(self._open, row)
        common_now = np.append(row.nuisance, now.sum())
        common_before = np.append(row.nuisance_before, before.sum())
        self.common += lagged(common_now, common_before, common_now, common_before, self._n_lags)
        accumulate(self.common_signal, common_now, common_before, signals)
        self._add_signal(signals)
        both = lagged(now, before, common_now, common_before, self._n_lags)
        for i, trial in enumerate(self._open):
            if now[i] or before[i]:
                self._add_to_trial(trial, both[:, i], now[i : i + 1], before[i : i + 1], signals)

    def _add_signal(self, signals: FloatArray) -> None:
        self.signal[0] += signals[0] ** 2
        if self._n_lags > 1:
            self.signal[1] += 2 * signals[0] * signals[1]
            self.signal[2] += signals[1] ** 2

    def _add_to_trial(
        self, trial: int, with_common: FloatArray, now: FloatArray, before: FloatArray, signals: FloatArray
    ) -> None:
        self._trial_common[trial] += with_common
        self._trial[trial] += lagged(now, before, now, before, self._n_lags)[:, 0, 0]
        accumulate(self._trial_signal[trial], now, before, signals)

    def add_late(self, trial: int, rows: Sequence[Row]) -> None:
        """Let a trial just added have its part in volumes that were added before.

        Parameters
        ----------
        rows : sequence of Row
            The volumes since the trial's onset, in order, in the present basis of the drift.
        """
        others = [other for other in range(len(self._boxcars)) if other != trial]
        for row in rows:
            signals = np.stack([row.signal, row.signal_before])[: self._pair, self.voxels]
            now, before = self._values([*others, trial], row)
            common_now = np.append(row.nuisance, now[:-1].sum())
            common_before = np.append(row.nuisance_before, before[:-1].sum())
            own = now[-1:], before[-1:]
            with_common = lagged(*own, common_now, common_before, self._n_lags)[:, 0]
            self._add_to_trial(trial, with_common, *own, signals)
            with_others = lagged(*own, now[:-1], before[:-1], self._n_lags)[:, 0]
            for i, other in enumerate(others):
                self._trial_common[other][:, -1] += with_others[:, i]
        self._join_sum(trial)

    def _join_sum(self, trial: int) -> None:
        """Put a late trial into the sum of all trials, which its products were taken without."""
        with_common, own = self._trial_common[trial], self._trial[trial]
        self.common[:, -1, :-1] += with_common[:, :-1]
        self.common[:, :-1, -1] += with_common[:, :-1]
        self.common[:, -1, -1] += 2 * with_common[:, -1] + own
        self.common_signal[:, -1] += self._trial_signal[trial][:, 0]
        with_common[:, -1] += own

    def lead_over(self, matrix: FloatArray) -> None:
        """Lead the first of the nuisance columns over into another basis."""
        n = len(matrix)
        self.common[:, :n] = matrix @ self.common[:, :n]
        self.common[:, :, :n] = self.common[:, :, :n] @ matrix.T
        self.common_signal[:, :n] = matrix @ self.common_signal[:, :n]
        for with_common in self._trial_common:
            with_common[:, :n] = with_common[:, :n] @ matrix.T

    def trials(self, trials: Sequence[int]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return products of trials: common (n_lags, n_trials, n_common), own (n_lags, n_trials), and with voxels."""
        return (
            np.stack([self._trial_common[trial] for trial in trials], axis=1),
            np.stack([self._trial[trial] for trial in trials], axis=1),
            np.concatenate([self._trial_signal[trial] for trial in trials], axis=1),
        )
