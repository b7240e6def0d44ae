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
    signals : array of shape (n_signals, n_voxels), float64
        Signal of all voxels, and of the volume before where pairs are summed.
    """

    volume: int
    nuisance: FloatArray
    nuisance_before: FloatArray
    follows: bool
    signals: FloatArray


class GroupSums:
    """Products of the trials' columns, of their sum and of the nuisance columns with each other and with voxels.

    "Common" are the nuisance columns and, last, the sum of all trials. Trials whose response is over cost nothing.

    Parameters
    ----------
    voxels : array of shape (n_voxels,)
        Where the group's voxels stand among all.
    responses : Responses
        Columns of trials.
    n_nuisance, n_lags : int
        Nuisance columns, and sums of a product, see `autoregression`.

    Attributes
    ----------
    total : array of shape (n_lags, n_common)
        Products of the sum of all trials with the common columns.
    common_signal : array of shape (n_lags, n_common, n_voxels)
        Products of the common columns with voxels.
    signal : array of shape (n_lags, n_voxels)
        Products of voxels with themselves.
    """

    def __init__(self, voxels: IntArray, responses: Responses, n_nuisance: int, n_lags: int) -> None:
        self.voxels = voxels
        self._responses = responses
        self._n_lags = n_lags
        self.total = np.zeros((n_lags, n_nuisance + 1))
        self.common_signal = np.zeros((n_lags, n_nuisance + 1, len(voxels)))
        self.signal = np.zeros((n_lags, len(voxels)))
        # By trial: products with the common columns, with itself and with the voxels.
        self._trial_common = np.zeros((n_lags, 0, n_nuisance + 1))
        self._trial = np.zeros((n_lags, 0))
        self._trial_signal: list[FloatArray] = []
        self._boxcars: list[tuple[int, int]] = []
        self._open: list[int] = []

    def add_trial(self, onset_s: float, duration_s: float) -> int:
        """Open a trial and return its number; it has no part in volumes that were added before."""
        self._boxcars.append(self._responses.boxcar(onset_s, duration_s))
        self._trial_common = np.pad(self._trial_common, ((0, 0), (0, 1), (0, 0)))
        self._trial = np.pad(self._trial, ((0, 0), (0, 1)))
        self._trial_signal.append(np.zeros((self._n_lags, 1, len(self.voxels))))
        self._open.append(len(self._boxcars) - 1)
        return len(self._boxcars) - 1

    def first_volume(self, onset_s: float) -> int:
        """Return the first volume in which a stimulus at `onset_s` may have a response."""
        return self._responses.first_volume(self._responses.boxcar(onset_s, 0)[0])

    def _values(self, trials: Sequence[int], row: Row) -> tuple[FloatArray, FloatArray]:
        """Return columns of trials at a volume and at the one before."""
        boxcars = [self._boxcars[trial] for trial in trials]
        before, now = self._responses.values(boxcars, np.array([row.volume - 1, row.volume]))
        return now, before * row.follows

    def add(self, row: Row) -> None:
        """Take in a volume."""
        signals = row.signals[:, self.voxels]
        self._open = [
            trial
            for trial in self._open
            if not self._responses.is_over(self._boxcars[trial][1], row.volume - 1)
        ]
        now, before = self._values(self._open, row)
        common_now = np.append(row.nuisance, now.sum())
        common_before = np.append(row.nuisance_before, before.sum())
        self.total += lagged(common_now[-1:], common_before[-1:], common_now, common_before, self._n_lags)[
            :, 0
        ]
        accumulate(self.common_signal, common_now, common_before, signals)
        self.signal[0] += signals[0] ** 2
        if self._n_lags > 1:
            self.signal[1] += 2 * signals[0] * signals[1]
            self.signal[2] += signals[1] ** 2
        for i, trial in enumerate(self._open):
            own = now[i : i + 1], before[i : i + 1]
            if own[0] or own[1]:
                self._add_to_trial(trial, own, (common_now, common_before), signals)

    def _add_to_trial(
        self,
        trial: int,
        own: tuple[FloatArray, FloatArray],
        common: tuple[FloatArray, FloatArray],
        signals: FloatArray,
    ) -> None:
        self._trial_common[:, trial] += lagged(*own, *common, self._n_lags)[:, 0]
        self._trial[:, trial] += lagged(*own, *own, self._n_lags)[:, 0, 0]
        accumulate(self._trial_signal[trial], *own, signals)

    def add_late(self, trial: int, rows: Sequence[Row]) -> None:
        """Let a trial just added have its part in volumes that were added before.

        Parameters
        ----------
        rows : sequence of Row
            The volumes since the trial's onset, in order, in the present basis of the drift.
        """
        others = [other for other in range(len(self._boxcars)) if other != trial]
        for row in rows:
            now, before = self._values([*others, trial], row)
            common_now = np.append(row.nuisance, now[:-1].sum())
            common_before = np.append(row.nuisance_before, before[:-1].sum())
            own = now[-1:], before[-1:]
            self._add_to_trial(trial, own, (common_now, common_before), row.signals[:, self.voxels])
            with_others = lagged(now[:-1], before[:-1], *own, self._n_lags)[:, :, 0]
            self._trial_common[:, others, -1] += with_others
        # The sum of all trials, without this one so far.
        itself = self._trial[:, trial]
        self.total[:, :-1] += self._trial_common[:, trial, :-1]
        self.total[:, -1] += 2 * self._trial_common[:, trial, -1] + itself
        self.common_signal[:, -1] += self._trial_signal[trial][:, 0]
        self._trial_common[:, trial, -1] += itself

    def lead_over(self, matrix: FloatArray) -> None:
        """Lead the nuisance columns over into another basis."""
        for products in (self.total, self._trial_common):
            products[..., :-1] = products[..., :-1] @ matrix.T
        self.common_signal[:, :-1] = matrix @ self.common_signal[:, :-1]

    def trials(self, trials: Sequence[int] | slice) -> tuple[FloatArray, FloatArray]:
        """Return products of trials with the common columns, (n_lags, n_trials, n_common), and with themselves."""
        return self._trial_common[:, trials], self._trial[:, trials]

    def signals_with(self, trials: Sequence[int]) -> list[FloatArray]:
        """Return products with voxels, each (n_lags, n_columns, n_voxels): of the common columns, and of each trial."""
        return [self.common_signal, *(self._trial_signal[trial] for trial in trials)]
