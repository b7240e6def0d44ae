"""The linear model of a run so far: volumes in, betas of trials out, at a cost that does not grow with the run."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np

from decode_stream.stream.types import FloatArray

from .autoregression import N_LAGS, rounded, yule_walker
from .drift import Drift
from .glm_spec import GlmSpec
from .group_sums import GroupSums, Row
from .hrf import RESPONSE_S, Responses, voxels_by_shape
from .nuisance import BoolArray, Nuisance
from .separate_betas import Levels, Probes, probes, residual_sums, separate_betas

__all__ = ["Betas", "RunGlm"]


@dataclass(frozen=True, slots=True, eq=False)
class Betas:
    """Betas of trials.

    Attributes
    ----------
    value, variance : array of shape (n_trials, n_voxels), float64
        Betas, and the variances of their estimates.
    df : int
        Degrees of freedom of the residuals.
    """

    value: FloatArray
    variance: FloatArray
    df: int


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """A volume that was added: place, signal and confounds above those of the first volume."""

    volume: int
    signal: FloatArray
    confounds: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """What the columns so far say: nuisance columns kept, and of each group its probes and the degrees of freedom."""

    kept: BoolArray
    probes: list[Probes]
    df: int


class RunGlm:
    """Sums of cross-products of one run, and the betas of its trials by the volumes so far.

    Each trial's model (least squares - separate) has the trial's column, the sum of all other trials so far, a
    constant, cosines fixed for the planned run, and the confounds. Betas are those of the batch solution on the
    volumes so far. The first volume is taken off all volumes, and its confounds off all confounds: the constant
    takes that up, and sums of squares keep their digits.

    A volume or a confound that is not finite makes the volume a lost one. Behind a lost volume
    autoregression starts anew. Behind the planned end the cosines go on as they are, so slow drift is then held less
    well.

    Parameters
    ----------
    spec : GlmSpec
        The model.
    n_voxels : int
        Voxels of a volume.
    tr_s : float
        From one volume to the next, in seconds.
    planned_volumes : int
        Planned length of the run.

    Raises
    ------
    ValueError
        If a size is not above 0, or the shapes of ``library`` are not one for each voxel.

    Attributes
    ----------
    n_volumes : int
        Volumes so far, with the lost ones.
    n_lost : int
        Volumes that were lost.
    """

    def __init__(self, spec: GlmSpec, n_voxels: int, tr_s: float, planned_volumes: int) -> None:
        if n_voxels < 1 or planned_volumes < 1 or not (isfinite(tr_s) and tr_s > 0):
            raise ValueError(
                f"{n_voxels} voxels and {planned_volumes} planned volumes of {tr_s} s: all are above 0."
            )
        self._spec, self._n_voxels, self._tr_s = spec, n_voxels, tr_s
        self._n_lags = N_LAGS[spec.noise]
        drift = Drift(planned_volumes, spec.high_pass_s, tr_s)
        self._nuisance = Nuisance(drift, len(spec.confounds), self._n_lags, spec.nuisance_penalty)
        self._groups = [
            GroupSums(voxels, Responses(shape, tr_s, planned_volumes), self._nuisance.n_columns, self._n_lags)
            for shape, voxels in voxels_by_shape(spec.hrf, spec.hrf_of_voxel, n_voxels)
        ]
        # Two more than a response lasts: the pair of its first volume, and a part of a volume at either end.
        self._past: deque[_Past] = deque(maxlen=ceil((RESPONSE_S + spec.stimulus_s) / tr_s) + 2)
        self._first: tuple[FloatArray, FloatArray] | None = None
        self._n_pairs = 0
        self._n_trials = 0
        self._design: _Design | None = None
        self.n_volumes = self.n_lost = 0

    @property
    def n_used(self) -> int:
        """Volumes so far that were not lost."""
        return self.n_volumes - self.n_lost

    def add_trial(self, onset: float, duration_s: float | None = None) -> int:
        """Open a trial and return its number.

        Parameters
        ----------
        onset : float
            In volumes from the run's start, whole or not, to come or past: volumes are held for as long as a
            response lasts.
        duration_s : float, optional
            How long the stimulus lasts; the spec's where it is not given.

        Raises
        ------
        ValueError
            If the onset lies further back than the volumes that are held, or is not finite.
        """
        duration_s = self._spec.stimulus_s if duration_s is None else duration_s
        if not isfinite(onset) or not isfinite(duration_s) or duration_s < 0:
            raise ValueError(
                f"A trial's onset is finite, its duration 0 or more, not {onset} and {duration_s}."
            )
        onset_s = onset * self._tr_s
        first = self._groups[0].first_volume(onset_s)
        if len(self._past) == self._past.maxlen and first <= self._past[0].volume:
            raise ValueError(
                f"A trial with its onset at volume {onset:g} comes too late: volumes are held from "
                f"{self._past[0].volume + 1} on."
            )
        rows = [row for row in self._rows(len(self._past)) if row.volume >= first]
        for group in self._groups:
            trial = group.add_trial(onset_s, duration_s)
            if rows:
                group.add_late(trial, rows)
        self._design = None
        self._n_trials += 1
        return self._n_trials - 1

    def add(self, volume: FloatArray, confounds: FloatArray) -> None:
        """Take in the next volume; one that is not finite throughout, or has such confounds, counts as lost.

        Parameters
        ----------
        volume : array of shape (n_voxels,)
            The signal.
        confounds : array of shape (n_confounds,)
            In the order of the spec.

        Raises
        ------
        ValueError
            If a length is another.
        """
        if np.shape(volume) != (self._n_voxels,) or np.shape(confounds) != (len(self._spec.confounds),):
            raise ValueError(
                f"A volume of {self._n_voxels} voxels with {len(self._spec.confounds)} confounds is due, not "
                f"{np.shape(volume)} with {np.shape(confounds)}."
            )
        # Copies: what is kept of the first volume must not change with the caller's buffer.
        signal, beside = np.array(volume, np.float64), np.array(confounds, np.float64)
        if not (np.isfinite(signal).all() and np.isfinite(beside).all()):
            self.skip()
            return
        if self._first is None:
            self._first = signal, beside
        matrix = self._nuisance.next_stage(self.n_volumes)
        if matrix is not None:
            for group in self._groups:
                group.lead_over(matrix)
        self._past.append(_Past(self.n_volumes, signal - self._first[0], beside - self._first[1]))
        (row,) = self._rows(1)
        self._nuisance.add(row.nuisance, row.nuisance_before)
        for group in self._groups:
            group.add(row)
        self._n_pairs += row.follows
        self.n_volumes += 1
        self._design = None

    def skip(self, n: int = 1) -> None:
        """Leave the places of `n` volumes that were lost."""
        self.n_volumes += n
        self.n_lost += n

    def _rows(self, n: int) -> list[Row]:
        """Return the last `n` volumes, no more than are held, as they go into the sums."""
        past = list(self._past)[-(n + 1) :]
        nuisance = [self._nuisance.row(each.volume, each.confounds) for each in past]
        rows = []
        for i in range(max(0, len(past) - n), len(past)):
            follows = i > 0 and past[i - 1].volume == past[i].volume - 1
            before = past[i - 1].signal if follows else np.zeros(self._n_voxels)
            signals = np.stack([past[i].signal, before][: min(2, self._n_lags)])
            rows.append(Row(past[i].volume, nuisance[i], nuisance[i - 1] * follows, follows, signals))
        return rows

    def mean(self) -> FloatArray:
        """Return the mean of the volumes so far, (n_voxels,) float64.

        Raises
        ------
        ValueError
            Before the first volume.
        """
        if self._first is None:
            raise ValueError("Before the first volume there is no mean.")
        mean = self._first[0].copy()
        for group in self._groups:
            mean[group.voxels] += group.common_signal[0, 0] / self.n_used
        return mean

    def _designed(self) -> _Design:
        """Return what the columns so far say, once for every volume."""
        if self._design is None:
            kept = self._nuisance.kept()
            (root,) = self._nuisance.roots(kept, np.zeros(1))
            found = [probes(group, root) for group in self._groups]
            beside = any(bool(each.beside_others.any()) for each in found)
            df = self.n_used - self._nuisance.n_free(kept) - 1 - beside
            self._design = _Design(kept, found, df)
        return self._design

    def told(self, trial: int) -> bool:
        """Return whether the volumes so far tell a beta of a trial.

        They do if they are `least_df` more than the columns, of which those with a penalty do not count, and no other
        column holds the trial's response.
        """
        if not self.n_used:
            return False
        design = self._designed()
        return design.df >= self._spec.least_df and all(each.told_apart[trial] for each in design.probes)

    def betas(self, trials: Sequence[int], rho: FloatArray | None = None) -> Betas:
        """Return betas of trials by the volumes so far.

        Parameters
        ----------
        trials : sequence of int
            Numbers of trials, all of which are `told`.
        rho : array of shape (n_voxels,), optional
            Coefficient of each voxel's noise, taken as it is; by default that of `rho`, in hundredths.

        Returns
        -------
        Betas
            In percent of the voxel's mean so far or in units of the signal, as the spec says. A voxel without a
            mean above 0 has no percent: its betas are 0, with variance 0.

        Raises
        ------
        ValueError
            If a trial cannot be told yet, or coefficients come to a model of white noise.
        """
        if rho is not None and self._n_lags == 1:
            raise ValueError("White noise has no coefficients: the spec's noise is 'ols'.")
        untold = [trial for trial in trials if not self.told(trial)]
        if untold:
            raise ValueError(f"{self.n_used} volumes do not tell the betas of trials {untold} yet.")
        if rho is None:
            rho = rounded(self.rho()) if self._n_lags > 1 else np.zeros(self._n_voxels)
        design = self._designed()
        of_levels, level = np.unique(rho, return_inverse=True)
        levels = Levels(of_levels, self._nuisance.roots(design.kept, of_levels))
        value, variance = np.empty((2, len(trials), self._n_voxels))
        for group, found in zip(self._groups, design.probes, strict=True):
            beside = found.beside_others[list(trials)]
            value[:, group.voxels], variance[:, group.voxels] = separate_betas(
                group, trials, beside, levels, level[group.voxels], design.df
            )
        if self._spec.percent:
            mean = self.mean()
            unit = np.where(mean > 0, 100 / np.where(mean > 0, mean, 1), 0)
            value *= unit
            variance *= unit**2
        return Betas(value, variance, design.df)

    def rho(self) -> FloatArray:
        """Return the coefficient of each voxel's noise, (n_voxels,): Yule-Walker on the residuals so far.

        The residuals are those of least squares with all trials so far as one column.

        Raises
        ------
        ValueError
            If the spec's noise is white.
        """
        if self._n_lags == 1:
            raise ValueError("White noise has no coefficients: the spec's noise is 'ols'.")
        rho = np.zeros(self._n_voxels)
        for group in self._groups if self.n_used else ():
            power, pairs = residual_sums(group, self._nuisance, self._designed().kept)
            rho[group.voxels] = yule_walker(power, pairs, self.n_used, self._n_pairs)
        return rho
