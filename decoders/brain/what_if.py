"""What a decoder would have said if some voxels had been silent, or had answered more."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.scoring.scores import hits
from decode_stream.stream.types import FloatArray, IntArray

from .readout import Reading, Readout

__all__ = ["RegionEffect", "WhatIf", "region_effects", "row_cosines", "stimulated", "what_if"]

#: Trials changed at once: each is a copy of its window.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class WhatIf:
    """What is said of trials as they were, and as they would have been.

    Attributes
    ----------
    before, after : Reading
    cosine : array of shape (n,), float64
        Between the embeddings before and after: 1 where nothing is changed.
    """

    before: Reading
    after: Reading
    cosine: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RegionEffect:
    """What a change of one region does to many trials.

    Attributes
    ----------
    name : str
    n_voxels : int
    cosine : array of shape (n_trials,), float64
        As in `WhatIf`.
    evidence : array of shape (n_trials,), float64
        Log-posterior of what was shown, after less before, nats.
    right_before, right_after : array of shape (n_trials,), float64
        Whether what was shown matches best; ties count their share.
    """

    name: str
    n_voxels: int
    cosine: npt.NDArray[np.float64]
    evidence: npt.NDArray[np.float64]
    right_before: npt.NDArray[np.float64]
    right_after: npt.NDArray[np.float64]


def stimulated(
    windows: FloatArray, mask: npt.NDArray[np.bool_], raise_sd: float | None, clamp: float | None = None
) -> npt.NDArray[np.float32]:
    """Return a copy of windows with some voxels silenced or raised.

    Windows are in the units that the decoder was trained with: each voxel from its training mean, in its training
    standard deviations. So a silent voxel is zero: it answers as to the mean picture.

    Parameters
    ----------
    windows : array of shape (n, n_voxels, n_times)
    mask : array of shape (n_voxels,), bool
    raise_sd : float or None
        Added to the voxels, in training standard deviations; negative to lower them. None silences them.
    clamp : float or None
        The windows of the training reached so far; no voxel is raised further.

    Raises
    ------
    ValueError
        If the mask is of other voxels.
    """
    if mask.shape != (windows.shape[1],):
        raise ValueError(f"A mask of {mask.shape} does not fit windows of {windows.shape[1]} voxels.")
    changed = np.array(windows, np.float32)
    if raise_sd is None:
        changed[:, mask] = 0.0
        return changed
    changed[:, mask] += np.float32(raise_sd)
    return changed if clamp is None else np.clip(changed, -clamp, clamp, out=changed)


def row_cosines(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Return the cosine of each row with the same row of another array, shape (n,); 0 where one is zero."""
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    together: npt.NDArray[np.float64] = np.einsum("ij,ij->i", a, b) / np.where(sizes > 0, sizes, 1.0)
    return together


def what_if(
    readout: Readout, windows: FloatArray, mask: npt.NDArray[np.bool_], raise_sd: float | None
) -> WhatIf:
    """Decode windows as they are, and with some voxels silenced or raised; see `stimulated`."""
    before = readout.read(windows)
    after = readout.read(stimulated(windows, mask, raise_sd, readout.clamp))
    return WhatIf(before, after, row_cosines(before.embeddings, after.embeddings))


def region_effects(
    readout: Readout,
    windows: FloatArray,
    truth: IntArray,
    regions: Mapping[str, npt.NDArray[np.bool_]],
    raise_sd: float | None,
) -> tuple[RegionEffect, ...]:
    """Silence or raise each of several regions in turn, in all trials.

    Parameters
    ----------
    windows : array of shape (n_trials, n_voxels, n_times)
        May be mapped from a file.
    truth : array of shape (n_trials,), int64
        Gallery entry of each.
    regions : mapping of str to array of shape (n_voxels,), bool

    Returns
    -------
    tuple of RegionEffect
        In the order of the regions.
    """
    columns: dict[str, list[tuple[npt.NDArray[np.float64], ...]]] = {name: [] for name in regions}
    for start in range(0, len(truth), _AT_ONCE):
        some, entry = np.asarray(windows[start : start + _AT_ONCE]), truth[start : start + _AT_ONCE]
        before = readout.read(some)
        for name, mask in regions.items():
            after = readout.read(stimulated(some, mask, raise_sd, readout.clamp))
            columns[name].append(
                (
                    row_cosines(before.embeddings, after.embeddings),
                    _log_posterior(after, entry) - _log_posterior(before, entry),
                    hits(before.log_evidence, entry),
                    hits(after.log_evidence, entry),
                )
            )
    return tuple(
        RegionEffect(
            name, int(np.count_nonzero(mask)), *map(np.concatenate, zip(*columns[name], strict=True))
        )
        for name, mask in regions.items()
    )


def _log_posterior(reading: Reading, entry: IntArray) -> npt.NDArray[np.float64]:
    told = np.take_along_axis(reading.probability, entry[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.maximum(told, np.finfo(np.float64).tiny)), np.float64)
