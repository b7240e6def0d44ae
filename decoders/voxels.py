"""Which voxels hold data in every recording, found on the way to their level and spread."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["VoxelSurvey"]

_NAMED = 5
#: Fewer samples may be alike by chance.
_LEAST_SAMPLES = 3
#: What varies by less than this share of its level is rounding.
_STILL = 1e-6


class VoxelSurvey:
    """What each voxel holds in each recording of a training.

    A voxel at the edge of the field of view is often 0 in some sessions. What it says in the others is not to be had
    when such a session comes again, and a level of its own in every session tells the session, not the picture. So it
    is left out of all of them, and of live sessions.

    Parameters
    ----------
    names : sequence of str
        Of the voxels.
    n_recordings : int
        How many there will be.
    """

    def __init__(self, names: Sequence[str], n_recordings: int) -> None:
        self._names, self._n_recordings = names, n_recordings
        self._ever = _Range(len(names))
        self._still: dict[str, npt.NDArray[np.bool_]] = {}
        self._notes = list[str]()
        self._own, self._n_bad = _Range(len(names)), 0

    def add(self, values: FloatArray, n_bad: int) -> None:
        """Take what comes next of a recording.

        Parameters
        ----------
        values : array of shape (n_samples, n_voxels)
            Sound samples, as the chain hands them on.
        n_bad : int
            How many samples beside them hold values that are not numbers.
        """
        self._own.add(values)
        self._n_bad += n_bad

    def close(self, name: str, not_finite: IntArray) -> None:
        """End a recording.

        Parameters
        ----------
        name : str
        not_finite : array of shape (n_voxels,), int64
            Values of each voxel that were not numbers.

        Raises
        ------
        RecordingError
            If most of its samples are lost by values that are not numbers, or most of its voxels never change.
        """
        own, n_bad = self._own, self._n_bad
        self._own, self._n_bad = _Range(len(self._names)), 0
        if n_bad:
            self._tell_bad(name, n_bad, own.n_samples, not_finite)
        self._ever.join(own)
        if own.n_samples < _LEAST_SAMPLES:
            return
        still = own.still()
        n_still = np.count_nonzero(still)
        if 2 * n_still > len(still) and self._n_recordings > 1:
            raise RecordingError(
                f"{n_still} of {len(still)} voxels never change in {name}: it holds no data there, or its voxels are "
                "not those of the other recordings. Leave it out, or give a --mask that lies on its grid."
            )
        self._still[name] = still | self._still.get(name, False)

    def _tell_bad(self, name: str, n_bad: int, n_sound: int, not_finite: IntArray) -> None:
        """Note the samples that values cost which are not numbers, or refuse where these are most."""
        # A volume that was lost as a whole says nothing of single voxels.
        voxels = self._told(np.flatnonzero(2 * not_finite > not_finite.max()))
        samples = f"{n_bad} of {n_bad + n_sound} samples"
        told = f"{name}: values are not numbers in {samples}, in {voxels} of {len(self._names)}"
        if n_bad > n_sound:
            raise RecordingError(
                f"{told}; no trial can rest on these. Leave the voxels out with a --mask of those that hold data in "
                f"every recording, or leave out {name}."
            )
        self._notes.append(f"{told}: trials on these are left out")

    def silent(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the voxels to be left out, and what is to be told of all that was found.

        Returns
        -------
        voxels : tuple of str
            Those that never change in some recording, or in any.
        notes : tuple of str

        Raises
        ------
        RecordingError
            If no other voxel is left.
        """
        notes, never = list(self._notes), self._ever.still()
        if self._ever.n_samples < _LEAST_SAMPLES:
            return (), tuple(notes)
        still = np.zeros(len(never), np.int64)
        for one in self._still.values():
            still += one
        lacking = (still > 0) & ~never
        if (out := lacking | never).all():
            raise RecordingError(
                f"None of the {len(out)} voxels holds data in every recording: each keeps one value throughout some "
                "of them. Leave those recordings out, or give another --mask."
            )
        # Nothing is lost by a voxel that never held data.
        if lacking.any():
            where = _listed([name for name, one in self._still.items() if (one & lacking).any()])
            voxels = self._told(np.flatnonzero(lacking))
            notes.append(f"{voxels} of {len(out)} without data in {where}: left out of all, and when live")
        return tuple(self._names[i] for i in np.flatnonzero(out).tolist()), tuple(notes)

    def _told(self, voxels: IntArray) -> str:
        named = _listed([self._names[i] for i in voxels[: _NAMED + 1].tolist()])
        return f"{len(voxels)} {'voxel' if len(voxels) == 1 else 'voxels'} ({named})"


class _Range:
    """Lowest and highest value of each voxel so far."""

    def __init__(self, n_voxels: int) -> None:
        self.n_samples = 0
        self.lowest = np.full(n_voxels, np.inf, np.float32)
        self.highest = np.full(n_voxels, -np.inf, np.float32)

    def add(self, values: FloatArray) -> None:
        if len(values):
            self.n_samples += len(values)
            np.minimum(self.lowest, values.min(axis=0), out=self.lowest)
            np.maximum(self.highest, values.max(axis=0), out=self.highest)

    def join(self, other: "_Range") -> None:
        self.n_samples += other.n_samples
        np.minimum(self.lowest, other.lowest, out=self.lowest)
        np.maximum(self.highest, other.highest, out=self.highest)

    def still(self) -> npt.NDArray[np.bool_]:
        """Return which voxels hold one and the same value."""
        level = np.maximum(np.abs(self.lowest), np.abs(self.highest))
        return np.asarray(self.highest - self.lowest <= _STILL * level)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
