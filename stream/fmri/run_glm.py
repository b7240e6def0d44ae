"""The linear model of a run so far: volumes in, betas of trials out, at a cost that does not grow with the run."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np

from decode_stream.stream.types import FloatArray

from .autoregression import N_LAGS, rounded, yule_walker
from .drift import Drift
from .glm_spec import GlmSpec
from .group_sums import GroupSums, Row
from .hrf import RESPONSE_S, Responses, shapes_of
from .separate_betas import Betas, Probes, probes, residual_sums, separate_betas

__all__ = ["Betas", "RunGlm"]


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """A volume that was added: place, signal and confounds above those of the first volume."""

    volume: int
    signal: FloatArray
    confounds: FloatArray


class RunGlm:
    """Sums of cross-products of one run, and the betas of its trials by the volumes so far.

    Each trial's model (least squares - separate) has the trial's column, the sum of all other trials so far, a
    constant, cosines fixed for the planned run, and the confounds. Betas are those of the batch solution on the
    volumes so far. The first volume is taken off all volumes, and its confounds off all confounds: the constant takes that
    up, and sums of squares keep their digits.

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
        self._drift = Drift(planned_volumes, spec.high_pass_s, tr_s)
        n_nuisance = self._drift.n_columns + len(spec.confounds)
        self._planned = planned_volumes
        self._n_lags = N_LAGS[spec.noise]
        shapes = shapes_of(spec.hrf)
        self._groups = [
            GroupSums(np.flatnonzero(own), Responses(shape, tr_s, planned_volumes), n_nuisance, self._n_lags)
            for shape, own in zip(shapes, _voxels_of(spec, n_voxels, len(shapes)), strict=True)
            if own.any()
        ]
        # One more than a response lasts: the pair of its first volume.
        self._past: deque[_Past] = deque(maxlen=ceil((RESPONSE_S + spec.stimulus_s) / tr_s) + 2)
        self._first: tuple[FloatArray, FloatArray] | None = None
        self._rho: FloatArray | None = None
        self._n_pairs = 0
        self._n_trials = 0
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
        rows = [row for row in self._rows() if row.volume >= first]
        for group in self._groups:
            trial = group.add_trial(onset_s, duration_s)
            if rows:
                group.add_late(trial, rows)
        self._rho = None
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
        signal, beside = np.asarray(volume, np.float64), np.asarray(confounds, np.float64)
        if not (np.isfinite(signal).all() and np.isfinite(beside).all()):
            self.skip()
            return
        if self._first is None:
            self._first = signal, beside
        while self._drift.is_due(self.n_volumes):
            matrix = self._drift.next_stage()
            for group in self._groups:
                group.lead_over(matrix)
        self._past.append(_Past(self.n_volumes, signal - self._first[0], beside - self._first[1]))
        (row,) = self._rows(last=1)
        for group in self._groups:
            group.add(row)
        self._n_pairs += row.follows
        self.n_volumes += 1
        self._rho = None

    def skip(self, n: int = 1) -> None:
        """Leave the places of `n` volumes that were lost."""
        self.n_volumes += n
        self.n_lost += n

    def _rows(self, last: int | None = None) -> list[Row]:
        """Return the last volumes that are held, all where `last` is None, as they go into the sums."""
        past = list(self._past)[-(last + 1) :] if last else list(self._past)
        nuisance = [self._nuisance(each) for each in past]
        nothing = _Past(-2, np.zeros(self._n_voxels), np.zeros(len(self._spec.confounds)))
        rows = []
        for i in range(max(0, len(past) - last) if last else 0, len(past)):
            follows = i > 0 and past[i - 1].volume == past[i].volume - 1
            before = (nuisance[i - 1], past[i - 1].signal) if follows else (0 * nuisance[i], nothing.signal)
            rows.append(Row(past[i].volume, nuisance[i], before[0], follows, past[i].signal, before[1]))
        return rows

    def _nuisance(self, past: _Past) -> FloatArray:
        return np.concatenate([self._drift.row(np.array([past.volume]))[0], past.confounds])

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

    def _penalty(self) -> FloatArray:
        """Return the ridge penalty on the nuisance columns' coefficients, (n_nuisance, n_nuisance)."""
        gram = self._groups[0].common[0, :-1, :-1]
        penalty = np.zeros_like(gram)
        n_drift = self._drift.n_columns
        of_cosines = self._drift.of_cosines()[:, 1:]
        penalty[:n_drift, :n_drift] = of_cosines @ of_cosines.T / self._planned
        confounds = np.arange(n_drift, len(gram))
        square = np.diag(gram)[n_drift:] / self.n_used - (gram[0, n_drift:] / self.n_used) ** 2
        penalty[confounds, confounds] = square
        return self._spec.nuisance_penalty * penalty

    def _designs(self, trials: Sequence[int]) -> list[Probes]:
        penalty = self._penalty()
        told_apart = np.ones(len(penalty), bool)
        told_apart[: self._drift.n_columns] = self._drift.told_apart
        return [probes(group, list(trials), told_apart, penalty) for group in self._groups]

    def _df(self, design: Probes) -> int:
        """Return volumes above the columns; a column with a penalty takes no degree of freedom of its own."""
        n_nuisance = 1 if self._spec.nuisance_penalty else int(design.kept.sum())
        return self.n_used - n_nuisance - 1 - int(design.beside_others.any())

    def told(self, trial: int) -> bool:
        """Return whether the volumes so far tell a beta of a trial.

        They do where they are `least_df` more than the model's columns, and the trial's response can be told from that
        of the others, the drift and the confounds. Columns with a penalty do not count.
        """
        if not self.n_used:
            return False
        designs = self._designs([trial])
        return all(
            bool(design.told_apart[0]) and self._df(design) >= self._spec.least_df for design in designs
        )

    def betas(self, trials: Sequence[int], rho: FloatArray | None = None) -> Betas:
        """Return betas of trials by the volumes so far.

        Parameters
        ----------
        trials : sequence of int
            Numbers of trials, all of which can be `told`.
        rho : array of shape (n_voxels,), optional
            Coefficient of each voxel's noise, taken as it is; by default that of `rho`, in hundredths.

        Returns
        -------
        Betas
            In percent of the voxel's mean so far or in units of the signal, as the spec says. A voxel
            without a mean above 0 has no percent: its betas are 0, with variance 0.

        Raises
        ------
        ValueError
            If a trial cannot be told yet, or coefficients come to a model of white noise.
        """
        if rho is not None and self._n_lags == 1:
            raise ValueError("White noise has no coefficients: the spec's noise is 'ols'.")
        if not self.n_used or not trials:
            raise ValueError("Betas are of one trial at least, after a volume at least.")
        designs = self._designs(trials)
        df = min(self._df(design) for design in designs)
        told_apart = np.all([design.told_apart for design in designs], axis=0)
        if df < self._spec.least_df or not told_apart.all():
            untold = [trial for trial, told in zip(trials, told_apart, strict=True) if not told] or list(
                trials
            )
            raise ValueError(f"{self.n_used} volumes do not tell the betas of trials {untold} yet.")
        if rho is None:
            rho = rounded(self.rho()) if self._n_lags > 1 else np.zeros(self._n_voxels)
        penalty = self._penalty()
        value = np.empty((len(trials), self._n_voxels))
        variance = np.empty_like(value)
        for group, design in zip(self._groups, designs, strict=True):
            value[:, group.voxels], variance[:, group.voxels] = separate_betas(
                group, list(trials), design, penalty, rho[group.voxels], df
            )
        if self._spec.percent:
            mean = self.mean()
            unit = np.where(mean > 0, 100 / np.where(mean > 0, mean, 1), 0)
            value *= unit
            variance *= unit**2
        return Betas(value, variance, df)

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
        if self._rho is None:
            self._rho = np.zeros(self._n_voxels)
            penalty = np.pad(self._penalty(), (0, 1)) if self.n_used else np.zeros((0, 0))
            for group in self._groups if self.n_used else ():
                power, pairs = residual_sums(group, penalty)
                self._rho[group.voxels] = yule_walker(power, pairs / 2, self.n_used, self._n_pairs)
        return self._rho


def _voxels_of(spec: GlmSpec, n_voxels: int, n_shapes: int) -> Iterator[FloatArray]:
    """Yield for each shape which voxels have it."""
    if n_shapes == 1:
        yield np.ones(n_voxels, bool)
        return
    shape_of = np.asarray(spec.hrf_of_voxel)
    if len(shape_of) != n_voxels or shape_of.max() >= n_shapes:
        raise ValueError(
            f"The library has {n_shapes} shapes; {n_voxels} voxels need one each, and {len(shape_of)} have one."
        )
    for shape in range(n_shapes):
        yield shape_of == shape
