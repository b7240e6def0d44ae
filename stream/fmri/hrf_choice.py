"""Which response of the library each voxel has, by runs of the training alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from decode_stream.stream.types import FloatArray

from .drift import Drift
from .glm_spec import GlmSpec
from .hrf import LIBRARY, Responses

__all__ = ["WholeRun", "chosen_shapes"]

#: Voxels at once.
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class WholeRun:
    """A run that is over.

    Attributes
    ----------
    volumes : array of shape (n_volumes, n_voxels)
        Signal; a volume that was lost is not finite.
    confounds : array of shape (n_volumes, n_confounds)
        In the order of the spec.
    onsets : sequence of float
        Of the trials, in volumes from the run's start.
    lasting_s : sequence of float or None
        How long the stimulus of each lasts; None for that of the spec.
    """

    volumes: FloatArray
    confounds: FloatArray
    onsets: Sequence[float]
    lasting_s: Sequence[float] | None = None


def chosen_shapes(runs: Iterable[WholeRun], spec: GlmSpec, tr_s: float) -> tuple[int, ...]:
    """Choose for each voxel the response that explains most of it.

    For each shape of the library a model with a column for every trial, the cosines and the confounds is fitted to
    each run. The choice is the shape that explains the most, over all runs, of what constant, cosines and confounds
    leave; all shapes have as many columns. So does the first stage of GLMsingle choose (Prince et al. 2022, eLife 11,
    e77599).

    Parameters
    ----------
    runs : iterable of WholeRun
        Of the training alone.
    spec : GlmSpec
        Stimulus, high-pass and confounds are taken from it.
    tr_s : float
        From one volume to the next.

    Returns
    -------
    tuple of int
        The number of each voxel's shape, as in `GlmSpec.hrf_of_voxel`.

    Raises
    ------
    ValueError
        If there is no run, voxels differ between runs, or a run has no more volumes than columns.
    """
    explained: FloatArray | None = None
    for run in runs:
        of_run = _explained(run, spec, tr_s)
        if explained is not None and explained.shape != of_run.shape:
            raise ValueError(f"A run of {of_run.shape[1]} voxels came after one of {explained.shape[1]}.")
        explained = of_run if explained is None else explained + of_run
    if explained is None:
        raise ValueError("Without a run of the training no response can be chosen.")
    return tuple(explained.argmax(axis=0).tolist())


def _explained(run: WholeRun, spec: GlmSpec, tr_s: float) -> FloatArray:
    """Return the sum of squares that each shape explains, (n_shapes, n_voxels)."""
    n_volumes, n_voxels = run.volumes.shape
    finite = np.isfinite(run.volumes).all(axis=1) & np.isfinite(run.confounds).all(axis=1)
    volumes = np.arange(n_volumes)
    drift = Drift(n_volumes, spec.high_pass_s, tr_s).cosines(volumes)
    nuisance = _span(np.column_stack([drift, run.confounds])[finite])
    spans = list[FloatArray]()
    lasting_s = [spec.stimulus_s] * len(run.onsets) if run.lasting_s is None else run.lasting_s
    for shape in LIBRARY:
        responses = Responses(shape, tr_s, n_volumes)
        boxcars = [
            responses.boxcar(onset * tr_s, each_s)
            for onset, each_s in zip(run.onsets, lasting_s, strict=True)
        ]
        columns = responses.values(boxcars, volumes)[finite]
        spans.append(_span(columns - nuisance @ (nuisance.T @ columns)))
    if max(span.shape[1] for span in spans) + nuisance.shape[1] >= finite.sum():
        raise ValueError(
            f"{len(run.onsets)} trials, drift and confounds have at least as many columns as {finite.sum()} volumes."
        )
    explained = np.empty((len(LIBRARY), n_voxels))
    for start in range(0, n_voxels, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        signal = run.volumes[finite, some].astype(np.float64)
        signal -= nuisance @ (nuisance.T @ signal)
        for i, span in enumerate(spans):
            explained[i, some] = ((span.T @ signal) ** 2).sum(axis=0)
    return explained


def _span(columns: FloatArray) -> FloatArray:
    """Return orthonormal columns with the same span, fewer where some are combinations of others."""
    length = np.linalg.norm(columns, axis=0)
    scaled = columns[:, length > 0] / length[length > 0]
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    return left[:, singular > 1e-9 * singular[0]]
